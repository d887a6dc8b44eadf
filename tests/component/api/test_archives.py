"""Archives over real mTLS: what a host hears that is answered in the midst of one."""

from __future__ import annotations

from typing import Any, BinaryIO

import pytest
from quarterdeck.v1 import agent_pb2, agent_pb2_grpc

from controlplane.usecases import archives
from hostagent.archive import Contents
from hostagent.transfer import ArchiveLink, Refused
from tests.component.api.plane import Caller, Plane, make_host

HEADER = agent_pb2.ArchiveHeader(session_id="s-none", generation=1, archive_id="final", final=True)


def endless(out: BinaryIO) -> Contents:
    while True:
        out.write(bytes(1 << 16))


async def test_a_host_hears_a_refusal_and_a_yes_whatever_it_is_just_sending(
    api: Plane, operator: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make_host(api, operator, "vm-1")
    async with api.link(key) as channel:
        stub: Any = agent_pb2_grpc.AgentLinkServiceStub(channel)
        link = ArchiveLink(lambda: stub)
        for _ in range(5):
            with pytest.raises(Refused) as refused:
                await link.store(HEADER, endless)
            assert refused.value.reason == "SESSION_NOT_YOURS"

        async def on_record(*_: object) -> None:
            return None

        monkeypatch.setattr(archives, "begin", on_record)
        for _ in range(5):
            assert await link.store(HEADER, endless) is None
