"""When a game without a picture counts as playable: a line of its log, an open port, an HTTP answer, or staying up.

Ports are asked on the loopback of the session's own network: that of its container, or the machine's.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import re2

from wrapper.spec import HttpCheck, Port, Readiness

_PROBE_S = 0.2
# Of one question; a server that hangs is asked again.
_ANSWER_S = 5.0
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r\n]")
_HEAD_MAX_BYTES = 4096


class NotReadyError(Exception):
    """The check did not pass in time, or can never pass; the text says why."""


class ReadinessCheck:
    """One game's check: feed it the log by line(), and await passed()."""

    def __init__(self, readiness: Readiness, ports: tuple[Port, ...]) -> None:
        """Raises NotReadyError for a pattern or port that does not exist."""
        self._readiness = readiness
        self._seen = asyncio.Event()
        # In time in proportion to the line, whatever the pattern: it is matched where everything else waits.
        self._pattern: Any = None
        self._port = 0
        self._heard = ""
        if readiness.log_pattern is not None:
            try:
                self._pattern = re2.compile(readiness.log_pattern, _quiet())
            except re2.error as error:
                raise NotReadyError(f"the log pattern is malformed: {error}") from error
            return
        name = readiness.http.port_name if readiness.http is not None else readiness.tcp_port
        if name is not None:
            found = [port for port in ports if port.name == name and port.protocol == "tcp"]
            if not found:
                raise NotReadyError(f"there is no TCP port named {name!r}")
            self._port = found[0].game_port or found[0].host_port

    def line(self, text: str) -> None:
        if self._pattern is not None and not self._seen.is_set() and self._pattern.search(text):
            self._seen.set()

    async def passed(self) -> None:
        """Returns when the game, already started, is ready.

        Raises NotReadyError after the time-out.
        """
        try:
            async with asyncio.timeout(self._readiness.timeout_s):
                if self._pattern is not None:
                    await self._seen.wait()
                elif self._readiness.http is not None:
                    await self._answers(self._readiness.http)
                elif self._port:
                    await self._connects()
                else:
                    await asyncio.sleep(self._readiness.stays_up_s or 0.0)
        except TimeoutError as error:
            raise NotReadyError(f"not ready after {self._readiness.timeout_s:g} s{self._heard}") from error

    async def _connects(self) -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(_PROBE_S)
                continue
            writer.close()
            return

    async def _answers(self, check: HttpCheck) -> None:
        while True:
            try:
                async with asyncio.timeout(_ANSWER_S):
                    status = await _ask(self._port, check.path)
                if status is not None and (status == check.status or (not check.status and 200 <= status <= 299)):
                    return
                said = "no HTTP was spoken" if status is None else f"GET {check.path} was answered with {status}"
                self._heard = f": {said}"
            except OSError as error:
                self._heard = f": GET {check.path} was not answered: {error.strerror or 'no answer in time'}"
            await asyncio.sleep(_PROBE_S)


def _quiet() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


async def _ask(port: int, path: str) -> int | None:
    """The status of one answer, None for what is not HTTP/1; no redirect is followed. Raises OSError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_HEAD_MAX_BYTES)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        head = await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    finally:
        writer.close()
    match = _STATUS_LINE.match(head)
    return int(match[1]) if match else None
