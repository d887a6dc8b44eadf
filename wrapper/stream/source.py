"""Where pictures come from: the interface that the pipeline reads, whatever draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import av


class SourceError(Exception):
    """The source cannot give pictures, and will not; the text says why."""


@dataclass(frozen=True)
class Captured:
    """One picture, owned by whoever holds it, and the CLOCK_MONOTONIC nanosecond at which it was drawn."""

    frame: av.VideoFrame
    drawn_ns: int


class Source(Protocol):
    """Used from the pipeline's thread only, except wake()."""

    def next(self, timeout_s: float) -> Captured | None:
        """Waits for a picture that was not given before; the newest wins. None after the time-out or a wake().

        Raises SourceError when there will be no more.
        """
        ...

    def wake(self) -> None:
        """Ends a waiting next() early. From any thread."""
        ...

    def close(self) -> None:
        """Gives back what the source holds."""
        ...
