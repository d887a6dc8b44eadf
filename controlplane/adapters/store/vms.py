"""VMs in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row
from controlplane.adapters.store.connection import (
    TxConnection,
    add_versioned,
    paged,
    prefixed,
    read_versioned,
    save_versioned,
    words,
)
from controlplane.adapters.store.tables import hosts, vms
from controlplane.domain.host import Host, LinkState
from controlplane.domain.vm import PLACEABLE, Vm, VmState
from controlplane.interfaces import Page

THIS = sa.select(vms).where(vms.c.id == sa.bindparam("vm"))
# NO KEY: rows that refer to the VM (sessions, port leases) can still be added meanwhile.
LOCKED = THIS.with_for_update(key_share=True)


class SqlVms:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self, vm_id: str) -> Vm | None:
        return await self._one(THIS, vm_id)

    async def lock(self, vm_id: str) -> Vm | None:
        return await self._one(LOCKED, vm_id)

    async def add(self, vm: Vm) -> None:
        await add_versioned(self._connection, vms, vm, "VM")

    async def save(self, vm: Vm) -> None:
        await save_versioned(self._connection, vms, vm)

    async def list(self, project_id: str, states: Sequence[VmState], page: Page) -> Sequence[Vm]:
        statement = sa.select(vms).where(vms.c.project_id == project_id)
        if states:
            statement = statement.where(vms.c.state.in_(words(states)))
        rows = await self._connection.rows(paged(statement, vms, page))
        return [read_versioned(self._connection, vms, Vm, row) for row in rows]

    async def placeable(self, project_id: str, regions: Sequence[str], limit: int) -> Sequence[tuple[Vm, Host]]:
        rows = await self._connection.rows(_placeable(tuple(regions)), {"project": project_id, "limit": limit})
        # Not remembered for the version guard: a placement locks the VM it chooses, and so reads it again.
        return [(from_row(Vm, row, "vms_"), from_row(Host, row, "hosts_")) for row in rows]

    async def links(self, vm_ids: Sequence[str]) -> Mapping[str, LinkState]:
        statement = (
            sa.select(
                vms.c.id,
                hosts.c.epoch,
                hosts.c.report_sequence,
                hosts.c.link_token,
                hosts.c.revoked_at.is_not(None).label("revoked"),
                vms.c.plan_version,
            )
            .join_from(vms, hosts, hosts.c.id == vms.c.id)
            .where(self._connection.among(vms.c.id, vm_ids))
        )
        rows = await self._connection.rows(statement)
        return {row["id"]: from_row(LinkState, {name: row[name] for name in row if name != "id"}) for row in rows}

    async def _one(self, statement: sa.Select[tuple[object, ...]], vm_id: str) -> Vm | None:
        row = await self._connection.row(statement, {"vm": vm_id})
        return read_versioned(self._connection, vms, Vm, row) if row else None


@lru_cache(maxsize=256)
def _placeable(regions: tuple[str, ...]) -> sa.Select[Any]:
    place = [sa.case({region: at for at, region in enumerate(regions)}, value=vms.c.region_id)] if regions else []
    statement = (
        sa.select(*prefixed(vms), *prefixed(hosts))
        .join_from(vms, hosts, hosts.c.id == vms.c.id)
        .where(vms.c.project_id == sa.bindparam("project"), vms.c.state.in_(words(list(PLACEABLE))))
        .where(vms.c.used_units < vms.c.capacity_units)
        .order_by(*place, vms.c.capacity_units - vms.c.used_units, vms.c.id)
        .limit(sa.bindparam("limit"))
    )
    return statement.where(vms.c.region_id.in_(regions)) if regions else statement
