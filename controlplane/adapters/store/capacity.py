"""Pools, budgets, replacements and the rented fleet in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.connection import (
    TxConnection,
    add_versioned,
    paged,
    prefixed,
    read_versioned,
    save_versioned,
    words,
)
from controlplane.adapters.store.tables import (
    budgets,
    hosts,
    pools,
    projects,
    provisionings,
    regions,
    replacements,
    vms,
)
from controlplane.adapters.store.tables.capacity import UNFINISHED
from controlplane.domain.host import Host
from controlplane.domain.pool import Budget, Model, Pool, Rented
from controlplane.domain.provisioning import Phase, Provisioning
from controlplane.domain.succession import Replacement
from controlplane.domain.vm import Vm, VmState
from controlplane.interfaces import Page

VM_COLUMNS, ROW_COLUMNS, HOST_COLUMNS = (prefixed(table) for table in (vms, provisionings, hosts))
# Each finds its own index, in whose letters it speaks: what was given back long ago is most of all purchases.
HELD = sa.select(provisionings.c.id).where(provisionings.c.phase != sa.literal_column(f"'{Phase.RELEASED}'"))
FAILED = (
    sa.select(vms.c.id)
    .join(provisionings, provisionings.c.id == vms.c.id)
    .where(provisionings.c.phase == str(Phase.RELEASED), provisionings.c.failure.is_not(None))
)
STANDING = FAILED.where(
    vms.c.project_id.in_(sa.select(projects.c.id)), vms.c.state.in_(words(list(set(VmState) - {VmState.TERMINATED})))
)
LATELY = FAILED.where(
    vms.c.state == sa.literal_column(f"'{VmState.TERMINATED}'"), vms.c.updated_at >= sa.bindparam("failed_since")
)
FLEET = (
    sa.select(*VM_COLUMNS, *ROW_COLUMNS, *HOST_COLUMNS)
    .join_from(provisionings, vms, vms.c.id == provisionings.c.id)
    .join(hosts, hosts.c.id == vms.c.id, isouter=True)
    .where(provisionings.c.id.in_(sa.union_all(HELD, STANDING, LATELY)))
    .order_by(vms.c.id)
)


class SqlPools:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self, pool_id: str) -> Pool | None:
        row = await self._connection.row(sa.select(pools).where(pools.c.id == pool_id))
        return read_versioned(self._connection, pools, Pool, row) if row else None

    async def all(self, project_id: str = "") -> Sequence[Pool]:
        statement = sa.select(pools).order_by(pools.c.id)
        if project_id:
            statement = statement.where(pools.c.project_id == project_id)
        rows = await self._connection.rows(statement)
        return [read_versioned(self._connection, pools, Pool, row) for row in rows]

    async def add(self, pool: Pool) -> None:
        await add_versioned(self._connection, pools, pool, "pool")

    async def save(self, pool: Pool) -> None:
        await save_versioned(self._connection, pools, pool)

    async def delete(self, pool_id: str) -> None:
        await self._connection.write(pools.delete().where(pools.c.id == pool_id))


class SqlReplacements:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self, replacement_id: str) -> Replacement | None:
        return next(iter(await self._all(sa.select(replacements).where(replacements.c.id == replacement_id))), None)

    async def list(self, project_id: str, page: Page) -> Sequence[Replacement]:
        statement = sa.select(replacements).where(replacements.c.project_id == project_id)
        return await self._all(paged(statement, replacements, page))

    async def of_series(self, series_id: str) -> Sequence[Replacement]:
        statement = sa.select(replacements).where(replacements.c.series_id == series_id)
        return await self._all(statement.order_by(replacements.c.id))

    async def unfinished(self) -> Sequence[Replacement]:
        statement = sa.select(replacements).where(sa.text(UNFINISHED))
        return await self._all(statement.order_by(replacements.c.id))

    async def add(self, replacement: Replacement) -> None:
        await add_versioned(self._connection, replacements, replacement, "replacement")

    async def save(self, replacement: Replacement) -> None:
        await save_versioned(self._connection, replacements, replacement)

    async def _all(self, statement: sa.Select[tuple[object, ...]]) -> Sequence[Replacement]:
        rows = await self._connection.rows(statement)
        return [read_versioned(self._connection, replacements, Replacement, row) for row in rows]


class SqlRenting:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def take_turn(self) -> None:
        # Region rows are few, always there and hardly ever written. NO KEY: VMs that refer to them can still be added.
        await self._connection.rows(sa.select(regions.c.id).order_by(regions.c.id).with_for_update(key_share=True))

    async def fleet(self, failed_since: datetime) -> Sequence[Rented]:
        # Not remembered for the version guard, as in VmRows.placeable: who ends one locks it, and so reads it again.
        return [
            Rented(
                from_row(Vm, row, "vms_"),
                from_row(Provisioning, row, "provisionings_"),
                from_row(Host, row, "hosts_") if row["hosts_id"] else None,
            )
            for row in await self._connection.rows(FLEET, {"failed_since": failed_since})
        ]

    async def models(self, since: datetime) -> Mapping[tuple[str, str], Model]:
        age = sa.func.row_number().over(
            partition_by=(vms.c.provider, vms.c.template_id), order_by=(vms.c.created_at.desc(), vms.c.id.desc())
        )
        newest = (
            sa.select(vms.c.provider, vms.c.template_id, vms.c.media_ports, hosts.c.id, age.label("age"))
            .join_from(vms, hosts, hosts.c.id == vms.c.id)
            .join(provisionings, provisionings.c.id == vms.c.id)
            .where(vms.c.created_at >= since, hosts.c.epoch > 0)
            .subquery("newest")
        )
        statement = (
            sa.select(newest.c.provider, newest.c.template_id, newest.c.media_ports, *HOST_COLUMNS)
            .join_from(newest, hosts, hosts.c.id == newest.c.id)
            .where(newest.c.age == 1)
        )
        rows = await self._connection.rows(statement)
        return {(row["provider"], row["template_id"]): _model(row) for row in rows}

    async def budgets(self) -> Mapping[str, Budget]:
        rows = await self._connection.rows(sa.select(budgets))
        return {row["project_id"]: from_row(Budget, row) for row in rows}

    async def put_budget(self, budget: Budget) -> None:
        values = to_row(budget)
        insert = self._connection.insert(budgets).values(values)
        await self._connection.write(insert.on_conflict_do_update(index_elements=["project_id"], set_=values))


def _model(row: Mapping[str, Any]) -> Model:
    first, last = row["media_ports"]
    return Model(from_row(Host, row, "hosts_").inventory, (first, last))
