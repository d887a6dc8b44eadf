"""Backups and schedules as rows: who may make them, once each, by the clock; on every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controlplane.adapters.objects import open_objects
from controlplane.domain.backup import Backup, BackupState
from controlplane.domain.errors import AlreadyExists, Conflict, Forbidden, NotFound, Unauthenticated, WrongState
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.reconcile import Report, Workload, WorkloadState
from controlplane.domain.save import SaveSpec
from controlplane.domain.session import Session, SessionReason
from controlplane.interfaces import Page, Store
from controlplane.usecases import archives, backups, creation, downloads, hosts, schedules
from controlplane.usecases.archives import Arrived, Sent
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.schedules import ScheduleRequest
from controlplane.usecases.world import World
from tests.component.processor.worlds import world_on
from tests.contract.store.rows import Clock, a_deployment, a_game, a_host, a_vm

OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
STRANGER = Principal("elsewhere", "operator", Role.OPERATOR)
PLAYER = Principal(DEFAULT_PROJECT, "player", Role.PLAYER)
NOON = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
ALL = Page(size=100)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
async def world(clocked_store: Store, tmp_path: Path) -> AsyncIterator[World]:
    objects = open_objects((tmp_path / "objects").as_uri())
    async with clocked_store.tx() as tx:
        await tx.catalogue.add_game(a_game())
        await tx.catalogue.add_deployment(a_deployment(saves=SaveSpec(("v",))))
        await tx.vms.add(a_vm(terminate_requested_at=None, capacity_units=240))
        await tx.hosts.add(a_host(epoch=1, report_sequence=0))
    yield world_on(clocked_store, tmp_path, objects=objects)
    await objects.close()


class Host:
    """Reports of vm-1, and what it sends."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sequence = 0
        self.sessions: list[Session] = []

    async def play(self, save_id: str = "") -> Session:
        request = SessionRequest("orbit", save_id=save_id)
        session = (await creation.create_session(self.world, OPERATOR, request, "r")).session
        self.sessions.append(session)
        await self.reports()
        return session

    async def reports(self, ended: Session | None = None) -> None:
        self.sequence += 1
        said = tuple(
            Workload(s.id, 1, WorkloadState.EXITED, SessionReason.GAME_EXITED, exit_code=0)
            if s is ended
            else Workload(s.id, 1, WorkloadState.RUNNING)
            for s in self.sessions
        )
        plan = await hosts.plan_of(self.world, "vm-1")
        assert await hosts.accept_report(self.world, "vm-1", Report(1, self.sequence, plan.version, said))

    async def planned(self) -> dict[str, str]:
        """Backup by session, as the plan asks for."""
        plan = await hosts.plan_of(self.world, "vm-1")
        return {entry.session.id: entry.backup_id for entry in plan.entries if entry.backup_id}

    async def delivers(self, backup: Backup, content: bytes) -> None:
        upload = await archives.begin(self.world, "vm-1", sent(backup))
        if upload is None:
            return

        async def pieces():
            yield content

        await self.world.objects.put(upload.object_key, pieces())
        await archives.finish(self.world, upload, Arrived(len(content), "ab" * 32, 1, 1))


@pytest.fixture
def host(world: World) -> Host:
    return Host(world)


def sent(backup: Backup) -> Sent:
    return Sent(backup.session_id, 1, backup.id, False, backup.id)


async def create(world: World, session: Session, token: str = "") -> Backup:
    return await backups.create_backup(world, OPERATOR, session.id, token, "r")


async def now_of(world: World, backup: Backup) -> Backup:
    return await backups.get_backup(world, OPERATOR, backup.id)


async def test_the_plan_asks_for_it_until_it_is_stored(world: World, host: Host) -> None:
    session = await host.play()
    before = (await hosts.plan_of(world, "vm-1")).version
    backup = await create(world, session, "t")
    assert await create(world, session, "t") == backup
    assert await host.planned() == {session.id: backup.id}
    assert (await hosts.plan_of(world, "vm-1")).version > before
    upload = await archives.begin(world, "vm-1", sent(backup))
    assert upload is not None
    assert (await now_of(world, backup)).state is BackupState.RUNNING
    await host.delivers(backup, b"whole")
    done = await now_of(world, backup)
    assert (done.state, done.size_bytes, await host.planned()) == (BackupState.COMPLETED, 5, {})
    await host.delivers(backup, b"again")
    # The first try comes to its end after all: there is a backup already.
    await archives.finish(world, upload, Arrived(4, "cd" * 32, 1, 1))
    assert await now_of(world, backup) == done
    other = await host.play()
    with pytest.raises(AlreadyExists, match="another request"):
        await create(world, other, "t")


