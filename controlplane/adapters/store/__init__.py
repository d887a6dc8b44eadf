"""Where the truth is kept: one Store on PostgreSQL, on SQLite, or in memory, chosen by its URL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from controlplane.interfaces import Store

MEMORY = "memory:"


def open_store(url: str, *, clock: Callable[[], datetime] | None = None) -> Store:
    """The store at `memory://`, `sqlite:///path` or `postgresql://…`; connects when first used and expects
    the schema of `schema.migrate(url)`. A `clock` replaces the database's own, for tests and simulation.

    Raises InvalidRequest for any other URL."""
    # Imported when asked for: SQLAlchemy takes a second that the memory store should not cost.
    if url.startswith(MEMORY):
        from controlplane.adapters.store.memory import MemoryStore

        return MemoryStore(clock)
    from controlplane.adapters.store.address import SQLITE, address
    from controlplane.adapters.store.sql import postgres_store, sqlite_store

    parsed = address(url)
    if parsed.get_backend_name() == SQLITE:
        return sqlite_store(parsed, clock)
    return postgres_store(parsed, clock)
