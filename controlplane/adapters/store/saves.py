"""Saves, their versions and objects that are to go, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.connection import TxConnection, insert_new, paged
from controlplane.adapters.store.tables import backups, object_garbage, save_versions, saves, sessions
from controlplane.adapters.store.versions import version_conflict
from controlplane.domain.save import Save, SaveVersion
from controlplane.domain.session import FINISHED, SessionState
from controlplane.interfaces import HeldSave, Page


class SqlSaves:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self, project_id: str, save_id: str) -> Save | None:
        row = await self._connection.row(sa.select(saves).where(_is(project_id, save_id)))
        return from_row(Save, row) if row else None

    async def add(self, save: Save) -> None:
        await insert_new(self._connection, saves, save, "save")

    async def save(self, save: Save) -> None:
        before = saves.c.version == save.version - 1
        statement = saves.update().where(_is(save.project_id, save.id), before).values(to_row(save))
        if not await self._connection.write(statement):
            raise version_conflict(save.name)

    async def remove(self, save: Save) -> None:
        mine = (save_versions.c.project_id == save.project_id) & (save_versions.c.save_id == save.id)
        await self._connection.write(save_versions.delete().where(mine))
        unchanged = saves.c.version == save.version
        if not await self._connection.write(saves.delete().where(_is(save.project_id, save.id), unchanged)):
            raise version_conflict(save.name)

    async def list(self, project_id: str, game_id: str, page: Page, for_player: str = "") -> Sequence[Save]:
        statement = sa.select(saves).where(saves.c.project_id == project_id)
        if game_id:
            statement = statement.where(saves.c.game_id == game_id)
        if for_player:
            statement = statement.where(saves.c.owner.in_(["", for_player]))
        return [from_row(Save, row) for row in await self._connection.rows(paged(statement, saves, page))]

    async def count(self, project_id: str, owner: str) -> int:
        row = await self._connection.row(owned(project_id, owner))
        return int(row["owned"]) if row else 0

    async def held_on(self, vm_id: str) -> Sequence[HeldSave]:
        # From the held ones, which are few, to their sessions.
        statement = (
            sa.select(saves, sessions.c.generation, sessions.c.state)
            .join(sessions, sessions.c.id == saves.c.session_id)
            .where(saves.c.session_id != "", sessions.c.vm_id == vm_id)
            .order_by(saves.c.id)
        )
        found = await self._connection.rows(statement)
        return [
            HeldSave(from_row(Save, row), row["generation"], SessionState(row["state"]) in FINISHED) for row in found
        ]


class SqlSaveVersions:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self, project_id: str, save_id: str, number: int) -> SaveVersion | None:
        return await self._one(_of(project_id, save_id) & (save_versions.c.number == number))

    async def add(self, version: SaveVersion) -> None:
        await insert_new(self._connection, save_versions, version, "save_version")

    async def by_archive(self, session_id: str, generation: int, archive_id: str) -> SaveVersion | None:
        columns = save_versions.c
        sent = (columns.session_id == session_id) & (columns.generation == generation)
        return await self._one(sent & (columns.archive_id == archive_id))

    async def list(self, project_id: str, save_id: str, page: Page) -> Sequence[SaveVersion]:
        statement = sa.select(save_versions).where(_of(project_id, save_id))
        if page.after is not None:
            statement = statement.where(save_versions.c.number < int(page.after[1]))
        rows = await self._connection.rows(statement.order_by(save_versions.c.number.desc()).limit(page.size))
        return [from_row(SaveVersion, row) for row in rows]

    async def remove(self, version: SaveVersion) -> None:
        mine = _of(version.project_id, version.save_id) & (save_versions.c.number == version.number)
        await self._connection.write(save_versions.delete().where(mine))

    async def _one(self, condition: sa.ColumnElement[bool]) -> SaveVersion | None:
        row = await self._connection.row(sa.select(save_versions).where(condition))
        return from_row(SaveVersion, row) if row else None


REFERRED: Sequence[sa.Column[Any]] = (save_versions.c.object_key, backups.c.object_key)


class SqlGarbage:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def expect(self, object_key: str, due_at: datetime) -> None:
        insert = self._connection.insert(object_garbage).values(object_key=object_key, due_at=due_at)
        await self._connection.write(
            insert.on_conflict_do_update(index_elements=["object_key"], set_={"due_at": due_at})
        )

    async def due(self, limit: int, retry_at: datetime) -> Sequence[str]:
        now = await self._connection.now()
        over = object_garbage.c.due_at <= now
        kept = sa.or_(*(sa.exists().where(column == object_garbage.c.object_key) for column in REFERRED))
        await self._connection.write(object_garbage.delete().where(over, kept))
        picked = (
            sa.select(object_garbage.c.object_key)
            .where(over)
            .order_by(object_garbage.c.due_at, object_garbage.c.object_key)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).cte("picked")
        statement = (
            object_garbage.update()
            .where(object_garbage.c.object_key.in_(sa.select(picked.c.object_key)))
            .values(due_at=retry_at)
            .returning(object_garbage.c.object_key)
        )
        return sorted(row["object_key"] for row in await self._connection.returning(statement))

    async def gone(self, object_keys: Sequence[str]) -> None:
        among = self._connection.among(object_garbage.c.object_key, object_keys)
        await self._connection.write(object_garbage.delete().where(among))


def owned(project_id: str, owner: str) -> sa.Select[Any]:
    mine = (saves.c.project_id == project_id) & (saves.c.owner == owner)
    return sa.select(sa.func.count().label("owned")).select_from(saves).where(mine)


def _is(project_id: str, save_id: str) -> sa.ColumnElement[bool]:
    return (saves.c.project_id == project_id) & (saves.c.id == save_id)


def _of(project_id: str, save_id: str) -> sa.ColumnElement[bool]:
    return (save_versions.c.project_id == project_id) & (save_versions.c.save_id == save_id)
