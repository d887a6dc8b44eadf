"""Client tokens in SQL."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.connection import TxConnection
from controlplane.adapters.store.tables import client_tokens as tokens
from controlplane.domain.request import ClientToken


class SqlTokens:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def claim(self, token: ClientToken) -> ClientToken | None:
        insert = self._connection.insert(tokens).values(to_row(token)).on_conflict_do_nothing()
        if await self._connection.write(insert):
            return None
        row = await self._connection.row(sa.select(tokens).where(*_this(token)))
        return from_row(ClientToken, row) if row else None

    async def settle(self, token: ClientToken) -> None:
        await self._connection.write(tokens.update().where(*_this(token)).values(made=token.made))


def _this(token: ClientToken) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        tokens.c.project_id == token.project_id,
        tokens.c.verb == token.verb,
        tokens.c.token == token.token,
    )
