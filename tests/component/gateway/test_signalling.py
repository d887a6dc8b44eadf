"""The WebSocket between a browser and StreamingService.Signal, with a real WebSocket client."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from controlplane.gateway.app import create_app
from controlplane.gateway.origins import OriginPolicy
from controlplane.gateway.serve import listening
from controlplane.gateway.signalling import MAX_MESSAGE_BYTES, signalling_route
from controlplane.gateway.target import Target, open_channel
from tests.component.gateway.control_plane import STREAM_TOKEN, Accounts, Streaming, control_plane

OFFER = {"description": {"type": "offer", "sdp": "v=0"}}


class Site:
    def __init__(self, port: int, streaming: Streaming) -> None:
        self.port = port
        self.streaming = streaming

    def connect(self, **options):
        return connect(f"ws://127.0.0.1:{self.port}/v1/signalling", max_size=2**20, **options)


@pytest.fixture
def handshake_timeout_s() -> float:
    return 30


@pytest.fixture
async def site(handshake_timeout_s):
    streaming = Streaming()
    policy = OriginPolicy(frozenset({"https://play.example"}))
    async with control_plane(Accounts(), streaming) as grpc_port, open_channel(f"127.0.0.1:{grpc_port}") as channel:
        route = signalling_route(channel, policy, handshake_timeout_s=handshake_timeout_s)
        async with listening(create_app(Target(channel), routes=[route]), "127.0.0.1", 0) as port:
            yield Site(port, streaming)


async def hello(socket, token=STREAM_TOKEN):
    await socket.send(json.dumps({"streamToken": token}))
    return json.loads(await socket.recv())


async def closed(socket) -> tuple[int, str]:
    await socket.wait_closed()
    return socket.close_code, socket.close_reason


async def test_signals_pass_both_ways(site):
    async with site.connect(origin=f"http://127.0.0.1:{site.port}") as socket:
        assert await hello(socket) == OFFER
        candidate = {"candidate": {"candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0}}
        await socket.send(json.dumps(candidate))
        assert json.loads(await socket.recv()) == candidate
        await socket.send('{"close": {"reason": "done"}}')
        assert await closed(socket) == (1000, "the session's signalling has ended")


async def test_the_end_of_the_call_closes_with_its_code_and_message(site):
    async with site.connect() as socket:
        await hello(socket)
        await socket.send('{"close": {"reason": "fail"}}')
        assert await closed(socket) == (4014, "the wrapper is gone")


async def test_a_refused_token_closes_with_a_reason_that_fits(site):
    async with site.connect() as socket:
        await socket.send('{"streamToken": "used"}')
        code, reason = await closed(socket)
    assert code == 4016
    assert reason.startswith("the stream token is used up üü")
    assert len(reason.encode()) <= 123


@pytest.mark.parametrize(
    "first",
    ["{}", '{"streamToken": ""}', '{"streamToken": 5}', '["x"]', '{"streamToken": "a", "more": 1}',
     '{"streamToken": "' + "x" * 5000 + '"}'],
)  # fmt: skip
async def test_a_first_message_without_a_token_is_refused(site, first):
    async with site.connect() as socket:
        await socket.send(first)
        assert (await closed(socket))[0] == 1008


@pytest.mark.parametrize(
    ("sent", "code", "words"),
    [
        ("{", 1007, "not valid JSON"),
        ('{"offer": {}}', 1007, "offer: unknown field"),
        ('{"candidate": {"sdpMid": 5}}', 1007, "candidate.sdpMid: "),
        (b"{}", 1003, "messages are text"),
    ],
)
async def test_a_bad_signal_closes_with_the_reason(site, sent, code, words):
    async with site.connect() as socket:
        await hello(socket)
        await socket.send(sent)
        given, reason = await closed(socket)
    assert given == code
    assert words in reason
    async with asyncio.timeout(30):
        await site.streaming.cancelled.wait()


async def test_a_message_over_the_limit_closes(site):
    async with site.connect() as socket:
        await hello(socket)
        await socket.send("x" * (MAX_MESSAGE_BYTES + 1))
        assert (await closed(socket))[0] == 1009


@pytest.mark.parametrize("handshake_timeout_s", [1])
async def test_silence_instead_of_a_token_closes(site):
    async with site.connect() as socket:
        assert await closed(socket) == (1008, "no stream token within 1 s")


async def test_the_call_is_cancelled_when_the_browser_leaves(site):
    async with site.connect() as socket:
        await hello(socket)
    async with asyncio.timeout(30):
        await site.streaming.cancelled.wait()


@pytest.mark.parametrize("origin", ["https://evil.example", "https://play.example.evil.example", "http://localhost"])
async def test_a_page_of_a_foreign_origin_is_refused_at_the_door(site, origin):
    with pytest.raises(InvalidStatus) as caught:
        async with site.connect(origin=origin):
            pass
    assert caught.value.response.status_code == 403
    assert json.loads(caught.value.response.body)["code"] == 7


async def test_an_allowed_origin_may_signal(site):
    async with site.connect(origin="https://play.example") as socket:
        assert await hello(socket) == OFFER
