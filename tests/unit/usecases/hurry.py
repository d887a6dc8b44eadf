"""An event loop on which waiting takes no time: what is due next happens next, however busy the machine is.

So that the same choices make the same history, which a search for short counterexamples lives by."""

from __future__ import annotations

import asyncio
import selectors


class _Hurry(selectors.DefaultSelector):
    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        self.passed_s += max(0.0, timeout)
        return super().select(0)


class HurryingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._hurry = _Hurry()
        super().__init__(self._hurry)

    def time(self) -> float:
        return self._hurry.passed_s
