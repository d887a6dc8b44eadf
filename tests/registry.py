"""A real image registry (Debian's docker-registry) in a folder of its own, and a gate that holds its answers back."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.conftest import end_process
from tests.ports import free_port

CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
{more}"""


class Registry:
    """One registry. Engines take 127.0.0.0/8 without TLS."""

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        self.name = f"127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP: who asks it for something waits, until SIGCONT."""
        assert self.process is not None
        self.process.send_signal(number)

    def layers(self) -> list[Path]:
        """The blobs, largest first."""
        blobs = [path for path in self.root.rglob("data") if path.is_file()]
        return sorted(blobs, key=lambda path: path.stat().st_size, reverse=True)


def run(root: Path, more: str = "") -> Iterator[Registry]:
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("no registry: docker-registry is not installed")
    root.mkdir()
    registry = Registry(root, port := free_port())
    config = root.with_suffix(".yml")
    config.write_text(CONFIG.format(root=root, port=port, more=more))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    registry.process = process = subprocess.Popen(
        [program, "serve", str(config)], env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not _answers(registry):  # it has no way to call back
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield registry
    end_process(process)


def _answers(registry: Registry) -> bool:
    try:
        urllib.request.urlopen(f"http://{registry.name}/v2/", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


class Gate:
    """Passes on what a registry answers until `most` bytes; the rest when it is opened."""

    def __init__(self, port: int, most: int) -> None:
        self.name = f"127.0.0.1:{port}"
        self.open = asyncio.Event()
        self._left = most

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(16384):
            self._left -= len(chunk)
            if self._left < 0:
                await self.open.wait()
            writer.write(chunk)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def gate(registry: Registry, most: int) -> AsyncIterator[Gate]:
    """In front of a registry."""
    host, _, port = registry.name.partition(":")
    gated = Gate(free_port(), most)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, towards = await asyncio.open_connection(host, int(port))
        answers = asyncio.create_task(gated._answers(upstream, writer))
        try:
            while chunk := await reader.read(16384):
                towards.write(chunk)
                await towards.drain()
        except ConnectionError:
            pass  # the engine has what it wanted
        finally:
            towards.close()
            answers.cancel()

    server = await asyncio.start_server(serve, host, int(gated.name.partition(":")[2]))
    try:
        yield gated
    finally:
        gated.open.set()
        server.close()
