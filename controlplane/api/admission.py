"""How much of a kind may be in flight at once."""

from __future__ import annotations

from controlplane.domain.errors import Exhausted


class Admission:
    """Our own bound on what is in flight: the library's can be bypassed (grpc/grpc#41531)."""

    def __init__(self, limit: int, what: str) -> None:
        self._free = limit
        self._what = what

    def enter(self) -> None:
        """Raises Exhausted."""
        if self._free <= 0:
            raise Exhausted("TOO_MANY_REQUESTS", f"too many {self._what} at once; try again", retry_after_s="1")
        self._free -= 1

    def leave(self) -> None:
        self._free += 1