async def test_of_calls_with_one_token_at_once_each_is_given_the_same_backup(world: World, host: Host) -> None:
    session = await host.play()
    made = await asyncio.gather(*(create(world, session, "t") for _ in range(8)))
    assert len({backup.id for backup in made}) == 1


async def test_nobody_else_may(world: World, host: Host) -> None:
    session = await host.play()
    backup = await create(world, session)
    with pytest.raises(Forbidden):
        await backups.create_backup(world, PLAYER, session.id, "", "r")
    for work in (
        backups.create_backup(world, STRANGER, session.id, "", "r"),
        backups.get_backup(world, STRANGER, backup.id),
        backups.delete_backup(world, STRANGER, backup.id, "r"),
        backups.restore_backup(world, STRANGER, backup.id, "x", "r"),
        downloads.create_download(world, STRANGER, backup.name, "r"),
    ):
        with pytest.raises(NotFound):
            await work
    with pytest.raises(Forbidden):
        await archives.begin(world, "vm-2", sent(backup))


async def test_what_can_no_longer_be_made_fails_with_its_reason(world: World, host: Host, clock: Clock) -> None:
    first, second, third = await host.play(), await host.play(), await host.play()
    ended, late, broken = await create(world, first), await create(world, second), await create(world, third)
    await archives.fail(world, "vm-1", sent(broken), "FILES_CHANGING", "they do")
    assert await backups.give_up_overdue(world) == 0
    await host.reports(ended=first)
    assert await backups.give_up_overdue(world) == 1
    clock.now += timedelta(hours=2)
    assert await backups.give_up_overdue(world) == 1
    reasons = [(await now_of(world, one)).reason for one in (ended, late, broken)]
    assert reasons == ["SESSION_ENDED", "DEADLINE", "FILES_CHANGING"]
    assert await host.planned() == {}
    await host.delivers(late, b"too late")
    assert (await now_of(world, late)).state is BackupState.FAILED
    with pytest.raises(WrongState, match="FAILED"):
        await backups.restore_backup(world, OPERATOR, late.id, "x", "r")


async def test_of_an_ended_session_it_is_what_its_end_left_and_nothing_older(world: World, host: Host) -> None:
    session = await host.play(save_id="mine")
    during = await create(world, session)
    await host.delivers(during, b"during")

    async def stores(archive_id: str, sha256: str, final: bool) -> None:
        upload = await archives.begin(world, "vm-1", Sent(session.id, 1, archive_id, final))
        assert upload is not None
        await archives.finish(world, upload, Arrived(1, sha256, 1, 1))

    await stores("interval", "cd" * 32, final=False)
    await host.reports(ended=session)
    with pytest.raises(WrongState, match="has not stored"):
        await create(world, session)
    await stores("final", "ef" * 32, final=True)
    assert (await create(world, session)).sha256 == "ef" * 32
    save = await backups.restore_backup(world, OPERATOR, during.id, "mine", "r")
    assert save.current == 3
    assert (await create(world, session)).sha256 == "ef" * 32


async def test_a_deleted_one_is_given_up_and_its_object_goes(world: World, host: Host, clock: Clock) -> None:
    one, two = await host.play(), await host.play()
    making, made = await create(world, one), await create(world, two)
    upload = await archives.begin(world, "vm-1", sent(making))
    await host.delivers(made, b"made")
    for backup in (making, made):
        await backups.delete_backup(world, OPERATOR, backup.id, "r")
    assert upload is not None
    await archives.finish(world, upload, Arrived(4, "cd" * 32, 1, 1))
    assert await host.planned() == {}
    clock.now += timedelta(hours=1)
    assert await archives.collect_garbage(world) == 2
    assert await world.objects.list("backups") == []


async def test_two_that_tick_at_once_fire_a_schedule_once_and_none_is_made_up_for(
    world: World, host: Host, clock: Clock
) -> None:
    running = [await host.play() for _ in range(3)]
    request = ScheduleRequest("orbit", "0 * * * *", time_zone="Asia/Kolkata")
    made = await schedules.create_schedule(world, OPERATOR, request, "t", "r")
    assert await schedules.create_schedule(world, OPERATOR, request, "t", "r") == made
    assert made.next_at == datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
    assert await schedules.tick(world) == 0
    clock.now = NOON + timedelta(days=2)
    answers = await asyncio.gather(*(schedules.tick(world) for _ in range(3)), return_exceptions=True)
    assert sum(answer for answer in answers if isinstance(answer, int)) == 3
    assert all(isinstance(answer, (int, Conflict)) for answer in answers)
    asked = await backups.list_backups(world, OPERATOR, "", "", ALL)
    assert {backup.session_id for backup in asked} == {session.id for session in running}
    assert {backup.schedule_id for backup in asked} == {made.id}
    again = await schedules.get_schedule(world, OPERATOR, made.id)
    assert again.next_at == datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
    assert await schedules.tick(world) == 0
    # One of each session at a time: what is still being made is not asked for again.
    clock.now += timedelta(minutes=30)
    assert await schedules.tick(world) == 0
    async with world.store.reading() as tx:
        trail = await tx.outbox.trail(DEFAULT_PROJECT, 0, 100)
    assert [r.entry.subject for r in trail if r.entry.action == "CreateBackup"] == [made.name] * 3


