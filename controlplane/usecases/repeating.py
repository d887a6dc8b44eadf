"""The same create twice: the same client token gives what it gave before, or is refused with another request (I20).

One table of tokens serves every create but the sessions', which keep theirs in the row: they are made in batches.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from controlplane.domain.errors import AlreadyExists
from controlplane.domain.identity import Principal
from controlplane.domain.request import ClientToken, digest
from controlplane.interfaces import Tx

T = TypeVar("T")

# What is to be made has no date yet.
UNBORN = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Create:
    """A create as somebody asked for it. `request` is all that makes it what it is, without the token."""

    who: Principal
    verb: str
    client_token: str
    request: object


async def once(
    tx: Tx,
    create: Create,
    make: Callable[[], Awaitable[T]],
    name_of: Callable[[T], str],
    find: Callable[[str], Awaitable[T | None]],
) -> T:
    """What `make` makes; or what the same create made before, as it is now, by its name. To be called before anything
    else is locked: who comes with the same token at the same moment waits here for the first to end.

    Raises AlreadyExists for a token of another request, or of what is there no more."""
    if not create.client_token:
        return await make()
    token = ClientToken(create.who.project_id, create.verb, create.client_token, digest(create.request), await tx.now())
    earlier = await tx.tokens.claim(token)
    if earlier is None:
        made = await make()
        await tx.tokens.settle(replace(token, made=name_of(made)))
        return made
    if earlier.request_sha256 not in ("", token.request_sha256):
        raise mismatch(earlier.made)
    found = await find(earlier.made)
    if found is None:
        raise AlreadyExists(
            "CLIENT_TOKEN_SPENT",
            f"what this client_token made, {earlier.made}, is there no more; use a new token for another",
            field="client_token",
        )
    return found


def mismatch(name: str) -> AlreadyExists:
    return AlreadyExists(
        "CLIENT_TOKEN_MISMATCH",
        f"this client_token made {name} by another request; use a new token for a new one",
        field="client_token",
        made=name,
    )
