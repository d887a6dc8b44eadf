"""A Docker Engine that answers what a test tells it to: for what no real one does on demand."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

# Writes a whole answer; the connection is closed after it.
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FakeEngine:
    """`on` says how requests are answered that match; the newest word counts, and what nobody speaks of is a 404."""

    def __init__(self, path: Path) -> None:
        self.socket = f"unix://{path}"
        self.asked: list[str] = []
        self._answers: list[tuple[re.Pattern[str], Script]] = []

    def on(self, request: str, answer: Script | Any, status: int = 200) -> None:
        """`request`: a regular expression for "METHOD /path", without version and query. `answer`: what is sent as
        JSON, or a script."""
        script = answer if callable(answer) else saying(answer, status)
        self._answers.insert(0, (re.compile(request), script))

    def refuse(self, request: str, why: str = "the device is busy") -> None:
        self.on(request, {"message": why}, 500)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            method, target, _ = (await reader.readline()).decode().split()
            length = 0
            while (line := (await reader.readline()).decode().strip()) != "":
                name, _, value = line.partition(":")
                length = int(value) if name.lower() == "content-length" else length
            await reader.readexactly(length)
            request = f"{method} {re.sub(r'^/v[0-9.]+', '', target).partition('?')[0]}"
            self.asked.append(request)
            script = next((one for pattern, one in self._answers if pattern.fullmatch(request)), None)
            await (script or saying({"message": f"no such thing: {request}"}, 404))(reader, writer)
        finally:
            writer.close()


def saying(answer: Any, status: int = 200) -> Script:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} said\r\nContent-Type: application/json\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return script


async def begin_stream(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 said\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    await writer.drain()


async def event(writer: asyncio.StreamWriter, **fields: Any) -> None:
    """One line of a stream."""
    body = json.dumps(fields).encode() + b"\r\n"
    writer.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
    await writer.drain()


async def end_stream(writer: asyncio.StreamWriter) -> None:
    writer.write(b"0\r\n\r\n")
    await writer.drain()


@asynccontextmanager
async def fake_engine(path: Path) -> AsyncIterator[FakeEngine]:
    """One that listens at `path`."""
    engine = FakeEngine(path)
    server = await asyncio.start_unix_server(engine.serve, path)
    try:
        yield engine
    finally:
        server.close()
