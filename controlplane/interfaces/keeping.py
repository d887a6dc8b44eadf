"""Rows of what outlives sessions: saves, their versions, backups and their schedules, and objects that are to go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from controlplane.domain.backup import Backup
from controlplane.domain.save import Save, SaveVersion
from controlplane.domain.schedule import BackupSchedule
from controlplane.interfaces.fleet import Page


@dataclass(frozen=True)
class HeldSave:
    """A save and what there is to know of the session that holds it."""

    save: Save
    generation: int
    finished: bool


class SaveRows(Protocol):
    """Saves by (project, id)."""

    async def get(self, project_id: str, save_id: str) -> Save | None: ...

    async def add(self, save: Save) -> None:
        """Raises AlreadyExists when the id is taken, or its session writes another."""
        ...

    async def save(self, save: Save) -> None:
        """Writes it over the version before its own. Raises Conflict when that is not what is there, or when its
        session writes another save."""
        ...

    async def remove(self, save: Save) -> None:
        """With its versions. Raises Conflict when it has changed."""
        ...

    async def list(self, project_id: str, game_id: str, page: Page, for_player: str = "") -> Sequence[Save]:
        """Of a project, "" for any game; for a player his own and those of nobody."""
        ...

    async def count(self, project_id: str, owner: str) -> int:
        """Of that player's own."""
        ...

    async def held_on(self, vm_id: str) -> Sequence[HeldSave]:
        """Those whose session is bound to this VM, by id."""
        ...


class SaveVersionRows(Protocol):
    async def get(self, project_id: str, save_id: str, number: int) -> SaveVersion | None: ...

    async def add(self, version: SaveVersion) -> None:
        """Raises AlreadyExists when its number, or its (session, generation, archive), is taken."""
        ...

    async def by_archive(self, session_id: str, generation: int, archive_id: str) -> SaveVersion | None: ...

    async def list(self, project_id: str, save_id: str, page: Page) -> Sequence[SaveVersion]:
        """Newest number first; of `page.after` the id is the number."""
        ...

    async def remove(self, version: SaveVersion) -> None: ...


class BackupRows(Protocol):
    async def get(self, backup_id: str) -> Backup | None: ...

    async def add(self, backup: Backup) -> None:
        """Raises AlreadyExists when (project, client_token) is taken, or its session has an unfinished one."""
        ...

    async def save(self, backup: Backup) -> None:
        """As VmRows.save."""
        ...

    async def remove(self, backup: Backup) -> None: ...

    async def list(self, project_id: str, game_id: str, session_id: str, page: Page) -> Sequence[Backup]:
        """Of a project, newest first; "" for any game and any session."""
        ...

    async def unfinished(self, session_ids: Sequence[str] | None = None) -> Sequence[Backup]:
        """Oldest first, at most one of each session; None: of all, over all projects."""
        ...

    async def of_schedule(self, schedule_id: str) -> Sequence[Backup]:
        """The completed ones, newest first."""
        ...


class ScheduleRows(Protocol):
    async def get(self, schedule_id: str) -> BackupSchedule | None: ...

    async def add(self, schedule: BackupSchedule) -> None:
        """Raises AlreadyExists when (project, client_token) is taken."""
        ...

    async def save(self, schedule: BackupSchedule) -> None:
        """As VmRows.save."""
        ...

    async def remove(self, schedule: BackupSchedule) -> None: ...

    async def list(self, project_id: str, page: Page) -> Sequence[BackupSchedule]:
        """Newest first."""
        ...

    async def due(self, limit: int) -> Sequence[BackupSchedule]:
        """Whose moment has come, longest ago first, over all projects."""
        ...

    async def bounding(self) -> Sequence[BackupSchedule]:
        """Those that do not keep everything for ever, by id, over all projects."""
        ...


class GarbageRows(Protocol):
    """Objects that are to go when due, unless a row refers to them then. Written before an object is, so that none is
    left behind by whoever dies; and when the last row that refers to one goes."""

    async def expect(self, object_key: str, due_at: datetime) -> None:
        """Moves the moment of one that is expected already."""
        ...

    async def due(self, limit: int, retry_at: datetime) -> Sequence[str]:
        """Keys that are due and that nothing refers to, oldest first; due again at `retry_at` unless they are `gone`.
        Those that something refers to are forgotten."""
        ...

    async def gone(self, object_keys: Sequence[str]) -> None: ...
