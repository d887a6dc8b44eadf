"""Pulls whose engine or registry fails them on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hostagent.runtime.images import RegistryUnreachable, registry_of
from hostagent.runtime.pulls import Pulls
from tests.fake_engine import FakeEngine, begin_stream, end_stream, event, fake_engine

PULL = "POST /images/create"
WITHIN_S = 20


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[FakeEngine]:
    async with fake_engine(tmp_path / "docker.sock") as engine:
        yield engine


class Silence:
    """Answers nothing, or nothing more after a first word, until it is left."""

    def __init__(self, first_word: bool = False) -> None:
        self._first_word = first_word
        self.asked = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._first_word:
            await begin_stream(writer)
            await event(writer, status="Pulling")
        self.asked.release()
        await self.go_on.wait()
        await event(writer, status="Pulling on")
        await reader.read()
        self.left.set()


async def whole(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await begin_stream(writer)
    await event(writer, status="Status: Downloaded")
    await end_stream(writer)


async def broken_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As by an engine that is killed, in the middle of a word."""
    await begin_stream(writer)
    await event(writer, status="Pulling")
    writer.write(b'40\r\n{"status": "Dow')
    await writer.drain()


async def cut_short(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await begin_stream(writer)
    writer.write(b'5\r\n{"sta\r\n0\r\n\r\n')
    await writer.drain()


async def hung_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("fate", [broken_off, cut_short, hung_up], ids=lambda fate: fate.__name__)
async def test_a_pull_is_made_anew_when_its_engine_dies(engine: FakeEngine, fate) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine.on(PULL, whole)
        await fate(reader, writer)

    engine.on(PULL, once)
    said: list[str] = []
    async with asyncio.timeout(WITHIN_S):
        await Pulls(engine.socket).pull("game:1", said.append)
    assert engine.asked == [PULL, PULL]
    assert said[-1] == "pulling game:1"


@pytest.mark.parametrize("first_word", [False, True])
async def test_a_registry_that_is_silent_is_given_up(engine: FakeEngine, first_word: bool) -> None:
    engine.on(PULL, Silence(first_word))
    with pytest.raises(RegistryUnreachable, match=r"nothing has come for 0\.2 s"):
        await Pulls(engine.socket, silent_s=0.2).pull("quiet.example/game:1", lambda _: None)


async def test_a_pull_waits_for_its_turn_as_long_as_another_is_heard(engine: FakeEngine) -> None:
    heard = asyncio.Event()

    async def talks(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await begin_stream(writer)
        while not heard.is_set():
            await event(writer, status="Downloading")
            await asyncio.sleep(0.02)
        await end_stream(writer)

    pulls = Pulls(engine.socket, silent_s=1.0)
    engine.on(PULL, talks)
    talking = asyncio.create_task(pulls.pull("game:1", lambda _: None))
    async with asyncio.timeout(WITHIN_S):
        while len(engine.asked) < 1:
            await asyncio.sleep(0.01)
        silence = Silence()
        engine.on(PULL, silence)
        waiting = asyncio.create_task(pulls.pull("game:2", lambda _: None))
        await silence.asked.acquire()
        await silence.asked.acquire()  # it has been silent for too long, and was asked once more
        heard.set()
        await talking
        with pytest.raises(RegistryUnreachable):
            await waiting


async def test_silent_registries_hold_up_no_other_and_a_pull_that_is_not_wanted_any_more_leaves_its_engine(
    engine: FakeEngine,
) -> None:
    pulls, silence = Pulls(engine.socket), Silence(first_word=True)
    engine.on(PULL, silence)
    quiet = [asyncio.create_task(pulls.pull(f"quiet.example/{n}:1", lambda _: None)) for n in range(3)]
    async with asyncio.timeout(WITHIN_S):
        for _ in range(2):
            await silence.asked.acquire()
        engine.on(PULL, whole)
        await pulls.pull("game:1", lambda _: None)
        quiet[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await quiet[0]
        await quiet[2]
        silence.go_on.set()
        await silence.left.wait()
    quiet[1].cancel()


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("game", "docker.io"),
        ("studio/game:1", "docker.io"),
        ("localhost/game", "localhost"),
        ("registry.example/studio/game", "registry.example"),
        ("registry:5000/game@sha256:0", "registry:5000"),
    ],
)
def test_the_registry_of_an_image(image: str, registry: str) -> None:
    assert registry_of(image) == registry
