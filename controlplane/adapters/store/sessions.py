"""Sessions in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from controlplane.adapters.store.connection import (
    TxConnection,
    add_versioned,
    paged,
    read_versioned,
    save_versioned,
    words,
)
from controlplane.adapters.store.tables import sessions
from controlplane.domain.session import FINISHED, ON_HOST, Session, SessionState
from controlplane.interfaces import Page

UNFINISHED = frozenset(SessionState) - FINISHED


class SqlSessions:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self, session_id: str) -> Session | None:
        return await self._one(sa.select(sessions).where(sessions.c.id == session_id))

    async def add(self, session: Session) -> None:
        await add_versioned(self._connection, sessions, session, "session")

    async def save(self, session: Session) -> None:
        await save_versioned(self._connection, sessions, session)

    async def by_client_token(self, project_id: str, client_token: str) -> Session | None:
        if not client_token:
            return None
        return await self._one(
            sa.select(sessions).where(sessions.c.project_id == project_id, sessions.c.client_token == client_token)
        )

    async def list(
        self, project_id: str, states: Sequence[SessionState], vm_id: str, page: Page, created_by: str = ""
    ) -> Sequence[Session]:
        statement = sa.select(sessions).where(sessions.c.project_id == project_id)
        if states:
            statement = statement.where(sessions.c.state.in_(words(states)))
        if vm_id:
            statement = statement.where(sessions.c.vm_id == vm_id)
        if created_by:
            statement = statement.where(sessions.c.created_by == created_by)
        return await self._all(paged(statement, sessions, page))

    async def on_vm(self, vm_id: str) -> Sequence[Session]:
        statement = sa.select(sessions).where(sessions.c.vm_id == vm_id, sessions.c.state.in_(words(list(ON_HOST))))
        return await self._all(statement.order_by(sessions.c.id))

    async def starting(self, untouched_since: datetime) -> Sequence[Session]:
        statement = sa.select(sessions).where(
            sessions.c.state == str(SessionState.STARTING), sessions.c.updated_at <= untouched_since
        )
        return await self._all(statement.order_by(sessions.c.created_at, sessions.c.id))

    async def unreachable(self) -> Sequence[Session]:
        statement = sa.select(sessions).where(
            sessions.c.state.in_(words(list(UNFINISHED))), sessions.c.unreachable_at.is_not(None)
        )
        return await self._all(statement.order_by(sessions.c.unreachable_at, sessions.c.id))

    async def _one(self, statement: sa.Select[tuple[object, ...]]) -> Session | None:
        row = await self._connection.row(statement)
        return read_versioned(self._connection, sessions, Session, row) if row else None

    async def _all(self, statement: sa.Select[tuple[object, ...]]) -> Sequence[Session]:
        rows = await self._connection.rows(statement)
        return [read_versioned(self._connection, sessions, Session, row) for row in rows]
