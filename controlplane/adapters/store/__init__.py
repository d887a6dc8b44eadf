"""Where the truth is kept: one Store on PostgreSQL, on SQLite, or in memory, chosen by its URL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from controlplane.interfaces import Store

if TYPE_CHECKING:
    from controlplane.adapters.store.lanes import PoolSize

MEMORY = "memory:"


def open_store(
    url: str,
    *,
    clock: Callable[[], datetime] | None = None,
    size: PoolSize | None = None,
    registry: CollectorRegistry | None = None,
) -> Store:
    """The store at `memory://`, `sqlite:///path` or `postgresql://…`; connects when first used and expects
    the schema of `schema.migrate(url)`. A `clock` replaces the database's own, for tests and simulation; `size` is of
    PostgreSQL's pool, and `registry` gets the figures.

    Raises InvalidRequest for any other URL."""
    # Imported when asked for: SQLAlchemy takes a second that the memory store should not cost.
    if url.startswith(MEMORY):
        from controlplane.adapters.store.memory import MemoryStore

        return MemoryStore(clock)
    from controlplane.adapters.store.address import SQLITE, address
    from controlplane.adapters.store.lanes import PoolSize
    from controlplane.adapters.store.metrics import Metrics
    from controlplane.adapters.store.sql import postgres_store, sqlite_store

    parsed, metrics = address(url), Metrics(registry or CollectorRegistry())
    if parsed.get_backend_name() == SQLITE:
        return sqlite_store(parsed, clock, metrics)
    return postgres_store(parsed, clock, size or PoolSize(), metrics)
