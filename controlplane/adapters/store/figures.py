"""Counts in SQL, each one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from controlplane.adapters.store.connection import Row, TxConnection
from controlplane.adapters.store.tables import dead_letters, duties, hosts, outbox, projects, sessions, tides, vms
from controlplane.adapters.store.tables.sessions import UNFINISHED
from controlplane.domain.host import HostState
from controlplane.domain.session import SessionState
from controlplane.domain.template import UNITS_PER_SEAT
from controlplane.domain.vm import VmState
from controlplane.interfaces import Backlog, Counts, Flow, RegionFigure


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

    async def counts(self) -> Counts:
        return Counts(
            sessions={SessionState(k): n for k, n in await self._by_state(sessions, sa.text(UNFINISHED))},
            hosts={HostState(k): n for k, n in await self._by_state(hosts, sa.true())},
            waiting_since=await self._one(sa.select(sa.func.min(sessions.c.created_at)).where(PENDING)),
            dead_letters=await self._one(sa.select(sa.func.count()).select_from(dead_letters)),
        )

    async def _by_state(
        self, table: sa.Table, where: sa.ColumnElement[bool] | sa.TextClause
    ) -> Sequence[tuple[str, int]]:
        counted = sa.select(table.c.state, sa.func.count().label("rows")).where(where).group_by(table.c.state)
        return [(row["state"], int(row["rows"])) for row in await self._connection.rows(counted)]

    async def _one(self, statement: sa.Select[Any]) -> Any:
        row = await self._connection.row(statement)
        assert row is not None
        return next(iter(row.values()))

    async def regions(self, project_id: str) -> Sequence[RegionFigure]:
        statement = _region_figures(bool(project_id))
        rows = await self._connection.rows(statement, {"project": project_id} if project_id else None)
        return [_region_figure(row) for row in rows]

    async def regions_of_each(self) -> Mapping[str, Sequence[RegionFigure]]:
        figures: dict[str, list[RegionFigure]] = {}
        for row in await self._connection.rows(_region_figures(False, vms.c.project_id)):
            figures.setdefault(row["project_id"], []).append(_region_figure(row))
        return figures

    async def flow(self, project_id: str, since: datetime) -> Sequence[Flow]:
        # Apart, so that each finds its own index: sessions that have ended are many, and few of them lately.
        released = sa.and_(sessions.c.vm_id.is_not(None), sessions.c.ended_at >= since)
        waiting = PENDING
        counted = sa.union_all(*(_by_region(project_id, what, rows) for what, rows in enumerate((released, waiting))))
        both = sa.select(counted.subquery())
        moved: dict[str, list[int]] = {}
        for row in await self._connection.rows(both):
            moved.setdefault(row["region_id"], [0, 0])[row["what"]] += int(row["rows"])
        return [Flow(region_id, *moved[region_id]) for region_id in sorted(moved)]

    async def low(self) -> frozenset[tuple[str, str]]:
        rows = await self._connection.rows(sa.select(tides.c.project_id, tides.c.region_id).where(tides.c.low))
        return frozenset((row["project_id"], row["region_id"]) for row in rows)

    async def turn(self, project_id: str, region_id: str, low: bool) -> int:
        first = {"project_id": project_id, "region_id": region_id, "low": False, "version": 0}
        await self._connection.write(self._connection.insert(tides).values(first).on_conflict_do_nothing())
        turned = tides.update().where(
            tides.c.project_id == project_id, tides.c.region_id == region_id, tides.c.low != low
        )
        counted = turned.values(low=low, version=tides.c.version + 1).returning(tides.c.version)
        rows = await self._connection.returning(counted)
        return int(rows[0]["version"]) if rows else 0

    async def lead(self, duty: str, holder: str, lease_s: float) -> bool:
        now = await self._connection.now()
        until = now + timedelta(seconds=lease_s)
        first = self._connection.insert(duties).values(duty=duty, holder=holder, lease_until=until)
        if await self._connection.write(first.on_conflict_do_nothing()):
            return True
        free = (duties.c.holder == holder) | (duties.c.lease_until < now)
        taken = duties.update().where(duties.c.duty == duty, free).values(holder=holder, lease_until=until)
        return await self._connection.write(taken) > 0


# As the partial index has them, in letters: a prepared statement's parameters would not be seen to imply it.
PENDING = sessions.c.state == sa.literal_column(f"'{SessionState.PENDING}'")
COUNTS = ("vms", "active_sessions", "capacity_units", "used_units", "free_seats")


@cache
def _region_figures(of_project: bool, *apart: sa.Column[str]) -> sa.Select[Any]:
    online = sa.and_(hosts.c.state == str(HostState.ONLINE), hosts.c.revoked_at.is_(None))
    online = sa.case((online, sa.true()), else_=sa.false()).label("online")
    sums = (
        sa.func.count().label("vms"),
        sa.func.sum(vms.c.active_sessions).label("active_sessions"),
        sa.func.sum(vms.c.capacity_units).label("capacity_units"),
        sa.func.sum(vms.c.used_units).label("used_units"),
        sa.func.sum((vms.c.capacity_units - vms.c.used_units) // UNITS_PER_SEAT).label("free_seats"),
    )
    alike = (*apart, vms.c.region_id, vms.c.state, online)
    return (
        sa.select(*alike, *sums)
        .join_from(vms, hosts, hosts.c.id == vms.c.id, isouter=True)
        .where(vms.c.project_id == sa.bindparam("project") if of_project else _of(vms, ""))
        .where(vms.c.state != str(VmState.TERMINATED))
        .group_by(*alike)
        .order_by(*alike)
    )


def _of(table: sa.Table, project_id: str) -> sa.ColumnElement[bool]:
    """Of one project or of all, whose ids are named too: indexes begin with them."""
    return table.c.project_id == project_id if project_id else table.c.project_id.in_(sa.select(projects.c.id))


def _by_region(project_id: str, what: int, where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    counted = sa.select(sessions.c.region_id, sa.literal(what).label("what"), sa.func.count().label("rows"))
    return counted.where(_of(sessions, project_id), where).group_by(sessions.c.region_id)


def _region_figure(row: Row) -> RegionFigure:
    counts = {name: int(row[name]) for name in COUNTS}
    return RegionFigure(row["region_id"], VmState(row["state"]), bool(row["online"]), **counts)