async def test_a_schedule_whose_time_zone_is_none_any_more_is_over_and_keeps_no_other_from_firing(
    world: World, host: Host, clock: Clock
) -> None:
    await host.play()
    lost = await schedules.create_schedule(world, OPERATOR, ScheduleRequest("orbit", "0 * * * *"), "lost", "r")
    await schedules.create_schedule(world, OPERATOR, ScheduleRequest("orbit", "1 * * * *"), "other", "r")
    async with world.store.tx() as tx:
        kept = await tx.schedules.get(lost.id)
        assert kept is not None
        await tx.schedules.save(replace(kept, time_zone="localtime", version=kept.version + 1))
    clock.now += timedelta(hours=1, minutes=2)
    assert await schedules.tick(world) == 1
    assert (await schedules.get_schedule(world, OPERATOR, lost.id)).next_at is None


async def test_a_schedule_can_be_paused_changed_and_deleted(world: World, host: Host, clock: Clock) -> None:
    await host.play("mine")
    made = await schedules.create_schedule(world, OPERATOR, ScheduleRequest("orbit", "0 * * * *", "else"), "", "r")
    paused = ScheduleRequest("orbit", "0 * * * *", paused=True)
    assert (await schedules.update_schedule(world, OPERATOR, made.id, paused, "r")).next_at is None
    clock.now += timedelta(hours=2)
    assert await schedules.tick(world) == 0
    later = ScheduleRequest("orbit", "30 * * * *", keep_count=3)
    changed = await schedules.update_schedule(world, OPERATOR, made.id, later, "r")
    assert (changed.next_at, changed.save_id, changed.keep_count) == (
        datetime(2026, 11, 21, 14, 30, tzinfo=UTC),
        "else",
        3,
    )
    clock.now += timedelta(hours=1)
    assert await schedules.tick(world) == 0  # no session plays with that save
    await schedules.delete_schedule(world, OPERATOR, made.id, "r")
    with pytest.raises(NotFound):
        await schedules.get_schedule(world, OPERATOR, made.id)
    with pytest.raises(NotFound):
        await schedules.create_schedule(world, OPERATOR, ScheduleRequest("nothing", "0 * * * *"), "", "r")


async def test_what_a_schedule_keeps(world: World, host: Host, clock: Clock) -> None:
    await host.play()
    request = ScheduleRequest("orbit", "0 * * * *", keep_count=2, keep_for_s=6 * 3600)
    await schedules.create_schedule(world, OPERATOR, request, "", "r")
    by_hand = await create(world, host.sessions[0])
    await host.delivers(by_hand, b"by hand")
    for hour in range(1, 4):
        clock.now = NOON + timedelta(hours=hour)
        assert await schedules.tick(world) == 1
        (asked,) = [b for b in await backups.list_backups(world, OPERATOR, "", "", ALL) if not b.finished]
        await host.delivers(asked, b"%d" % hour)
    assert await schedules.retain(world) == 1
    kept = await backups.list_backups(world, OPERATOR, "", "", ALL)
    assert [b.created_at - NOON for b in kept] == [timedelta(hours=3), timedelta(hours=2), timedelta(0)]
    clock.now = NOON + timedelta(days=1)
    assert await schedules.retain(world) == 2
    assert [b.id for b in await backups.list_backups(world, OPERATOR, "", "", ALL)] == [by_hand.id]


async def test_a_download_ends_with_its_time_and_its_backup(world: World, host: Host, clock: Clock) -> None:
    backup = await create(world, await host.play())
    with pytest.raises(WrongState):
        await downloads.create_download(world, OPERATOR, backup.name, "r")
    await host.delivers(backup, b"whole")
    download = await downloads.create_download(world, OPERATOR, backup.name, "r")
    token = download.url.removeprefix("/v1/downloads/")
    content = await downloads.opened(world, token)
    assert b"".join([piece async for piece in downloads.read(world, content, 1, 3)]) == b"hol"
    stream_token = world.stream_tokens.sign("s", "PLAYER", download.expires_at, "j")
    for bad in (token[:-2] + "xx", "", "no.token.atall", stream_token):
        with pytest.raises(Unauthenticated):
            await downloads.opened(world, bad)
    with pytest.raises(Unauthenticated):
        world.stream_tokens.verify(token, clock.now)
    clock.now += timedelta(minutes=6)
    with pytest.raises(Unauthenticated, match="expired"):
        await downloads.opened(world, token)
