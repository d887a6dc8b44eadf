"""Archives to a control plane that says no: what is heard of it, and what becomes of files that are no archive."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import grpc
import pytest
from quarterdeck.v1 import agent_pb2, agent_pb2_grpc, wrapper_pb2

from controlplane.api import status
from controlplane.api.interceptors import abort
from controlplane.domain.errors import Exhausted, QuarterdeckError, WrongState
from hostagent import transfer
from hostagent.archive import Contents
from hostagent.plan import WorkloadKey
from hostagent.saves import Patience, Saves
from hostagent.transfer import ArchiveLink, NotNow

HEADER = agent_pb2.ArchiveHeader(session_id="s", generation=1, archive_id="final", final=True)
GONE = WrongState("SAVE_GONE", "nobody waits for it")
TOO_LARGE = Exhausted("ARCHIVE_TOO_LARGE", "the archive is larger than 2 bytes")


class Plane(agent_pb2_grpc.AgentLinkServiceServicer):
    """`answer` tells from the second message of a call what to refuse it with; None: nothing."""

    def __init__(self, answer: Callable[[agent_pb2.StoreArchiveRequest], QuarterdeckError | None]) -> None:
        self._answer = answer
        self.failures: list[str] = []
        self.left_s: list[float | None] = []

    async def StoreArchive(self, requests: Any, context: Any) -> AsyncIterator[agent_pb2.StoreArchiveResponse]:
        self.left_s.append(context.time_remaining())
        await anext(requests)
        second = await anext(requests)
        if second.HasField("failure"):
            self.failures.append(f"{second.failure.reason}: {second.failure.detail}")
        refused = self._answer(second)
        if refused is not None:
            await abort(context, status.status_of(refused, {}), "r")
        yield agent_pb2.StoreArchiveResponse()


@asynccontextmanager
async def linked(plane: agent_pb2_grpc.AgentLinkServiceServicer) -> AsyncIterator[ArchiveLink]:
    server = grpc.aio.server()
    agent_pb2_grpc.add_AgentLinkServiceServicer_to_server(plane, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = agent_pb2_grpc.AgentLinkServiceStub(channel)
        link = ArchiveLink(lambda: stub)
        yield link
    await server.stop(None)


async def test_an_archive_may_take_its_time_while_some_of_it_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    def never(_: BinaryIO) -> Contents:
        asyncio.run_coroutine_threadsafe(asked.wait(), loop).result()
        return Contents()

    loop, plane = asyncio.get_running_loop(), Plane(lambda _: None)
    async with linked(plane) as link:
        assert await link.store(HEADER, lambda _: Contents()) == Contents()
        monkeypatch.setattr(transfer, "_STALLED_S", 0.01)
        with pytest.raises(NotNow, match="nothing of the archive has moved"):
            await link.store(HEADER, never)
        asked.set()
    assert plane.left_s == [None, None]


async def test_reads_that_hang_hold_up_their_own_sessions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go, begun = threading.Event(), list[str]()

    def hang(_: BinaryIO) -> Contents:
        begun.append("one")
        assert let_go.wait(60)
        return Contents()

    others = [agent_pb2.ArchiveHeader(session_id=f"s-{number}", generation=1) for number in range(4)]
    async with linked(Plane(lambda _: None)) as link:
        with monkeypatch.context() as patched:
            patched.setattr(transfer, "_STALLED_S", 0.01)
            for header in others:
                with pytest.raises(NotNow, match="nothing of the archive has moved"):
                    await link.store(header, hang)
        again = asyncio.ensure_future(link.store(others[0], hang))
        assert await asyncio.wait_for(link.store(HEADER, lambda _: Contents(files=1)), 20) == Contents(files=1)
        assert (begun, again.done()) == (["one"] * 4, False)
        let_go.set()
        assert await asyncio.wait_for(again, 20) == Contents()


class Silent(agent_pb2_grpc.AgentLinkServiceServicer):
    """Hears each call, and says nothing."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def StoreArchive(self, requests: Any, context: Any) -> AsyncIterator[agent_pb2.StoreArchiveResponse]:
        await anext(requests)
        await anext(requests)
        self.asked.set()
        await asyncio.Event().wait()
        yield agent_pb2.StoreArchiveResponse()

    async def FetchArchive(self, request: Any, context: Any) -> AsyncIterator[agent_pb2.FetchArchiveResponse]:
        self.asked.set()
        await asyncio.Event().wait()
        yield agent_pb2.FetchArchiveResponse()


@pytest.mark.parametrize(
    "call",
    [
        lambda link, path: link.store(HEADER, lambda _: Contents()),
        lambda link, path: link.fetch(WorkloadKey("s", 1), path),
        lambda link, path: link.fail(HEADER, "TOO_LARGE", "it is too large"),
    ],
    ids=["store", "fetch", "fail"],
)
async def test_a_link_that_ends_under_a_call_is_no_link_and_cancels_nobody(
    tmp_path: Path, call: Callable[[ArchiveLink, Path], Awaitable[object]]
) -> None:
    plane = Silent()
    async with linked(plane) as link:
        calling = asyncio.ensure_future(call(link, tmp_path / "archive"))
        await asyncio.wait_for(plane.asked.wait(), 20)
    with pytest.raises(NotNow, match="the link ended"):
        await calling


@pytest.mark.parametrize(
    ("max_bytes", "refusal", "told"),
    [
        (10, None, "FILES_REFUSED: the files are larger than 10 bytes together"),
        (1000, TOO_LARGE, "FILES_REFUSED: RESOURCE_EXHAUSTED: the archive is larger than 2 bytes"),
    ],
    ids=["packed", "sent"],
)
async def test_files_that_are_no_archive_are_kept_until_nobody_waits_for_them(
    tmp_path: Path, max_bytes: int, refusal: QuarterdeckError | None, told: str
) -> None:
    kept = tmp_path / "unstored" / "s.1"
    (kept / "world").mkdir(parents=True)
    (kept / "world" / "large").write_bytes(bytes(100))
    spec = wrapper_pb2.SessionSpec(save="saves/mine")
    spec.deployment.saves.volumes.append("world")
    spec.deployment.saves.max_bytes = max_bytes
    (kept / "spec.binpb").write_bytes(spec.SerializeToString())
    waited_for = [True, True, False]
    there: list[bool] = []

    def answer(second: agent_pb2.StoreArchiveRequest) -> QuarterdeckError | None:
        if not second.HasField("failure"):
            return refusal
        there.append((kept / "world" / "large").exists())
        return None if waited_for.pop(0) else GONE

    plane, gone = Plane(answer), asyncio.Event()

    def changed(_: bool) -> None:
        if not saves.unstored()[0]:
            gone.set()

    async with linked(plane) as link:
        saves = Saves(tmp_path / "unstored", link, changed, Patience(hopeless_s=0.01))
        saves.begin(tmp_path)
        await asyncio.wait_for(gone.wait(), 10)
        await saves.close()
    assert (plane.failures, there) == ([told] * 3, [True] * 3)
    assert list((tmp_path / "unstored").iterdir()) == []
