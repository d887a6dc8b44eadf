"""Backups and their schedules in memory."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.adapters.store.memory.tables import TxTables, exists, paged
from controlplane.domain.backup import Backup, BackupState
from controlplane.domain.schedule import BackupSchedule
from controlplane.interfaces import Page

BACKUPS, SCHEDULES = "backups", "backup_schedules"


class MemoryBackups:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def get(self, backup_id: str) -> Backup | None:
        backup: Backup | None = self._tables.get(BACKUPS, backup_id)
        return backup

    async def add(self, backup: Backup) -> None:
        self._tables.refer("projects", backup.project_id)
        busy = any(one.session_id == backup.session_id and not one.finished for one in self._rows())
        if _taken(backup, self._rows()) or (busy and not backup.finished):
            raise exists("backup")
        self._tables.add_versioned(BACKUPS, backup, "backup")

    async def save(self, backup: Backup) -> None:
        self._tables.save_versioned(BACKUPS, backup)

    async def remove(self, backup: Backup) -> None:
        self._tables.own(BACKUPS).pop(backup.id, None)

    async def list(self, project_id: str, game_id: str, session_id: str, page: Page) -> Sequence[Backup]:
        mine = [one for one in self._rows() if one.project_id == project_id]
        wanted = [one for one in mine if game_id in ("", one.game_id) and session_id in ("", one.session_id)]
        return self._tables.read(BACKUPS, paged(wanted, page))

    async def unfinished(self, session_ids: Sequence[str] | None = None) -> Sequence[Backup]:
        wanted = [one for one in self._rows() if not one.finished]
        if session_ids is not None:
            wanted = [one for one in wanted if one.session_id in session_ids]
        return self._tables.read(BACKUPS, sorted(wanted, key=lambda one: (one.created_at, one.id)))

    async def of_schedule(self, schedule_id: str) -> Sequence[Backup]:
        completed = [one for one in self._rows() if one.state is BackupState.COMPLETED]
        mine = [one for one in completed if one.schedule_id == schedule_id]
        return self._tables.read(BACKUPS, sorted(mine, key=lambda one: (one.created_at, one.id), reverse=True))

    def _rows(self) -> Sequence[Backup]:
        return list(self._tables.seen(BACKUPS).values())


class MemorySchedules:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def get(self, schedule_id: str) -> BackupSchedule | None:
        schedule: BackupSchedule | None = self._tables.get(SCHEDULES, schedule_id)
        return schedule

    async def add(self, schedule: BackupSchedule) -> None:
        self._tables.refer("games", (schedule.project_id, schedule.game_id))
        if _taken(schedule, self._rows()):
            raise exists("backup_schedule")
        self._tables.add_versioned(SCHEDULES, schedule, "backup_schedule")

    async def save(self, schedule: BackupSchedule) -> None:
        self._tables.save_versioned(SCHEDULES, schedule)

    async def remove(self, schedule: BackupSchedule) -> None:
        self._tables.own(SCHEDULES).pop(schedule.id, None)

    async def list(self, project_id: str, page: Page) -> Sequence[BackupSchedule]:
        return self._tables.read(SCHEDULES, paged([s for s in self._rows() if s.project_id == project_id], page))

    async def due(self, limit: int) -> Sequence[BackupSchedule]:
        now = await self._tables.now()
        over = [(one.next_at, one.id, one) for one in self._rows() if one.next_at is not None and one.next_at <= now]
        return self._tables.read(SCHEDULES, [one for _, _, one in sorted(over)[:limit]])

    async def bounding(self) -> Sequence[BackupSchedule]:
        wanted = [one for one in self._rows() if one.keep_count or one.keep_for_s is not None]
        return self._tables.read(SCHEDULES, sorted(wanted, key=lambda one: one.id))

    def _rows(self) -> Sequence[BackupSchedule]:
        return list(self._tables.seen(SCHEDULES).values())


def _taken(new: Backup | BackupSchedule, rows: Sequence[Backup] | Sequence[BackupSchedule]) -> bool:
    """Whether another of the project has its client token."""
    key = (new.project_id, new.client_token)
    return bool(new.client_token) and any((one.project_id, one.client_token) == key for one in rows)
