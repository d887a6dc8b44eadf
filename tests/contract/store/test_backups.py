"""Backups and their schedules on every store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.backup import Backup, BackupState, BackupTrigger
from controlplane.domain.errors import AlreadyExists, Conflict, NotFound
from controlplane.domain.schedule import BackupSchedule
from controlplane.interfaces import Page, Store
from tests.contract.store.rows import NOW, PROJECT, at, furnish, next_of


@pytest.fixture
async def store(clocked_store: Store) -> Store:
    await furnish(clocked_store)
    return clocked_store


def a_backup(backup_id: str = "b-1", **fields: Any) -> Backup:
    values: dict[str, Any] = {
        "id": backup_id,
        "project_id": PROJECT,
        "game_id": "orbit",
        "session_id": f"s-{backup_id}",
        "generation": 2,
        "state": BackupState.PENDING,
        "created_at": NOW,
        "updated_at": at(1),
        "deadline_at": at(60),
    }
    return Backup(**{**values, **fields})


def a_full_backup() -> Backup:
    return a_backup(
        state=BackupState.COMPLETED,
        save_id="mine",
        schedule_id="bs-1",
        reason="",
        reason_detail="grüße",
        ended_at=at(9),
        object_key="backups/p/b-1",
        size_bytes=2**40,
        sha256="ab" * 32,
        content_bytes=2**41,
        files=7,
        client_token="t",
        created_by="alice",
    )


def a_schedule(schedule_id: str = "bs-1", **fields: Any) -> BackupSchedule:
    values: dict[str, Any] = {
        "id": schedule_id,
        "project_id": PROJECT,
        "game_id": "orbit",
        "cron": "0 4 * * *",
        "created_at": NOW,
        "updated_at": at(1),
        "save_id": "mine",
        "time_zone": "Europe/Berlin",
        "keep_count": 7,
        "keep_for_s": 86400.5,
        "next_at": at(100),
    }
    return BackupSchedule(**{**values, **fields})


async def add(store: Store, *backups: Backup) -> None:
    async with store.tx() as tx:
        for backup in backups:
            await tx.backups.add(backup)


async def test_a_backup_is_kept_whole(store):
    await add(store, a_full_backup())
    async with store.reading() as tx:
        assert await tx.backups.get("b-1") == a_full_backup()
        assert await tx.backups.get("b-2") is None


async def test_one_unfinished_of_a_session_and_one_of_a_token(store):
    await add(store, a_backup("b-1", session_id="s", client_token="t"))
    async with store.tx() as tx:
        with pytest.raises(AlreadyExists):
            await tx.backups.add(a_backup("b-2", session_id="s"))
        with pytest.raises(AlreadyExists):
            await tx.backups.add(a_backup("b-3", client_token="t"))
        await tx.backups.add(a_backup("b-4", session_id="s", state=BackupState.FAILED))
        first = await tx.backups.get("b-1")
        assert first is not None
        await tx.backups.save(first.on(BackupTrigger.FAIL, NOW, "DEADLINE")[0])
        await tx.backups.add(a_backup("b-5", session_id="s"))


async def test_a_save_is_guarded_by_the_version(store):
    await add(store, a_backup())
    async with store.tx() as tx:
        backup = await tx.backups.get("b-1")
        await tx.backups.save(next_of(backup))
    async with store.tx() as tx:
        await tx.backups.get("b-1")
        with pytest.raises(Conflict):
            await tx.backups.save(a_backup())


async def test_they_are_listed_newest_first_by_game_and_session(store):
    await add(store, *(a_backup(f"b-{n}", created_at=at(n)) for n in range(3)))
    async with store.reading() as tx:
        assert [b.id for b in await tx.backups.list(PROJECT, "", "", Page(size=2))] == ["b-2", "b-1"]
        assert [b.id for b in await tx.backups.list(PROJECT, "orbit", "", Page(after=(at(1), "b-1")))] == ["b-0"]
        assert [b.id for b in await tx.backups.list(PROJECT, "", "s-b-1", Page())] == ["b-1"]
        assert not await tx.backups.list("other", "", "", Page())
        assert not await tx.backups.list(PROJECT, "other", "", Page())


async def test_the_unfinished_and_those_of_a_schedule(store):
    await add(
        store,
        a_backup("b-1", created_at=at(2)),
        a_backup("b-2", created_at=at(1), state=BackupState.RUNNING),
        a_backup("b-3", created_at=at(3), state=BackupState.COMPLETED, schedule_id="bs-1"),
        a_backup("b-4", created_at=at(4), state=BackupState.COMPLETED, schedule_id="bs-1"),
        a_backup("b-5", state=BackupState.FAILED, schedule_id="bs-1"),
    )
    async with store.reading() as tx:
        assert [b.id for b in await tx.backups.unfinished()] == ["b-2", "b-1"]
        assert [b.id for b in await tx.backups.unfinished(["s-b-1", "s-b-3"])] == ["b-1"]
        assert not await tx.backups.unfinished([])
        assert [b.id for b in await tx.backups.of_schedule("bs-1")] == ["b-4", "b-3"]
    async with store.tx() as tx:
        await tx.backups.remove(a_backup("b-4"))
        assert [b.id for b in await tx.backups.of_schedule("bs-1")] == ["b-3"]


async def test_an_object_that_a_backup_refers_to_is_no_garbage(store):
    await add(store, a_full_backup())
    async with store.tx() as tx:
        for key in ("backups/p/b-1", "backups/p/b-2"):
            await tx.garbage.expect(key, NOW)
        assert await tx.garbage.due(10, at(60)) == ["backups/p/b-2"]


async def test_a_schedule_is_kept_whole_and_due_in_time(store, clock):
    async with store.tx() as tx:
        await tx.schedules.add(a_schedule(client_token="t"))
        await tx.schedules.add(a_schedule("bs-2", keep_count=0, keep_for_s=None, next_at=None, paused=True))
        await tx.schedules.add(a_schedule("bs-3", next_at=at(50)))
        with pytest.raises(AlreadyExists):
            await tx.schedules.add(a_schedule("bs-4", client_token="t"))
    async with store.reading() as tx:
        assert await tx.schedules.get("bs-1") == a_schedule(client_token="t")
        assert len(await tx.schedules.list(PROJECT, Page())) == 3
        assert not await tx.schedules.list("other", Page())
        assert not await tx.schedules.due(10)
        assert [one.id for one in await tx.schedules.bounding()] == ["bs-1", "bs-3"]
    clock.now = NOW + timedelta(seconds=100)
    async with store.tx() as tx:
        due = await tx.schedules.due(10)
        assert [one.id for one in due] == ["bs-3", "bs-1"]
        assert [one.id for one in await tx.schedules.due(1)] == ["bs-3"]
        await tx.schedules.save(due[0].planned(clock.now))
        await tx.schedules.remove(due[1])
        assert not await tx.schedules.due(10)


async def test_a_schedule_needs_its_game(store):
    with pytest.raises(NotFound):
        async with store.tx() as tx:
            await tx.schedules.add(a_schedule(game_id="nothing"))
