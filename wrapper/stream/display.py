"""An X display of the session's own: Xvfb, closed to everyone without its cookie, gone when the session is."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import struct
from pathlib import Path

from wrapper.boundedlog import BoundedLog
from wrapper.supervisor import Supervised

_START_TIMEOUT_S = 15.0
_STOP_TIMEOUT_S = 3.0
_COOKIE_NAME = b"MIT-MAGIC-COOKIE-1"
_FAMILY_LOCAL = 256
_FAMILY_WILD = 65535


class DisplayStartError(Exception):
    """There can be no display; the text says why."""


class Display:
    """A running X server; `name` is what DISPLAY says."""

    def __init__(self, name: str, authority: Path, server: Supervised) -> None:
        self.name = name
        self.environment = {"DISPLAY": name, "XAUTHORITY": str(authority)}
        self._server = server

    async def close(self) -> None:
        """Politely first, so that it takes its files in /tmp with it."""
        self._server.ask_to_stop()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._server.wait()
        except TimeoutError:
            self._server.kill()
            await self._server.wait()


async def start_display(directory: Path, width: int, height: int) -> Display:
    """Starts Xvfb on a free display number.

    Raises DisplayStartError when it is not installed or does not start, StartError when it cannot be run.
    """
    program = shutil.which("Xvfb", path="/usr/local/bin:/usr/bin:/bin")
    if program is None:
        raise DisplayStartError("Xvfb is not installed")
    authority = directory / "Xauthority"
    cookie = secrets.token_bytes(16)
    authority.touch(mode=0o600)
    authority.write_bytes(_authority(cookie, None))
    reader, writer = os.pipe2(os.O_CLOEXEC)
    log = BoundedLog(directory / "display.log")
    server = Supervised(lambda _, chunk: log.write(chunk))
    command = (program, "-displayfd", str(writer), "-screen", "0", f"{width}x{height}x24", "-auth", str(authority))
    try:
        await server.start(
            (*command, "-nolisten", "tcp", "-noreset", "-dpi", "96"), {"PATH": "/usr/bin:/bin"}, directory, (writer,)
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    number = await _number(reader, server)
    authority.write_bytes(_authority(cookie, number))
    # Our own connections, and libav's, find the cookie here.
    os.environ["XAUTHORITY"] = str(authority)
    return Display(f":{number}", authority, server)


async def _number(descriptor: int, server: Supervised) -> int:
    """What the server writes when it listens."""
    stream = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(stream)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(descriptor, "rb", 0))
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            line = await stream.readline()
    except TimeoutError:
        line = b""
    finally:
        transport.close()
    if not line.strip().isdigit():
        server.kill()
        raise DisplayStartError("Xvfb did not start; display.log says why")
    return int(line)


def _authority(cookie: bytes, number: int | None) -> bytes:
    """An Xauthority file: an entry for any display, and one for display `number` of this host where it is known.

    The server and libxcb take the first; python-xlib knows no wildcards.
    """

    def entry(family: int, address: bytes, display: bytes) -> bytes:
        fields = (address, display, _COOKIE_NAME, cookie)
        return struct.pack(">H", family) + b"".join(struct.pack(">H", len(field)) + field for field in fields)

    own = b"" if number is None else entry(_FAMILY_LOCAL, socket.gethostname().encode(), str(number).encode())
    return own + entry(_FAMILY_WILD, b"", b"")
