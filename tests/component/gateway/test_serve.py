"""The entry that `quarterdeck gateway` calls, as a process of its own."""

import asyncio
import signal
import socket
import sys

import httpx

from controlplane.gateway.serve import listen
from tests.component.gateway.conftest import until_ready
from tests.component.gateway.library import Library, running

PROGRAM = """
import asyncio, sys
from controlplane.gateway.serve import serve
asyncio.run(serve(sys.argv[1], "127.0.0.1", 0, on_ready=lambda port: print(port, flush=True)))
"""


def test_the_listener_lets_asyncio_switch_nagle_off():
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


async def test_it_serves_until_sigterm_and_ends_open_streams_in_words():
    library = Library()
    async with running(library) as grpc_port:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, f"127.0.0.1:{grpc_port}", stdout=asyncio.subprocess.PIPE
        )
        try:
            while not (line := (await process.stdout.readline()).strip()).isdigit():
                assert line, "the program ended early"
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{int(line)}") as client:
                await until_ready(client)
                async with client.stream("GET", "/v1/ticks/1?hold=true") as answer:
                    lines = answer.aiter_lines()
                    assert await anext(lines) == '{"number":1}'
                    process.send_signal(signal.SIGTERM)
                    assert "shutting down" in await anext(lines)
            assert await asyncio.wait_for(process.wait(), 10) == 0
            async with asyncio.timeout(5):
                await library.cancelled.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
