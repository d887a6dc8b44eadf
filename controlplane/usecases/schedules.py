"""Schedules of backups: their verbs, their ticking, and what they keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from controlplane.domain import subjects
from controlplane.domain.backup import expired
from controlplane.domain.errors import InvalidRequest, NotFound, QuarterdeckError
from controlplane.domain.identity import Principal
from controlplane.domain.schedule import BackupSchedule
from controlplane.domain.session import Session, SessionState
from controlplane.interfaces import AuditEntry, Page, Tx
from controlplane.usecases import backups
from controlplane.usecases.repeating import Create, once
from controlplane.usecases.world import World, operators_only

log = structlog.get_logger(__name__)

AT_ONCE = 20
PAGE = 500


@dataclass(frozen=True)
class ScheduleRequest:
    """As BackupSchedule; `keep_count` 0 and `keep_for_s` None bound nothing."""

    game_id: str
    cron: str
    save_id: str = ""
    time_zone: str = "UTC"
    keep_count: int = 0
    keep_for_s: float | None = None
    paused: bool = False


async def create_schedule(
    world: World, who: Principal, request: ScheduleRequest, client_token: str, request_id: str
) -> BackupSchedule:
    """The same client token gives the same schedule; with another request it is refused (I20). Raises NotFound (game),
    InvalidRequest (cron, time zone), AlreadyExists."""
    operators_only(who)
    async with world.store.tx() as tx:
        now = await tx.now()
        new = BackupSchedule(
            id=world.ids.new("bs"),
            project_id=who.project_id,
            game_id=request.game_id,
            cron=request.cron,
            created_at=now,
            updated_at=now,
            save_id=request.save_id,
            time_zone=request.time_zone,
            keep_count=request.keep_count,
            keep_for_s=request.keep_for_s,
            paused=request.paused,
            client_token=client_token,
        )

        async def find(name: str) -> BackupSchedule | None:
            return await tx.schedules.get(name.removeprefix("backupSchedules/"))

        create = Create(who, "CreateBackupSchedule", client_token, request)
        return await once(tx, create, lambda: _add(tx, who, new, request_id), lambda one: one.name, find)


async def _add(tx: Tx, who: Principal, new: BackupSchedule, request_id: str) -> BackupSchedule:
    if await tx.catalogue.game(who.project_id, new.game_id) is None:
        raise NotFound("GAME_NOT_FOUND", f"there is no game 'games/{new.game_id}'", field="backup_schedule.game")
    schedule = replace(new.planned(await tx.now()), version=1)
    await tx.schedules.add(schedule)
    await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreateBackupSchedule", schedule.name, request_id))
    return schedule


async def update_schedule(
    world: World, who: Principal, schedule_id: str, request: ScheduleRequest, request_id: str
) -> BackupSchedule:
    """Game and save stay. Raises NotFound, InvalidRequest, Conflict."""
    operators_only(who)
    async with world.store.tx() as tx:
        schedule = await _mine(tx, who, schedule_id)
        schedule = replace(
            schedule,
            cron=request.cron,
            time_zone=request.time_zone,
            keep_count=request.keep_count,
            keep_for_s=request.keep_for_s,
            paused=request.paused,
        ).planned(await tx.now())
        await tx.schedules.save(schedule)
        await tx.outbox.audit(
            AuditEntry(who.project_id, who.subject, "UpdateBackupSchedule", schedule.name, request_id)
        )
    return schedule


async def delete_schedule(world: World, who: Principal, schedule_id: str, request_id: str) -> None:
    """Its backups stay. Raises NotFound."""
    operators_only(who)
    async with world.store.tx() as tx:
        schedule = await _mine(tx, who, schedule_id)
        await tx.schedules.remove(schedule)
        await tx.outbox.audit(
            AuditEntry(who.project_id, who.subject, "DeleteBackupSchedule", schedule.name, request_id)
        )


async def get_schedule(world: World, who: Principal, schedule_id: str) -> BackupSchedule:
    """Raises NotFound."""
    async with world.store.reading() as tx:
        return await _mine(tx, who, schedule_id)


async def list_schedules(world: World, who: Principal, page: Page) -> Sequence[BackupSchedule]:
    """Newest first."""
    async with world.store.reading() as tx:
        return await tx.schedules.list(who.project_id, page)


async def tick(world: World) -> int:
    """Fires the schedules that are due, each once whoever ticks; returns how many backups were asked for."""
    async with world.store.reading() as tx:
        due = await tx.schedules.due(AT_ONCE)
    asked = 0
    for one in due:
        hints: list[str] = []
        async with world.store.tx() as tx:
            schedule, now = await tx.schedules.get(one.id), await tx.now()
            if schedule is None or schedule.next_at is None or schedule.next_at > now:
                continue  # somebody else was faster
            try:
                planned = schedule.planned(now)
            except InvalidRequest as error:
                # Time zones come and go with releases: this one fires no more, and keeps no other from it.
                log.error("a backup schedule is over: it can be planned no more", schedule=one.name, why=str(error))
                await tx.schedules.save(replace(schedule, next_at=None, updated_at=now, version=schedule.version + 1))
                continue
            await tx.schedules.save(planned)
            for session in await _running(tx, schedule):
                hints += await _fire(tx, world, schedule, session, now)
        asked += len(hints)
        await world.tell(*hints)
    return asked


async def retain(world: World) -> int:
    """Drops what schedules no longer keep; returns how many backups went."""
    async with world.store.reading() as tx:
        bounding = await tx.schedules.bounding()
    gone = 0
    for one in bounding:
        async with world.store.tx() as tx:
            schedule, now = await tx.schedules.get(one.id), await tx.now()
            made = await tx.backups.of_schedule(one.id) if schedule is not None else ()
            old = expired(made, schedule.keep_count, schedule.keep_for_s, now) if schedule is not None else ()
            for backup in old:
                await backups.forget(tx, backup, now)
                await tx.outbox.audit(AuditEntry(backup.project_id, one.name, "DeleteBackup", backup.name, ""))
        gone += len(old)
    return gone


async def _running(tx: Tx, schedule: BackupSchedule) -> Sequence[Session]:
    found: list[Session] = []
    page = Page(size=PAGE)
    while True:
        sessions = await tx.sessions.list(schedule.project_id, [SessionState.RUNNING], "", page)
        found += [
            session
            for session in sessions
            if session.game_id == schedule.game_id and schedule.save_id in ("", session.save_id)
        ]
        if len(sessions) < PAGE:
            # In one order everywhere, since each locks its VM.
            return sorted(found, key=lambda session: session.vm_id)
        page = Page(size=PAGE, after=(sessions[-1].created_at, sessions[-1].id))


async def _fire(tx: Tx, world: World, schedule: BackupSchedule, session: Session, now: datetime) -> Sequence[str]:
    """Hints to give. One session that cannot be backed up now is no reason to leave out the others."""
    try:
        backup = await backups.wish(tx, world, session, now, schedule_id=schedule.id, created_by=schedule.name)
    except QuarterdeckError as error:
        log.warning("backup.not_asked_for", schedule=schedule.id, session=session.id, reason=error.reason)
        return ()
    await tx.outbox.audit(AuditEntry(schedule.project_id, schedule.name, "CreateBackup", backup.name, ""))
    return (subjects.hint_plan(session.vm_id),)


async def _mine(tx: Tx, who: Principal, schedule_id: str) -> BackupSchedule:
    schedule = await tx.schedules.get(schedule_id)
    if schedule is None or schedule.project_id != who.project_id:
        raise NotFound(
            "BACKUP_SCHEDULE_NOT_FOUND", f"there is no schedule 'backupSchedules/{schedule_id}'", field="name"
        )
    return schedule
