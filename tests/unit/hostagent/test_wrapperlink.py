"""What a wrapper's socket may say, should somebody else have taken it over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest
from quarterdeck.v1 import wrapper_pb2, wrapper_pb2_grpc

from hostagent.sessiondir import SOCKET
from hostagent.wrapperlink import WrapperLink, WrapperUnreachable


class Talker(wrapper_pb2_grpc.WrapperServiceServicer):
    def __init__(self) -> None:
        self.words = [
            wrapper_pb2.WorkloadStatus(reason_detail="x"),
            wrapper_pb2.WorkloadStatus(reason_detail="x" * 1_000_000),
        ]

    async def WatchStatus(self, request, context):
        for word in self.words:
            yield word


@pytest.fixture
def talker() -> Talker:
    return Talker()


@pytest.fixture
async def talking(tmp_path: Path, talker: Talker) -> AsyncIterator[Path]:
    """A session's directory whose wrapper answers."""
    session = tmp_path / "talking.1"
    session.mkdir()
    server = grpc.aio.server()
    wrapper_pb2_grpc.add_WrapperServiceServicer_to_server(talker, server)
    server.add_insecure_port(f"unix:{session / SOCKET}")
    await server.start()
    yield session
    await server.stop(0)


async def test_a_word_too_long_for_its_hosts_link_is_not_heard(talking: Path) -> None:
    link = WrapperLink(talking)
    try:
        await link.until_ready(10)
        assert [len(status.reason_detail) async for status in link.watch()] == [1]
    finally:
        await link.close()


async def test_a_link_to_another_sessions_socket_is_not_followed(talking: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.1"
    hostile.mkdir()
    (hostile / SOCKET).symlink_to(talking / SOCKET)
    link = WrapperLink(hostile)
    try:
        with pytest.raises(WrapperUnreachable):
            await link.until_ready(0.5)
        with pytest.raises(WrapperUnreachable):
            await link.type(["stop"])
    finally:
        await link.close()


async def test_a_socket_that_is_hidden_once_it_is_held_is_still_dialled(talking: Path) -> None:
    link = WrapperLink(talking)
    try:
        await link.hold(10)
        (talking / SOCKET).rename(talking / "away.sock")
        await link.until_ready(10)
    finally:
        await link.close()


async def test_the_socket_of_a_start_that_was_undone_is_not_held(tmp_path: Path, talking: Path) -> None:
    anew = tmp_path / "anew.1"
    anew.mkdir()
    with socket.socket(socket.AF_UNIX) as undone:
        undone.bind(str(anew / SOCKET))
    link = WrapperLink(anew)
    try:
        with pytest.raises(WrapperUnreachable):
            await link.hold(0.05)
        (talking / SOCKET).rename(anew / SOCKET)
        await link.until_ready(10)
    finally:
        await link.close()


async def test_the_last_word_is_not_waited_with_behind_the_first_of_a_stop(talking: Path, talker: Talker) -> None:
    states = [wrapper_pb2.WORKLOAD_STATE_STOPPING, wrapper_pb2.WORKLOAD_STATE_EXITED]
    talker.words = [wrapper_pb2.WorkloadStatus(state=state) for state in states]
    link = WrapperLink(talking)
    try:
        await link.until_ready(10)
        async with asyncio.timeout(60), aclosing(link.watch(pace_s=3600)) as said:
            assert [(await anext(said)).state for _ in states] == states
    finally:
        await link.close()
