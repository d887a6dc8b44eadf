"""Traces: how one wish travels from its door to its transactions. Who keeps none pays a call for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

TRACEPARENT = "traceparent"
GOOD_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)  # W3C Trace Context
Facts = Mapping[str, str | int]


class Spans(Protocol):
    def served(self, name: str, traceparent: str, ended: Callable[[], Facts]) -> AbstractContextManager[str]:
        """A call from outside, with the caller's traceparent or ""; yields its own. `ended` tells at the end what is to
        be kept of it."""
        ...

    def within(self, name: str) -> AbstractContextManager[None]:
        """A part of the call that is served; nothing where none is."""
        ...


class NoSpans:
    """Keeps none, and passes on what a caller brings."""

    def served(self, name: str, traceparent: str, ended: Callable[[], Facts]) -> AbstractContextManager[str]:
        return nullcontext(traceparent)

    def within(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()
