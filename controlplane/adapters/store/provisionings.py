"""Rented VMs' progress and attempts, and every VM's history, in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.connection import (
    TxConnection,
    read_versioned,
    save_versioned,
    words,
)
from controlplane.adapters.store.tables import provisionings as rows
from controlplane.adapters.store.tables import saves, sessions, vm_attempts, vm_transitions, vms
from controlplane.adapters.store.versions import version_conflict, version_read
from controlplane.domain.attempt import Attempt, Outcome
from controlplane.domain.errors import AlreadyExists
from controlplane.domain.provisioning import SELF_MOVING, Phase, Provisioning
from controlplane.domain.save import STORED_WITHIN_S
from controlplane.domain.vm import Transition
from controlplane.interfaces import Page


class SqlTransitions:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def of_vm(self, vm_id: str, page: Page) -> Sequence[Transition]:
        statement = sa.select(vm_transitions).where(vm_transitions.c.vm_id == vm_id)
        if page.after is not None:
            statement = statement.where(vm_transitions.c.version < int(page.after[1]))
        found = await self._connection.rows(statement.order_by(vm_transitions.c.version.desc()).limit(page.size))
        return [from_row(Transition, row) for row in found]


class SqlAttempts:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def of_vm(self, vm_id: str, page: Page) -> Sequence[Attempt]:
        statement = sa.select(vm_attempts).where(vm_attempts.c.vm_id == vm_id)
        if page.after is not None:
            statement = statement.where(vm_attempts.c.number < int(page.after[1]))
        found = await self._connection.rows(statement.order_by(vm_attempts.c.number.desc()).limit(page.size))
        return [from_row(Attempt, row) for row in found]


class SqlProvisionings:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self, vm_id: str) -> Provisioning | None:
        row = await self._connection.row(sa.select(rows).where(rows.c.id == vm_id))
        return read_versioned(self._connection, rows, Provisioning, row) if row else None

    async def of_vms(self, vm_ids: Sequence[str]) -> Mapping[str, Provisioning]:
        found = await self._connection.rows(sa.select(rows).where(self._connection.among(rows.c.id, vm_ids)))
        return {row["id"]: read_versioned(self._connection, rows, Provisioning, row) for row in found}

    async def add(self, row: Provisioning) -> None:
        free = {"lease_token": "", "lease_until": None}
        insert = self._connection.insert(rows).values(**to_row(row), **free).on_conflict_do_nothing()
        if not await self._connection.write(insert):
            raise AlreadyExists("PROVISIONING_EXISTS", "this provisioning exists already")
        self._connection.versions[rows.name, row.id] = row.version

    async def save(self, row: Provisioning) -> None:
        await save_versioned(self._connection, rows, row)
        await self._remember(row)

    async def claim(
        self, limit: int, lease_s: float, lease_token: str, apart_from: Collection[str] = ()
    ) -> Sequence[Provisioning]:
        now = await self._connection.now()
        storing = sa.exists().where(
            sessions.c.vm_id == vms.c.id,
            sessions.c.ended_at > now - timedelta(seconds=STORED_WITHIN_S),
            saves.c.session_id == sessions.c.id,
        )
        ending = sa.exists().where(
            vms.c.id == rows.c.id, vms.c.terminate_requested_at.is_not(None), vms.c.active_sessions == 0, ~storing
        )
        moves = rows.c.phase.in_(words(list(SELF_MOVING))) & (
            rows.c.next_attempt_at.is_(None) | (rows.c.next_attempt_at <= now)
        )
        ends = (rows.c.phase != str(Phase.RELEASED)) & rows.c.release_for_good.is_(False) & ending
        picked = (
            sa.select(rows.c.id)
            .where(moves | ends, rows.c.lease_until.is_(None) | (rows.c.lease_until <= now))
            .where(rows.c.provider.not_in(sorted(apart_from)))
            .order_by(sa.func.coalesce(rows.c.next_attempt_at, rows.c.created_at), rows.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=rows)
        ).cte("picked")
        statement = (
            rows.update()
            .where(rows.c.id.in_(sa.select(picked.c.id)))
            .values(lease_token=lease_token, lease_until=now + timedelta(seconds=lease_s))
            .returning(rows)
        )
        found = sorted(await self._connection.returning(statement), key=lambda row: str(row["id"]))
        return [read_versioned(self._connection, rows, Provisioning, row) for row in found]

    async def apply(self, row: Provisioning, lease_token: str, *, keep: bool = False) -> None:
        before = version_read(self._connection.versions, (rows.name, row.id))
        values: dict[str, Any] = {name: value for name, value in to_row(row).items() if name != "id"}
        if not keep:
            values |= {"lease_token": "", "lease_until": None}
        statement = rows.update().where(
            rows.c.id == row.id, rows.c.version == before, rows.c.lease_token == lease_token
        )
        if before >= row.version or not await self._connection.write(statement.values(**values)):
            raise version_conflict(row.name)
        self._connection.versions[rows.name, row.id] = row.version
        await self._remember(row)

    async def lease(self, lease_token: str, lease_s: float) -> None:
        until = await self._connection.now() + timedelta(seconds=lease_s)
        left = {"lease_until": until} if lease_s > 0 else {"lease_token": "", "lease_until": None}
        await self._connection.write(rows.update().where(rows.c.lease_token == lease_token).values(**left))

    async def wanted(self, provider: str) -> Sequence[Provisioning]:
        statement = sa.select(rows).where(rows.c.provider == provider, rows.c.phase != str(Phase.RELEASED))
        found = await self._connection.rows(statement.order_by(rows.c.id))
        return [read_versioned(self._connection, rows, Provisioning, row) for row in found]

    async def _remember(self, row: Provisioning) -> None:
        """What has ended stays as it is."""
        if row.last is None:
            return
        values = to_row(row.last)
        insert = self._connection.insert(vm_attempts).values(vm_id=row.id, **values)
        ended = vm_attempts.c.outcome != str(Outcome.OPEN)
        await self._connection.write(
            insert.on_conflict_do_update(index_elements=["vm_id", "number"], set_=values, where=~ended)
        )
