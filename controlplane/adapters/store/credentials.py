"""Credentials, spent stream tokens and projects in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row
from controlplane.adapters.store.connection import TxConnection, insert_new, paged
from controlplane.adapters.store.tables import credentials, projects, spent_tokens
from controlplane.adapters.store.trail import FIRST_SHA256
from controlplane.domain.identity import Credential, CredentialKind, Role
from controlplane.interfaces import Page

FORGOTTEN_AT_ONCE = 100


class SqlCredentials:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def add(self, credential: Credential) -> None:
        await insert_new(self._connection, credentials, credential, "credential")

    async def by_secret(self, kind: CredentialKind, secret_sha256: str) -> Credential | None:
        row = await self._connection.row(
            sa.select(credentials).where(credentials.c.kind == str(kind), credentials.c.secret_sha256 == secret_sha256)
        )
        return from_row(Credential, row) if row else None

    async def use(self, credential_id: str, now: datetime) -> bool:
        statement = credentials.update().where(credentials.c.id == credential_id, _unused(now)).values(used_at=now)
        return await self._connection.write(statement) == 1

    async def lock(self, credential_id: str) -> Credential | None:
        row = await self._connection.row(
            sa.select(credentials).where(credentials.c.id == credential_id).with_for_update()
        )
        return from_row(Credential, row) if row else None

    async def valid(
        self,
        project_id: str,
        subject: str,
        kind: CredentialKind,
        now: datetime,
        page: Page,
        role: Role | None = None,
    ) -> Sequence[Credential]:
        statement = sa.select(credentials).where(
            credentials.c.project_id == project_id, credentials.c.kind == str(kind), _unused(now)
        )
        if subject:
            statement = statement.where(credentials.c.subject == subject)
        if role is not None:
            statement = statement.where(credentials.c.role == str(role))
        return [from_row(Credential, row) for row in await self._connection.rows(paged(statement, credentials, page))]

    async def revoke(self, credential_id: str, now: datetime) -> Sequence[str]:
        # Locked from the top down: whoever makes another with one of them holds that one until it has committed.
        found, level = [credential_id], [credential_id]
        while level:
            locked = sa.select(credentials.c.id).where(self._connection.among(credentials.c.id, level))
            await self._connection.rows(locked.order_by(credentials.c.id).with_for_update())
            children = sa.select(credentials.c.id).where(self._connection.among(credentials.c.parent_id, level))
            level = [row["id"] for row in await self._connection.rows(children)]
            found += level
        statement = credentials.update().where(
            self._connection.among(credentials.c.id, found), credentials.c.revoked_at.is_(None)
        )
        changed = statement.values(revoked_at=now).returning(credentials.c.id)
        return [row["id"] for row in await self._connection.returning(changed)]

    async def spend(self, jti: str, expires_at: datetime, now: datetime) -> bool:
        # Rows that somebody else is forgetting are left to them: no wait, no deadlock.
        expired = (
            sa.select(spent_tokens.c.jti)
            .where(spent_tokens.c.expires_at <= now)
            .limit(FORGOTTEN_AT_ONCE)
            .with_for_update(skip_locked=True)
        ).cte("expired")
        await self._connection.write(spent_tokens.delete().where(spent_tokens.c.jti.in_(sa.select(expired.c.jti))))
        insert = self._connection.insert(spent_tokens).values(jti=jti, expires_at=expires_at)
        return await self._connection.write(insert.on_conflict_do_nothing()) == 1

    async def put_project(self, project_id: str) -> None:
        insert = self._connection.insert(projects).values(
            id=project_id,
            created_at=await self._connection.now(),
            audit_sequence=0,
            audit_sha256=FIRST_SHA256,
        )
        await self._connection.write(insert.on_conflict_do_nothing())


def _unused(now: datetime) -> sa.ColumnElement[bool]:
    return credentials.c.used_at.is_(None) & credentials.c.revoked_at.is_(None) & (credentials.c.expires_at > now)
