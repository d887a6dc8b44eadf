"""Client tokens in memory."""

from __future__ import annotations

from controlplane.adapters.store.memory.tables import TxTables
from controlplane.domain.request import ClientToken

TABLE = "client_tokens"


class MemoryTokens:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def claim(self, token: ClientToken) -> ClientToken | None:
        earlier: ClientToken | None = self._tables.seen(TABLE).get(_key(token))
        if earlier is None:
            self._tables.refer("projects", token.project_id)
            self._tables.own(TABLE)[_key(token)] = token
        return earlier

    async def settle(self, token: ClientToken) -> None:
        self._tables.own(TABLE)[_key(token)] = token


def _key(token: ClientToken) -> tuple[str, str, str]:
    return token.project_id, token.verb, token.token
