"""A name that was made to lead here opens nothing: the gateway answers to its own names alone."""

import asyncio
import sys

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from controlplane.gateway.app import create_app
from controlplane.gateway.hosts import names_of
from controlplane.gateway.serve import listening
from controlplane.gateway.target import Target, open_channel
from tests.component.gateway.conftest import until_ready
from tests.component.gateway.library import Library, running
from tests.ports import free_port

BOOK = "/v1/shelves/1/books/2"


async def test_a_gateway_without_sign_in_answers_to_this_machine_and_to_names_of_its_own(tmp_path):
    http_port = free_port()
    async with running(Library()) as grpc_port:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controlplane", "gateway", "--target", f"127.0.0.1:{grpc_port}",
            "--http-port", str(http_port), "--data-dir", tmp_path,
            env={"QUARTERDECK_ALLOWED_HOSTS": "deck.example", "HOME": str(tmp_path)},
        )  # fmt: skip
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_port}") as client:
                await until_ready(client)
                for name in (f"127.0.0.1:{http_port}", f"localhost:{http_port}", "deck.example", "192.0.2.7:80"):
                    assert (await client.get(BOOK, headers={"host": name})).status_code == 200
                for path in (BOOK, "/openapi.json", "/metrics", "/healthz"):
                    refused = await client.get(path, headers={"host": f"rebound.example:{http_port}"})
                    assert refused.status_code == 421, path
                    told = refused.json()
                    assert told["details"][0]["reason"] == "HOST_NOT_ALLOWED"
                    assert "'rebound.example'" in told["message"]
                    assert "QUARTERDECK_ALLOWED_HOSTS" in told["message"]
        finally:
            process.terminate()
            await process.wait()


async def test_a_socket_of_another_name_is_refused_too():
    async with open_channel("127.0.0.1:1") as channel:
        app = create_app(Target(channel), hosts=names_of([], []))
        async with listening(app, "127.0.0.1", 0) as port:
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"ws://rebound.example:{port}/v1/signalling", host="127.0.0.1", port=port):
                    pass
    assert refused.value.response.status_code == 403
