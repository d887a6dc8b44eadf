"""How much of a kind may be in flight at once, in all and of one caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from controlplane.domain.errors import Exhausted


class Admission:
    """Our own bound on what is in flight: the library's can be bypassed (grpc/grpc#41531)."""

    def __init__(self, limit: int, what: str, each: int = 0) -> None:
        self._free = limit
        self._what = what
        self._each = each or limit
        self._held: Counter[str] = Counter()

    @contextmanager
    def place(self) -> Iterator[None]:
        """One place, given back at the end. Raises Exhausted."""
        if self._free <= 0:
            raise Exhausted("TOO_MANY_REQUESTS", f"too many {self._what} at once; try again", retry_after_s="1")
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    @contextmanager
    def share(self, who: str) -> Iterator[None]:
        """That one's, of whom a place is; at most `each`, given back at the end. Raises Exhausted."""
        if self._held[who] >= self._each:
            told = f"you have {self._each} {self._what} at once, the most that one caller may; end one or try again"
            raise Exhausted("TOO_MANY_REQUESTS", told, retry_after_s="1")
        self._held[who] += 1
        try:
            yield
        finally:
            self._held[who] -= 1
            if not self._held[who]:
                del self._held[who]


@dataclass(frozen=True)
class Patience:
    """How an RPC comes to wait for what it has begun: in a place of another kind, so that it keeps nobody out (I18).
    `place` is the one that it came in by, `cut` ends it early."""

    who: str
    admission: Admission
    place: ExitStack
    others: ExitStack
    cut: Callable[[], AbstractAsyncContextManager[None]]

    def reserve(self) -> None:
        """Before anything is begun. Raises Exhausted."""
        self.others.enter_context(self.admission.place())
        self.others.enter_context(self.admission.share(self.who))

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """From when it is begun. Raises what cuts it off."""
        self.place.close()
        async with self.cut():
            yield
