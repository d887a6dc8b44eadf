"""Credentials, spent stream tokens and projects in SQL."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row
from controlplane.adapters.store.connection import TxConnection, insert_new
from controlplane.adapters.store.tables import credentials, projects, spent_tokens
from controlplane.adapters.store.trail import FIRST_SHA256
from controlplane.domain.identity import Credential, CredentialKind

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
        unused = credentials.c.used_at.is_(None) & credentials.c.revoked_at.is_(None) & (credentials.c.expires_at > now)
        statement = credentials.update().where(credentials.c.id == credential_id, unused).values(used_at=now)
        return await self._connection.write(statement) == 1

    async def revoke(self, credential_id: str, now: datetime) -> None:
        statement = credentials.update().where(credentials.c.id == credential_id, credentials.c.revoked_at.is_(None))
        await self._connection.write(statement.values(revoked_at=now))

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
