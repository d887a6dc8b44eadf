"""Counts over all projects in SQL, each one statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from controlplane.adapters.store.connection import TxConnection
from controlplane.adapters.store.tables import outbox, projects, vms
from controlplane.domain.vm import VmState
from controlplane.interfaces import Backlog, VmFigure


class SqlFigures:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def backlog(self) -> Backlog:
        counted = [sa.func.count().label("events"), sa.func.min(outbox.c.at).label("oldest_at")]
        row = await self._connection.row(sa.select(*counted).where(outbox.c.published_at.is_(None)))
        return Backlog(**row) if row else Backlog()

    async def born_at(self) -> datetime:
        row = await self._connection.row(sa.select(sa.func.min(projects.c.created_at).label("born_at")))
        assert row is not None
        born_at: datetime = row["born_at"]
        return born_at

    async def fleet(self) -> Sequence[VmFigure]:
        capacity, used = sa.func.sum(vms.c.capacity_units), sa.func.sum(vms.c.used_units)
        statement = (
            sa.select(vms.c.region_id, vms.c.state, sa.func.count().label("vms"))
            .add_columns(capacity.label("capacity_units"), used.label("used_units"))
            .where(vms.c.state != str(VmState.TERMINATED))
            .group_by(vms.c.region_id, vms.c.state)
            .order_by(vms.c.region_id, vms.c.state)
        )
        rows = await self._connection.rows(statement)
        return [VmFigure(**{**row, "state": VmState(row["state"])}) for row in rows]
