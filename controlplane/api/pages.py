"""Page tokens: where the next page of one certain list starts.

A token is opaque, not secret: it opens nothing that its bearer may not list anyhow. It carries a digest of the query
that it belongs to, so that a token of another list, or a damaged one, is refused instead of giving an odd page.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from controlplane.domain.errors import InvalidRequest
from controlplane.interfaces import Page

T = TypeVar("T")

DEFAULT_SIZE = 50
DIGEST_CHARS = 16


def page_of(page_size: int, page_token: str, *query: object) -> Page:
    """The page to read: one more than asked for, so that `split` knows whether there is a next.

    `query` is whatever else selects the list. Raises InvalidRequest naming page_token."""
    return Page(size=(page_size or DEFAULT_SIZE) + 1, after=position_of(page_token, *query))


def split(
    page: Page, found: Sequence[T], key: Callable[[T], tuple[datetime, str]], *query: object
) -> tuple[Sequence[T], str]:
    """The items to answer with, and the token of the next page or ""."""
    if len(found) < page.size:
        return found, ""
    kept = found[: page.size - 1]
    return kept, token_of(key(kept[-1]), *query)


def token_of(position: tuple[datetime, str], *query: object) -> str:
    at, item_id = position[0].astimezone(UTC).isoformat(), position[1]
    text = json.dumps([at, item_id, _digest(at, item_id, query)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position_of(token: str, *query: object) -> tuple[datetime, str] | None:
    """Where the page of this token starts; None of "". Raises InvalidRequest naming page_token."""
    if not token:
        return None
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        at, item_id, digest = json.loads(text)
        position = datetime.fromisoformat(at), str(item_id)
        if digest == _digest(at, item_id, query) and position[0].tzinfo is not None:
            return position
    except (binascii.Error, UnicodeError, ValueError, TypeError):
        pass  # told below, in one way for every kind of damage
    raise InvalidRequest(
        "PAGE_TOKEN_INVALID",
        "this page_token is not one of this list; start again without it",
        field="page_token",
    )


def _digest(at: str, item_id: str, query: tuple[object, ...]) -> str:
    return hashlib.sha256(repr((at, item_id, query)).encode()).hexdigest()[:DIGEST_CHARS]
