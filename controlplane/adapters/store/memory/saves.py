"""Saves, their versions and objects that are to go, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from controlplane.adapters.store.memory.tables import TxTables, constrain, exists, paged
from controlplane.adapters.store.versions import version_conflict
from controlplane.domain.save import Save, SaveVersion
from controlplane.domain.session import Session
from controlplane.interfaces import HeldSave, Page


class MemorySaves:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def get(self, project_id: str, save_id: str) -> Save | None:
        save: Save | None = self._tables.seen("saves").get((project_id, save_id))
        return save

    async def add(self, save: Save) -> None:
        self._tables.refer("games", (save.project_id, save.game_id))
        if self._writes_another(save):
            raise exists("save")
        self._tables.insert("saves", (save.project_id, save.id), save, "save")

    async def save(self, save: Save) -> None:
        before = await self.get(save.project_id, save.id)
        if before is None or before.version != save.version - 1:
            raise version_conflict(save.name)
        constrain(not self._writes_another(save))
        self._tables.own("saves")[save.project_id, save.id] = save

    async def remove(self, save: Save) -> None:
        if await self.get(save.project_id, save.id) != save:
            raise version_conflict(save.name)
        del self._tables.own("saves")[save.project_id, save.id]
        versions = self._tables.own("save_versions")
        for key in [key for key in versions if key[:2] == (save.project_id, save.id)]:
            del versions[key]

    async def list(self, project_id: str, game_id: str, page: Page, for_player: str = "") -> Sequence[Save]:
        rows: Sequence[Save] = list(self._tables.seen("saves").values())
        found = [s for s in rows if s.project_id == project_id and game_id in ("", s.game_id)]
        return paged([s for s in found if not for_player or s.owner in ("", for_player)], page)

    async def count(self, project_id: str, owner: str) -> int:
        rows: Sequence[Save] = list(self._tables.seen("saves").values())
        return sum((save.project_id, save.owner) == (project_id, owner) for save in rows)

    async def held_on(self, vm_id: str) -> Sequence[HeldSave]:
        rows: Sequence[Save] = sorted(self._tables.seen("saves").values(), key=lambda save: save.id)
        held: list[HeldSave] = []
        for save in rows:
            session: Session | None = self._tables.seen("sessions").get(save.session_id)
            if session is not None and session.vm_id == vm_id:
                held.append(HeldSave(save, session.generation, session.finished))
        return held

    def _writes_another(self, save: Save) -> bool:
        rows: Sequence[Save] = list(self._tables.seen("saves").values())
        me = (save.project_id, save.id)
        return any(one.session_id == save.session_id != "" and (one.project_id, one.id) != me for one in rows)


class MemorySaveVersions:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def get(self, project_id: str, save_id: str, number: int) -> SaveVersion | None:
        version: SaveVersion | None = self._tables.seen("save_versions").get((project_id, save_id, number))
        return version

    async def add(self, version: SaveVersion) -> None:
        self._tables.refer("saves", (version.project_id, version.save_id))
        if await self.by_archive(version.session_id, version.generation, version.archive_id) is not None:
            raise exists("save_version")
        key = (version.project_id, version.save_id, version.number)
        self._tables.insert("save_versions", key, version, "save_version")

    async def by_archive(self, session_id: str, generation: int, archive_id: str) -> SaveVersion | None:
        wanted = (session_id, generation, archive_id)
        rows: Sequence[SaveVersion] = list(self._tables.seen("save_versions").values())
        return next((v for v in rows if (v.session_id, v.generation, v.archive_id) == wanted), None)

    async def list(self, project_id: str, save_id: str, page: Page) -> Sequence[SaveVersion]:
        rows = [row for key, row in self._tables.seen("save_versions").items() if key[:2] == (project_id, save_id)]
        newest: list[SaveVersion] = sorted(rows, key=lambda version: version.number, reverse=True)
        return [v for v in newest if page.after is None or v.number < int(page.after[1])][: page.size]

    async def remove(self, version: SaveVersion) -> None:
        self._tables.own("save_versions").pop((version.project_id, version.save_id, version.number), None)


REFERRED = ("save_versions", "backups")


class MemoryGarbage:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def expect(self, object_key: str, due_at: datetime) -> None:
        self._tables.own("object_garbage")[object_key] = due_at

    async def due(self, limit: int, retry_at: datetime) -> Sequence[str]:
        now, rows = await self._tables.now(), self._tables.own("object_garbage")
        referred = {row.object_key for table in REFERRED for row in self._tables.seen(table).values()}
        for key in [key for key, due_at in rows.items() if due_at <= now and key in referred]:
            del rows[key]
        over = sorted((due_at, key) for key, due_at in rows.items() if due_at <= now)[:limit]
        for _, key in over:
            rows[key] = retry_at
        return sorted(key for _, key in over)

    async def gone(self, object_keys: Sequence[str]) -> None:
        rows = self._tables.own("object_garbage")
        for key in object_keys:
            rows.pop(key, None)
