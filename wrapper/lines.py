"""Cuts a stream of output into lines, each cut at 8 KiB, without its end."""

from __future__ import annotations

from collections.abc import Callable

LINE_MAX_BYTES = 8192


class LineCutter:
    """take() any pieces; `line` is called with each whole line."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._rest = b""

    def take(self, chunk: bytes) -> None:
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[:LINE_MAX_BYTES]
        for line in lines:
            self._tell(line)

    def end(self) -> None:
        """What came last without an end is a line too."""
        rest, self._rest = self._rest, b""
        if rest:
            self._tell(rest)

    def _tell(self, line: bytes) -> None:
        self._line(line[:LINE_MAX_BYTES].decode("utf-8", "replace").rstrip("\r"))
