"""The placement queue in SQL, on the index of unfinished sessions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from controlplane.adapters.store.connection import TxConnection, read_versioned, words
from controlplane.adapters.store.tables import hosts, sessions
from controlplane.domain.host import GONE, HostState
from controlplane.domain.queueing import Rivals
from controlplane.domain.session import REPLACEABLE, Session, SessionState
from controlplane.interfaces import Wanted

ORDER = (sessions.c.created_at, sessions.c.id)
# In the statement's own words: of a parameter the planner cannot know that the partial index has it.
WAITING = sessions.c.state == sa.literal_column(f"'{SessionState.PENDING}'")
LOCATED = sessions.c.coordinates.is_not(sa.null())
WANTED = (
    sessions.c.project_id,
    sessions.c.game_id,
    sessions.c.deployment_number,
    sessions.c.preset_id,
    sessions.c.region_id,
    sessions.c.territory,
    LOCATED.label("located"),
)
ALL_WANTED = sa.select(*WANTED).where(WAITING).distinct()


def stranded(since: datetime, states: Collection[HostState]) -> sa.Select[Any]:
    """See QueueRows.stranded."""
    return (
        sa.select(sessions)
        .join(hosts, hosts.c.id == sessions.c.vm_id)
        .where(sessions.c.state.in_(words(list(REPLACEABLE))), sessions.c.lease_s > 0)
        .where(sessions.c.unreachable_at <= since, hosts.c.state.in_(words(list(states))))
        .order_by(sessions.c.unreachable_at, sessions.c.id)
    )


class SqlQueue:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def after(self, last: tuple[datetime, str] | None, limit: int) -> Sequence[Session]:
        return await self._read(sa.true() if last is None else sa.tuple_(*ORDER) > sa.tuple_(*last), limit)

    async def overdue(self, now: datetime, limit: int) -> Sequence[Session]:
        return await self._read(sessions.c.queue_deadline_at <= now, limit)

    async def lock(self, session_ids: Sequence[str]) -> Sequence[Session]:
        among = self._connection.among(sessions.c.id, session_ids)
        statement = sa.select(sessions).where(WAITING, among).order_by(sessions.c.id)
        return await self._all(statement.with_for_update(key_share=True, skip_locked=True))

    async def still(self, session_ids: Sequence[str]) -> Mapping[str, int]:
        away = sa.and_(sessions.c.state.in_(words(list(REPLACEABLE))), sessions.c.unreachable_at.is_not(None))
        among = self._connection.among(sessions.c.id, session_ids)
        statement = sa.select(sessions.c.id, sessions.c.generation).where(among, sa.or_(WAITING, away))
        return {row["id"]: row["generation"] for row in await self._connection.rows(statement)}

    async def stranded(self, since: datetime, states: Collection[HostState] = GONE) -> Sequence[Session]:
        return await self._all(stranded(since, states))

    async def places(self, session_ids: Sequence[str], among: Rivals) -> Mapping[str, int]:
        place = sa.func.row_number().over(order_by=ORDER).label("place")
        rivals = sa.select(sessions.c.id, place).where(WAITING, sessions.c.project_id == among.project_id)
        if among.region_ids is not None:
            near = self._connection.among(sessions.c.region_id, sorted(among.region_ids))
            rivals = rivals.where(LOCATED | (sessions.c.region_id == "") | near)
        line = rivals.subquery("line")
        statement = sa.select(line).where(self._connection.among(line.c.id, session_ids))
        return {row["id"]: row["place"] for row in await self._connection.rows(statement)}

    async def waiting(self, project_id: str) -> Mapping[str, int]:
        count = sa.func.count().label("count")
        statement = (
            sa.select(sessions.c.created_by, count)
            .where(WAITING, sessions.c.project_id == project_id)
            .group_by(sessions.c.created_by)
        )
        return {row["created_by"]: row["count"] for row in await self._connection.rows(statement)}

    async def wanted(self) -> frozenset[Wanted]:
        rows = await self._connection.rows(ALL_WANTED)
        return frozenset(Wanted(**row) for row in rows)

    async def firsts(self, project_ids: Sequence[str]) -> Sequence[Session]:
        mine = self._connection.among(sessions.c.project_id, project_ids)
        # Moments are grouped far sooner than thousands are numbered; some came at the same one.
        oldest = sa.select(sa.func.min(sessions.c.created_at)).where(WAITING, mine).group_by(*WANTED)
        firsts: dict[Wanted, Session] = {}
        for session in await self._read(sa.and_(mine, sessions.c.created_at.in_(oldest))):
            firsts.setdefault(Wanted.of(session), session)
        return list(firsts.values())

    async def _read(self, which: sa.ColumnElement[bool], limit: int | None = None) -> Sequence[Session]:
        return await self._all(sa.select(sessions).where(WAITING, which).order_by(*ORDER).limit(limit))

    async def _all(self, statement: sa.Select[Any]) -> Sequence[Session]:
        rows = await self._connection.rows(statement)
        return [read_versioned(self._connection, sessions, Session, row) for row in rows]
