"""An HTTP check asks the game's own port until the answer is the wanted one, or says what it heard instead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from wrapper.readiness import NotReadyError, ReadinessCheck
from wrapper.spec import HttpCheck, Port, Readiness


@asynccontextmanager
async def game(answer: Callable[[bytes], bytes]) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers whatever `answer` makes of the request line; and the requests heard so far."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        heard.append(request)
        writer.write(answer(request))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


def check(port: int, status: int = 0, timeout_s: float = 30.0, protocol: str = "tcp") -> ReadinessCheck:
    wanted = Readiness(http=HttpCheck("web", "/health?deep=1", status), timeout_s=timeout_s)
    return ReadinessCheck(wanted, (Port("web", protocol, port, 0),))


async def test_the_first_good_answer_is_enough() -> None:
    answers = [b"HTTP/1.1 503 Starting\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"]
    async with game(lambda _: answers.pop(0)) as (port, heard):
        await check(port).passed()
    assert len(heard) == 2
    assert heard[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_exactly_the_wanted_status_counts() -> None:
    answers = [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.0 418 Teapot\r\n\r\n"]
    async with game(lambda _: answers.pop(0)) as (port, _):
        await check(port, status=418).passed()
    assert not answers


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", "answered with 500"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "answered with 302"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP was spoken"),
        (b"x" * 100_000, "no HTTP was spoken"),
        (b"", "no HTTP was spoken"),
    ],
    ids=["failing", "redirecting", "another protocol", "endless line", "nothing"],
)
async def test_what_was_heard_instead_is_told(answer: bytes, said: str, ahead: Callable[[float], None]) -> None:
    asked: asyncio.Queue[bytes] = asyncio.Queue()

    def answering(request: bytes) -> bytes:
        asked.put_nowait(request)
        return answer

    async with game(answering) as (port, _):
        passing = asyncio.create_task(check(port).passed())
        for _ in range(2):  # whoever asks again has heard the first answer
            await asked.get()
        ahead(30)
        with pytest.raises(NotReadyError, match=said):
            await passing


async def test_a_port_nobody_listens_on_is_told() -> None:
    async with game(lambda _: b"") as (port, _):
        pass
    with pytest.raises(NotReadyError, match="was not answered"):
        await check(port, timeout_s=3).passed()


def test_a_port_that_is_no_tcp_port_of_the_game_is_refused() -> None:
    with pytest.raises(NotReadyError, match="web"):
        check(1, protocol="udp")


@pytest.mark.parametrize("pattern", ["(a", "(?=ready)", "(ready)\\1"])
def test_a_pattern_that_re2_does_not_know_is_malformed(pattern: str) -> None:
    with pytest.raises(NotReadyError, match="malformed"):
        ReadinessCheck(Readiness(log_pattern=pattern), ())


async def test_no_pattern_takes_long_over_a_line() -> None:
    # Backtracking would need 2^8000 steps for it.
    ready = ReadinessCheck(Readiness(log_pattern="^(a+)+$"), ())
    ready.line("a" * 8000 + "!")
    ready.line("a" * 8000)
    await ready.passed()
