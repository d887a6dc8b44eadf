"""What a wrapper's socket may say, should somebody else have taken it over."""

from __future__ import annotations

from pathlib import Path

import grpc
from quarterdeck.v1 import wrapper_pb2, wrapper_pb2_grpc

from hostagent.sessiondir import SOCKET
from hostagent.wrapperlink import WrapperLink


class Talker(wrapper_pb2_grpc.WrapperServiceServicer):
    async def WatchStatus(self, request, context):
        yield wrapper_pb2.WorkloadStatus(reason_detail="x")
        yield wrapper_pb2.WorkloadStatus(reason_detail="x" * 1_000_000)


async def test_a_word_too_long_for_its_hosts_link_is_not_heard(tmp_path: Path) -> None:
    server = grpc.aio.server()
    wrapper_pb2_grpc.add_WrapperServiceServicer_to_server(Talker(), server)
    server.add_insecure_port(f"unix:{tmp_path / SOCKET}")
    await server.start()
    link = WrapperLink(tmp_path)
    try:
        await link.until_ready(10)
        assert [len(status.reason_detail) async for status in link.watch()] == [1]
    finally:
        await link.close()
        await server.stop(0)
