"""The tables, as SQLAlchemy Core metadata: what the entities are when they lie still. Each room is a file.

A column is called as the field it keeps; parts that are never searched by are JSON. Every row has its project where
the entity has one. Invariants that one row can show are constraints (I1 capacity, I3 ports, I20 tokens).
"""

from __future__ import annotations

from controlplane.adapters.store.tables.base import metadata
from controlplane.adapters.store.tables.capacity import budgets, pools, replacements
from controlplane.adapters.store.tables.fleet import hosts, provisionings, vm_attempts, vm_transitions, vms
from controlplane.adapters.store.tables.keeping import backup_schedules, backups, object_garbage, save_versions, saves
from controlplane.adapters.store.tables.logs import log_chunks, log_heads
from controlplane.adapters.store.tables.news import audit, dead_letters, duties, feed, inbox, outbox, tides
from controlplane.adapters.store.tables.scope import (
    client_tokens,
    credentials,
    deployments,
    games,
    presets,
    projects,
    regions,
    spent_tokens,
    templates,
)
from controlplane.adapters.store.tables.sessions import port_leases, sessions

__all__ = [
    "audit",
    "backup_schedules",
    "backups",
    "budgets",
    "client_tokens",
    "credentials",
    "dead_letters",
    "deployments",
    "duties",
    "feed",
    "games",
    "hosts",
    "inbox",
    "log_chunks",
    "log_heads",
    "metadata",
    "object_garbage",
    "outbox",
    "pools",
    "port_leases",
    "presets",
    "projects",
    "provisionings",
    "regions",
    "replacements",
    "save_versions",
    "saves",
    "sessions",
    "spent_tokens",
    "templates",
    "tides",
    "vm_attempts",
    "vm_transitions",
    "vms",
]
