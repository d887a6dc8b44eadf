"""What a wrapper's socket may say, should somebody else have taken it over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from quarterdeck.v1 import wrapper_pb2, wrapper_pb2_grpc

from hostagent.sessiondir import SOCKET
from hostagent.wrapperlink import WrapperLink, WrapperUnreachable


class Talker(wrapper_pb2_grpc.WrapperServiceServicer):
    async def WatchStatus(self, request, context):
        yield wrapper_pb2.WorkloadStatus(reason_detail="x")
        yield wrapper_pb2.WorkloadStatus(reason_detail="x" * 1_000_000)


@pytest.fixture
async def talking(tmp_path: Path) -> AsyncIterator[Path]:
    """A session's directory whose wrapper answers."""
    session = tmp_path / "talking.1"
    session.mkdir()
    server = grpc.aio.server()
    wrapper_pb2_grpc.add_WrapperServiceServicer_to_server(Talker(), server)
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
