"""Bulk between hosts and the object store: what one caller may have under way, and what stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from quarterdeck.v1 import agent_pb2, backups_pb2, games_pb2

from controlplane.adapters.objects.bucket import PART_BYTES, PARTS_HELD, UPLOADS
from controlplane.api import archives, identity
from controlplane.api.backups import READS_EACH, BackupServicer
from controlplane.api.interceptors import validate
from controlplane.api.link import APPENDS_EACH, FETCHES_EACH, STORES_AT_ONCE, STORES_EACH, AgentLinkServicer
from controlplane.domain.errors import Exhausted, QuarterdeckError, Unavailable
from controlplane.domain.save import LARGEST_BYTES
from controlplane.usecases import downloads, logs
from controlplane.usecases.downloads import Content


async def nothing() -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield


def stores(servicer: AgentLinkServicer) -> Any:
    return servicer.StoreArchive(nothing(), Mock(send_initial_metadata=AsyncMock()))


def fetches(servicer: AgentLinkServicer) -> Any:
    return servicer.FetchArchive(agent_pb2.FetchArchiveRequest(), None)


async def appends(servicer: AgentLinkServicer) -> AsyncIterator[Any]:
    yield await servicer.AppendLog(agent_pb2.AppendLogRequest(), None)


@pytest.mark.parametrize(("work", "each"), [(stores, STORES_EACH), (fetches, FETCHES_EACH), (appends, APPENDS_EACH)])
async def test_one_host_takes_no_place_of_anothers(work: Any, each: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.api.link.FINISHES_WITHIN_S", 0.01)
    monkeypatch.setattr(archives, "fetch", lambda *_: nothing())
    monkeypatch.setattr(logs, "append", lambda *_: asyncio.Event().wait())
    servicer = AgentLinkServicer(Mock(), Mock(), Mock(), Mock(), Mock(), Mock(), "r")

    async def once(host_id: str) -> None:
        identity.enter(identity.Caller("r", host_id=host_id))
        async with aclosing(work(servicer)) as messages:
            async for _ in messages:
                continue

    await _each_gets(once, each)


async def test_one_archive_is_read_by_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def opened(_: object, token: str) -> Content:
        return Content(token, 1, "", "")

    monkeypatch.setattr(downloads, "opened", opened)
    monkeypatch.setattr(downloads, "read", lambda *_: nothing())
    servicer = BackupServicer(Mock())

    async def once(token: str) -> None:
        async with aclosing(servicer.ReadDownload(backups_pb2.ReadDownloadRequest(token=token), None)) as messages:
            async for _ in messages:
                continue

    await _each_gets(once, READS_EACH)


async def _each_gets(once: Callable[[str], Any], each: int) -> None:
    """So many of one, and still one of another."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(once("one")) for _ in range(each)]
        tasks.append(group.create_task(once("another")))
        refused = group.create_task(_refused(once("one")))
        assert await refused == "TOO_MANY_REQUESTS"
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()


async def _refused(work: Any) -> str:
    with pytest.raises(Exhausted) as refused:
        await work
    return refused.value.reason


async def test_an_archive_that_stands_still_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "STALLED_S", 0.01)
    with pytest.raises(Unavailable) as stalled:
        await archives.store(Mock(), "vm-1", nothing())
    assert stalled.value.reason == "ARCHIVE_STALLED"


def test_all_uploads_fit_beside_an_api_in_what_the_documents_give_it() -> None:
    assert UPLOADS == STORES_AT_ONCE
    assert UPLOADS * PARTS_HELD * PART_BYTES <= 300 << 20


def test_what_a_deployment_may_save_can_be_stored() -> None:
    assert PART_BYTES * 10_000 >= LARGEST_BYTES
    spec = games_pb2.SaveSpec(volumes=["world"], max_bytes=64 << 30)
    validate(spec)
    assert spec.max_bytes < LARGEST_BYTES
    spec.max_bytes += 1
    with pytest.raises(QuarterdeckError):
        validate(spec)
