"""A flood of strangers who say nothing, or half of something: they are bounded, and players get through."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from controlplane.gateway.call import Transcoder
from controlplane.gateway.door import MOST, Anteroom, Terms, most_of
from controlplane.gateway.origins import OriginPolicy
from controlplane.gateway.serve import listening
from controlplane.gateway.signalling import admitted, receive

WITHIN_S = 20.0
# Long enough for what is told apart here to be told apart on a busy machine, and no longer.
BRIEF = Terms(head_s=0.5, body_s=0.5, look_s=0.05)


class Silent(Transcoder):
    def __init__(self) -> None:
        self._closing = asyncio.Event()


@contextlib.asynccontextmanager
async def serving(terms: Terms, anteroom: Anteroom | None = None) -> AsyncIterator[int]:
    waiting = anteroom or Anteroom()

    async def root(request: Request) -> Response:
        return PlainTextResponse(f"{len(await request.body())} bytes")

    async def socket(websocket: WebSocket) -> None:
        async with admitted(websocket, OriginPolicy(), waiting) as entry:
            if entry is not None:
                await receive(websocket)
                entry.known()
                await websocket.send_text("known")
                await receive(websocket)

    app = Starlette(routes=[Route("/", root, methods=["GET", "POST"]), WebSocketRoute("/socket", socket)])
    app.state.transcoder = Silent()
    async with listening(app, "127.0.0.1", 0, terms) as port:
        yield port


async def answer_to(port: int, said: bytes) -> bytes:
    """All that comes until the gateway closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    async with asyncio.timeout(WITHIN_S):
        with contextlib.suppress(ConnectionResetError):
            return await reader.read()
    return b""


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf",
    ],
)
async def test_who_does_not_finish_asking_is_shown_out(said: bytes) -> None:
    async with serving(BRIEF) as port:
        assert b"200 OK" not in await answer_to(port, said)


async def test_half_a_head_after_an_answer_is_no_reason_to_stay() -> None:
    async with serving(BRIEF) as port:
        answer = await answer_to(port, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HT")
    assert answer.count(b"200 OK") == 1


async def test_who_has_said_who_he_is_may_be_silent(ahead: Callable[[float], None]) -> None:
    terms = Terms()
    async with serving(terms) as port, connect(f"ws://127.0.0.1:{port}/socket") as socket:
        await socket.send("me")
        assert await socket.recv() == "known"
        strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        strangers[0][1].write(b"GET")
        assert await served(port) == 200  # so those before have come in
        ahead(terms.head_s + terms.look_s)
        # They are shown out, and nobody else.
        assert [await ended(reader) for reader, _ in strangers] == [True, True]
        await (await socket.ping())


async def test_one_address_gets_its_share_and_is_told_why_not_more() -> None:
    async with serving(Terms(connections=100, per_peer=5)) as port:
        guests = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        for reader, writer in guests:  # each is served, and stays
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"bytes")
        refusal = await answer_to(port, b"")
        assert refusal.startswith(b"HTTP/1.1 503 ")
        assert b"TOO_MANY_CONNECTIONS" in refusal
        for _, writer in guests[:2]:
            writer.close()
            await writer.wait_closed()
        answers = [await served(port) for _ in range(3)]
        for _, writer in guests[2:]:
            writer.close()
    assert answers == [200, 200, 200]


async def test_a_flood_from_one_address_leaves_room_for_the_others() -> None:
    async with serving(Terms(connections=200)) as port, httpx.AsyncClient() as player:
        flood = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)) for _ in range(400))
        )
        for _ in range(20):
            assert (await player.get(f"http://127.0.0.1:{port}/", timeout=WITHIN_S)).status_code == 200
        # Who came first and said nothing made room for who came later.
        shown_out = await asyncio.gather(*(ended(reader) for reader, _ in flood[:350]))
        assert shown_out == [True] * 350
        for _, writer in flood:
            writer.close()


async def test_who_asks_is_served_though_his_own_address_floods() -> None:
    async with serving(Terms(connections=200)) as port:
        flood = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(400)))
        for _ in range(20):
            async with httpx.AsyncClient() as player:
                assert (await player.get(f"http://127.0.0.1:{port}/", timeout=WITHIN_S)).status_code == 200
        for _, writer in flood:
            writer.close()


async def test_a_flood_from_many_addresses_leaves_room_for_the_others() -> None:
    async with serving(Terms(connections=200)) as port, httpx.AsyncClient() as player:
        flood = await asyncio.gather(
            *(
                asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.0.{2 + number % 8}", 0))
                for number in range(400)
            )
        )
        for _ in range(20):
            assert (await player.get(f"http://127.0.0.1:{port}/", timeout=WITHIN_S)).status_code == 200
        async with connect(f"ws://127.0.0.1:{port}/socket") as socket:
            await socket.send("me")
            assert await socket.recv() == "known"
        for _, writer in flood:
            writer.close()


async def test_who_has_asked_once_makes_room_too() -> None:
    async with serving(Terms(connections=12, head_s=3600.0)) as port:
        flood = [
            await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.0.{2 + number % 4}", 0))
            for number in range(12)
        ]
        for reader, writer in flood:
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"bytes")
            writer.write(b"GET")
        assert await served(port) == 200
        for _, writer in flood:
            writer.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(WITHIN_S):
            return await reader.read() == b""
    except ConnectionResetError:
        return True


async def served(port: int) -> int:
    """The status of one request, asked again while the door is still full."""
    async with asyncio.timeout(WITHIN_S), httpx.AsyncClient() as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                status = (await client.get(f"http://127.0.0.1:{port}/")).status_code
                if status != 503:
                    return status


async def test_sockets_of_strangers_are_few_and_those_that_are_known_do_not_count() -> None:
    url_of = "ws://127.0.0.1:{}/socket".format
    async with serving(Terms(), Anteroom(8)) as port, contextlib.AsyncExitStack() as open_sockets:
        for _ in range(4):
            known = await open_sockets.enter_async_context(connect(url_of(port)))
            await known.send("me")
            assert await known.recv() == "known"
        strangers = [await open_sockets.enter_async_context(connect(url_of(port))) for _ in range(3)]
        await made_room(strangers[0])
        for stranger in strangers[1:]:
            await stranger.send("me")
            assert await stranger.recv() == "known"


async def test_strangers_from_many_addresses_leave_a_socket_for_a_player() -> None:
    url_of = "ws://127.0.0.1:{}/socket".format
    async with serving(Terms(), Anteroom(8)) as port, contextlib.AsyncExitStack() as open_sockets:
        strangers = [
            await open_sockets.enter_async_context(
                connect(url_of(port), additional_headers={"x-forwarded-for": address})
            )
            for number in range(6)
            for address in (f"192.0.2.{number}", f"2001:db8::{number}")
        ]
        player = await open_sockets.enter_async_context(connect(url_of(port)))
        await player.send("me")
        assert await player.recv() == "known"
        # All of one /64 are one address, which has but a quarter.
        await made_room(*strangers[1:11:2])


async def made_room(*sockets: ClientConnection) -> None:
    for socket in sockets:
        with pytest.raises(ConnectionClosed) as shown_out:
            async with asyncio.timeout(WITHIN_S):
                await socket.recv()
        assert shown_out.value.rcvd is not None
        assert shown_out.value.rcvd.code == 4014


def test_the_bound_leaves_the_rest_of_the_house_its_descriptors() -> None:
    assert most_of(0, 1024) == 512
    assert most_of(2000, 1024) == 512
    assert most_of(100, 1024) == 100
    assert most_of(0, 1 << 20) == MOST
    assert most_of(0, -1) == MOST
