"""Where large things lie: chunks of logs, saves, backups. Rows say what there is; an object has only its key."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Protocol


class Objects(Protocol):
    """Objects by key: segments of lower-case letters, digits, `.`, `_` and `-`, with `/` between them.

    Every call goes over the network: never inside a transaction. Raises InvalidRequest for what is no key, NotFound,
    Unavailable when the store cannot be reached or refuses, Exhausted when it is full.
    """

    async def put(self, key: str, content: AsyncIterable[bytes]) -> int:
        """Stores the content, pieces of any size, and returns its length in bytes. Others see all of it or what was
        there before; it is durable when this returns. Raises what `content` raises, and leaves nothing behind then."""
        ...

    def get(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The content in pieces, from `offset` on, at most `length` bytes. Raises Conflict when the object is replaced
        meanwhile: no reader is given two halves of different ones."""
        ...

    async def list(self, prefix: str, after: str = "", limit: int = 1000) -> Sequence[str]:
        """Keys below `prefix`, whole segments of one or "" for all, in order; those behind the key `after`."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Those that are gone already are fine."""
        ...

    async def url(self, key: str, valid_s: float) -> str | None:
        """Where anyone may read it for so long; None where the store serves nobody but us. It is a secret."""
        ...
