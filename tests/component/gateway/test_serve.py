"""`quarterdeck gateway --target`, as a process of its own."""

import asyncio
import signal
import socket
import sys

import httpx

from controlplane.gateway.serve import listen
from tests.component.gateway.conftest import until_ready
from tests.component.gateway.library import Library, running
from tests.ports import free_port


def test_the_listener_lets_asyncio_switch_nagle_off():
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


async def test_the_command_serves_until_sigterm_and_ends_open_streams_in_words(tmp_path):
    library, http_port = Library(), free_port()
    async with running(library) as grpc_port:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controlplane", "gateway", "--target", f"127.0.0.1:{grpc_port}",
            "--http-port", str(http_port), "--data-dir", tmp_path,
        )  # fmt: skip
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_port}") as client:
                await until_ready(client)
                async with client.stream("GET", "/v1/ticks/1?hold=true") as answer:
                    lines = answer.aiter_lines()
                    assert await anext(lines) == '{"number":1}'
                    process.send_signal(signal.SIGTERM)
                    assert "shutting down" in await anext(lines)
            assert await asyncio.wait_for(process.wait(), 30) == 0
            async with asyncio.timeout(30):
                await library.cancelled.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
