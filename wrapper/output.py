"""What a session says, line by line and numbered once: to the console for those who watch, to the spool for ever.

The game never waits for either: what the disk refuses is lost, and a note says how much and why.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import structlog

from wrapper.console import Console
from wrapper.lines import LineCutter
from wrapper.spool import Line, Spool, Stream


class Output:
    """`line` is called with each line of the game, once it is kept."""

    def __init__(self, console: Console, spool: Spool, line: Callable[[str], None]) -> None:
        self._console = console
        self._spool = spool
        self._line = line
        self._cutters = {
            stream: LineCutter(lambda text, stream=stream: self._add(stream, text))  # type: ignore[misc]
            for stream in (Stream.STDOUT, Stream.STDERR)
        }
        self._fresh: list[Line] = []
        self._lost = 0
        self._why = ""

    def take(self, stream: Stream, chunk: bytes) -> None:
        """A piece of the game's output; b"" is its end, which makes a line of what is left."""
        cutter = self._cutters[stream]
        cutter.take(chunk) if chunk else cutter.end()
        said = [line.text for line in self._fresh]
        self._keep()
        for text in said:
            self._line(text)

    def note(self, text: str) -> None:
        """A line of the wrapper's own."""
        self._fresh.append(self._console.line(text, Stream.WRAPPER, _now_ms()))
        self._keep()

    def _add(self, stream: Stream, text: str) -> None:
        self._fresh.append(self._console.line(text, stream, _now_ms()))

    def _keep(self) -> None:
        fresh, self._fresh = self._fresh, []
        if not fresh:
            return
        try:
            self._spool.write(fresh)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            if why != self._why:
                self._why = why
                structlog.get_logger().warning("log lines are lost", why=why)
                self._console.line(f"log lines are lost: {why}", Stream.WRAPPER, _now_ms())
                self._lost += 1
            self._lost += len(fresh)
            return
        if self._why:
            lost, why, self._lost, self._why = self._lost, self._why, 0, ""
            self.note(f"{lost} log lines were lost: {why}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
