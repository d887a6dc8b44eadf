"""Backups and their schedules in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from controlplane.adapters.store.connection import (
    TxConnection,
    add_versioned,
    paged,
    read_versioned,
    save_versioned,
)
from controlplane.adapters.store.tables import backup_schedules as schedules
from controlplane.adapters.store.tables import backups
from controlplane.domain.backup import Backup, BackupState
from controlplane.domain.schedule import BackupSchedule
from controlplane.interfaces import Page

UNFINISHED = (str(BackupState.PENDING), str(BackupState.RUNNING))


class SqlBackups:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self, backup_id: str) -> Backup | None:
        return await self._one(backups.c.id == backup_id)

    async def add(self, backup: Backup) -> None:
        await add_versioned(self._connection, backups, backup, "backup")

    async def save(self, backup: Backup) -> None:
        await save_versioned(self._connection, backups, backup)

    async def remove(self, backup: Backup) -> None:
        await self._connection.write(backups.delete().where(backups.c.id == backup.id))

    async def list(self, project_id: str, game_id: str, session_id: str, page: Page) -> Sequence[Backup]:
        statement = sa.select(backups).where(backups.c.project_id == project_id)
        if game_id:
            statement = statement.where(backups.c.game_id == game_id)
        if session_id:
            statement = statement.where(backups.c.session_id == session_id)
        return await self._all(paged(statement, backups, page))

    async def unfinished(self, session_ids: Sequence[str] | None = None) -> Sequence[Backup]:
        statement = sa.select(backups).where(backups.c.state.in_(UNFINISHED))
        if session_ids is not None:
            statement = statement.where(self._connection.among(backups.c.session_id, session_ids))
        return await self._all(statement.order_by(backups.c.created_at, backups.c.id))

    async def of_schedule(self, schedule_id: str) -> Sequence[Backup]:
        completed = backups.c.state == str(BackupState.COMPLETED)
        statement = sa.select(backups).where(backups.c.schedule_id == schedule_id, completed)
        return await self._all(statement.order_by(backups.c.created_at.desc(), backups.c.id.desc()))

    async def _one(self, condition: sa.ColumnElement[bool]) -> Backup | None:
        row = await self._connection.row(sa.select(backups).where(condition))
        return read_versioned(self._connection, backups, Backup, row) if row else None

    async def _all(self, statement: sa.Select[Any]) -> Sequence[Backup]:
        rows = await self._connection.rows(statement)
        return [read_versioned(self._connection, backups, Backup, row) for row in rows]


class SqlSchedules:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self, schedule_id: str) -> BackupSchedule | None:
        return await self._one(schedules.c.id == schedule_id)

    async def add(self, schedule: BackupSchedule) -> None:
        await add_versioned(self._connection, schedules, schedule, "backup_schedule")

    async def save(self, schedule: BackupSchedule) -> None:
        await save_versioned(self._connection, schedules, schedule)

    async def remove(self, schedule: BackupSchedule) -> None:
        await self._connection.write(schedules.delete().where(schedules.c.id == schedule.id))

    async def list(self, project_id: str, page: Page) -> Sequence[BackupSchedule]:
        return await self._all(paged(sa.select(schedules).where(schedules.c.project_id == project_id), schedules, page))

    async def due(self, limit: int) -> Sequence[BackupSchedule]:
        over = schedules.c.next_at <= await self._connection.now()
        return await self._all(
            sa.select(schedules).where(over).order_by(schedules.c.next_at, schedules.c.id).limit(limit)
        )

    async def bounding(self) -> Sequence[BackupSchedule]:
        bounds = (schedules.c.keep_count > 0) | schedules.c.keep_for_s.is_not(None)
        return await self._all(sa.select(schedules).where(bounds).order_by(schedules.c.id))

    async def _one(self, condition: sa.ColumnElement[bool]) -> BackupSchedule | None:
        row = await self._connection.row(sa.select(schedules).where(condition))
        return read_versioned(self._connection, schedules, BackupSchedule, row) if row else None

    async def _all(self, statement: sa.Select[Any]) -> Sequence[BackupSchedule]:
        rows = await self._connection.rows(statement)
        return [read_versioned(self._connection, schedules, BackupSchedule, row) for row in rows]
