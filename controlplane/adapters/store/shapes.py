"""Templates, presets and regions in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.connection import TxConnection, insert_new
from controlplane.adapters.store.tables import presets, regions, templates, tides
from controlplane.adapters.store.versions import in_use
from controlplane.domain.errors import NotFound
from controlplane.domain.region import Region
from controlplane.domain.template import Preset, Template

T = TypeVar("T")
S = TypeVar("S", Template, Preset, Region)
TABLES: Mapping[type, sa.Table] = {Template: templates, Preset: presets, Region: regions}


class SqlShapes:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def template(self, template_id: str) -> Template | None:
        return await self._one(Template, templates, template_id)

    async def preset(self, preset_id: str) -> Preset | None:
        return await self._one(Preset, presets, preset_id)

    async def region(self, region_id: str) -> Region | None:
        return await self._one(Region, regions, region_id)

    async def templates(self) -> Sequence[Template]:
        return await self._all(Template, templates)

    async def presets(self) -> Sequence[Preset]:
        return await self._all(Preset, presets)

    async def regions(self) -> Sequence[Region]:
        return await self._all(Region, regions)

    async def _one(self, cls: type[T], table: sa.Table, key: str) -> T | None:
        row = await self._connection.row(_by_id(table), {"key": key})
        return from_row(cls, row) if row else None

    async def _all(self, cls: type[T], table: sa.Table) -> Sequence[T]:
        return [from_row(cls, row) for row in await self._connection.rows(_by_ids(table))]

    async def lock(self, shape: S) -> S | None:
        row = await self._connection.row(_by_id(TABLES[type(shape)]).with_for_update(key_share=True), {"key": shape.id})
        return from_row(type(shape), row) if row else None

    async def add(self, shape: Template | Preset | Region) -> None:
        await insert_new(self._connection, TABLES[type(shape)], shape, "shape")

    async def save(self, shape: Template | Preset | Region) -> None:
        table = TABLES[type(shape)]
        await self._connection.write(table.update().where(table.c.id == shape.id).values(to_row(shape)))

    async def delete(self, shape: Template | Preset | Region) -> None:
        table = TABLES[type(shape)]
        if isinstance(shape, Region):
            await self._connection.write(tides.delete().where(tides.c.region_id == shape.id))
        try:
            await self._connection.write(table.delete().where(table.c.id == shape.id))
        except NotFound as reference:
            raise in_use(shape.name) from reference


@cache
def _by_id(table: sa.Table) -> sa.Select[Any]:
    return sa.select(table).where(table.c.id == sa.bindparam("key"))


@cache
def _by_ids(table: sa.Table) -> sa.Select[Any]:
    return sa.select(table).order_by(table.c.id)
