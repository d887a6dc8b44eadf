"""When a game without a picture counts as playable: a line of its log, an open port, or mere staying up."""

from __future__ import annotations

import asyncio
import re

from wrapper.spec import Port, Readiness

_PROBE_S = 0.2


class NotReadyError(Exception):
    """The check did not pass in time, or can never pass; the text says why."""


class ReadinessCheck:
    """One game's check: feed it the log by line(), and await passed()."""

    def __init__(self, readiness: Readiness, ports: tuple[Port, ...]) -> None:
        """Raises NotReadyError for a pattern or port that does not exist."""
        self._readiness = readiness
        self._seen = asyncio.Event()
        self._pattern: re.Pattern[str] | None = None
        self._tcp_port = 0
        if readiness.log_pattern is not None:
            try:
                self._pattern = re.compile(readiness.log_pattern)
            except re.error as error:
                raise NotReadyError(f"the log pattern is malformed: {error}") from error
        elif readiness.tcp_port is not None:
            found = [port for port in ports if port.name == readiness.tcp_port and port.protocol == "tcp"]
            if not found:
                raise NotReadyError(f"there is no TCP port named {readiness.tcp_port!r}")
            self._tcp_port = found[0].game_port or found[0].host_port

    def line(self, text: str) -> None:
        if self._pattern is not None and self._pattern.search(text):
            self._seen.set()

    async def passed(self) -> None:
        """Returns when the game, already started, is ready.

        Raises NotReadyError after the time-out.
        """
        try:
            async with asyncio.timeout(self._readiness.timeout_s):
                if self._pattern is not None:
                    await self._seen.wait()
                elif self._tcp_port:
                    await self._connects()
                else:
                    await asyncio.sleep(self._readiness.stays_up_s or 0.0)
        except TimeoutError as error:
            raise NotReadyError(f"not ready after {self._readiness.timeout_s:g} s") from error

    async def _connects(self) -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._tcp_port)
            except OSError:
                await asyncio.sleep(_PROBE_S)
                continue
            writer.close()
            return
