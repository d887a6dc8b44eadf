"""Client tokens in SQL."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.connection import TxConnection
from controlplane.adapters.store.tables import backup_schedules, backups, port_leases
from controlplane.adapters.store.tables import client_tokens as tokens
from controlplane.domain.request import ClientToken

# Rows that keep the token that made them, and their resource names. A replica of the last release, which may serve
# beside this one while a house is upgraded, makes them without an entry in the table of tokens.
KEPT: dict[str, tuple[sa.Table, sa.ColumnElement[str]]] = {
    "AllocatePort": (
        port_leases,
        sa.literal("vms/")
        .concat(port_leases.c.vm_id)
        .concat("/ports/")
        .concat(port_leases.c.protocol)
        .concat("-")
        .concat(sa.cast(port_leases.c.host_port, sa.Text)),
    ),
    "CreateBackup": (backups, sa.literal("backups/").concat(backups.c.id)),
    "CreateBackupSchedule": (backup_schedules, sa.literal("backupSchedules/").concat(backup_schedules.c.id)),
}


class SqlTokens:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def claim(self, token: ClientToken) -> ClientToken | None:
        insert = self._connection.insert(tokens).values(to_row(token)).on_conflict_do_nothing()
        if await self._connection.write(insert):
            return await self._taken_over(token)
        row = await self._connection.row(sa.select(tokens).where(*_this(token)))
        return from_row(ClientToken, row) if row else None

    async def _taken_over(self, token: ClientToken) -> ClientToken | None:
        """What a row has kept of this token, whose request nobody knows; None where there is no such row."""
        if token.verb not in KEPT:
            return None
        table, name = KEPT[token.verb]
        mine = (table.c.project_id == token.project_id, table.c.client_token == token.token, table.c.client_token != "")
        row = await self._connection.row(sa.select(name.label("made")).where(*mine))
        if row is None:
            return None
        known = replace(token, request_sha256="", made=str(row["made"]))
        await self._connection.write(tokens.update().where(*_this(token)).values(request_sha256="", made=known.made))
        return known

    async def settle(self, token: ClientToken) -> None:
        await self._connection.write(tokens.update().where(*_this(token)).values(made=token.made))


def _this(token: ClientToken) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        tokens.c.project_id == token.project_id,
        tokens.c.verb == token.verb,
        tokens.c.token == token.token,
    )
