"""The console's WebSocket, with a real WebSocket client and a control plane of its own."""

import asyncio
import json

import grpc
import pytest
from quarterdeck.v1 import console_pb2, console_pb2_grpc
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from controlplane.gateway.app import create_app
from controlplane.gateway.console import console_route
from controlplane.gateway.origins import OriginPolicy
from controlplane.gateway.serve import listening
from controlplane.gateway.target import Target, open_channel


class Consoles(console_pb2_grpc.ConsoleServiceServicer):
    """Prints one line after the sequence asked for, and remembers what is typed."""

    def __init__(self) -> None:
        self.typed = []
        self.callers = []

    async def StreamConsole(self, request, context):
        self.callers.append(dict(context.invocation_metadata()).get("authorization"))
        if request.session == "sessions/gone":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "it has ended")
        line = console_pb2.ConsoleLine(sequence=request.after_sequence + 1, text="ready")
        yield console_pb2.ConsoleOutput(lines=[line])
        if request.session == "sessions/long":
            await asyncio.Event().wait()

    async def SendConsoleInput(self, request, context):
        self.typed.append((request.session, list(request.lines)))
        if request.lines[0] == "deaf":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the game does not read its input")
        if "\t" in request.lines[0]:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "lines[0]: must be one line of text")
        return console_pb2.SendConsoleInputResponse(sequence=1)


class Site:
    def __init__(self, port: int, consoles: Consoles) -> None:
        self.port = port
        self.consoles = consoles

    def connect(self, **options):
        return connect(f"ws://127.0.0.1:{self.port}/v1/console", max_size=2**20, **options)


@pytest.fixture
async def site():
    consoles, server = Consoles(), grpc.aio.server()
    console_pb2_grpc.add_ConsoleServiceServicer_to_server(consoles, server)
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_channel(f"127.0.0.1:{grpc_port}") as channel:
            route = console_route(channel, OriginPolicy(frozenset()))
            async with listening(create_app(Target(channel), routes=[route]), "127.0.0.1", 0) as port:
                yield Site(port, consoles)
    finally:
        await server.stop(None)


async def closed(socket) -> tuple[int, str]:
    await socket.wait_closed()
    return socket.close_code, socket.close_reason


async def test_output_goes_on_after_the_last_sequence_and_the_end_closes_well(site):
    headers = {"Authorization": "Bearer t-1"}
    async with site.connect(additional_headers=headers) as socket:
        await socket.send(json.dumps({"session": "sessions/s-1", "afterSequence": "41"}))
        output = json.loads(await socket.recv())
        (line,) = output["lines"]
        assert (line["sequence"], line["text"]) == ("42", "ready")
        assert await closed(socket) == (1000, "the game is over")
    assert site.consoles.callers == ["Bearer t-1"]


async def test_lines_are_typed_into_the_session_that_was_opened(site):
    async with site.connect() as socket:
        await socket.send('{"session": "sessions/long"}')
        await socket.recv()
        await socket.send('{"session": "sessions/other", "lines": ["say hi"]}')
        await socket.send('{"lines": ["deaf"]}')
        assert await closed(socket) == (4009, "the game does not read its input")
    assert site.consoles.typed == [("sessions/long", ["say hi"]), ("sessions/long", ["deaf"])]


async def test_a_refusal_and_a_broken_message_close_with_their_reason(site):
    async with site.connect() as socket:
        await socket.send('{"session": "sessions/gone"}')
        assert await closed(socket) == (4009, "it has ended")
    async with site.connect() as socket:
        await socket.send("{")
        assert (await closed(socket))[0] == 1007


async def test_a_bad_line_is_told_and_the_console_stays(site):
    async with site.connect() as socket:
        await socket.send('{"session": "sessions/long"}')
        await socket.recv()
        for bad in ('{"lines": ["a\\tb"]}', "{", '{"lines": 5}'):
            await socket.send(bad)
            refused = json.loads(await socket.recv())["refused"]
            assert refused["code"] == 3
            assert refused["message"]
        await socket.send('{"lines": ["say hi"]}')
        await socket.send('{"lines": ["deaf"]}')
        assert (await closed(socket))[0] == 4009
    assert ("sessions/long", ["say hi"]) in site.consoles.typed


async def test_a_foreign_page_gets_no_console(site):
    with pytest.raises(InvalidStatus) as refused:
        await site.connect(origin="https://evil.example").__aenter__()
    assert refused.value.response.status_code == 403
    assert site.consoles.callers == []
