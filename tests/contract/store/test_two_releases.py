"""Two releases on one database (CONTRIBUTING.md): its statements name what the older one knows of the tables.

Its tables are read off a database at its last revision; its rows are written on the newest schema, beside the newer
release's own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from controlplane.adapters.store import open_store, schema
from controlplane.domain.pool import Budget
from controlplane.domain.session import SessionState
from controlplane.domain.succession import Replacement, ReplacementState
from controlplane.domain.vm import VmTrigger
from controlplane.interfaces import AuditEntry, Page, Store
from tests.contract.store.rows import (
    NOW,
    PROJECT,
    a_credential,
    a_deployment,
    a_draft,
    a_full_session,
    a_game,
    a_host,
    a_lease,
    a_session,
    a_vm,
    at,
    synchronous,
)
from tests.contract.store.test_backups import a_full_backup, a_schedule
from tests.contract.store.test_capacity import a_pool
from tests.contract.store.test_provisionings import a_provisioning
from tests.contract.store.test_saves import a_save, a_version

# The last revision that a release before this one has.
RELEASED = "0018"
OLDER = "-older"
ONE_ROW_FOR_ALL = {"feed"}
# Parts of keys that are words of a list.
WORDS = {"kind", "protocol"}

# What no use of the store below writes.
PLAIN: Mapping[str, Mapping[str, Any]] = {
    "duties": {"duty": "figures", "holder": "api-1", "lease_until": NOW},
    "feed": {"id": 1, "last_batch_at": NOW, "gap_ended_at": None},
    "inbox": {"consumer": "billing", "event_id": "e-1", "at": NOW},
    "object_garbage": {"object_key": "saves/9", "due_at": NOW},
    "spent_tokens": {"jti": "j-1", "expires_at": NOW},
    "tides": {"project_id": PROJECT, "region_id": "local", "low": True, "version": 1},
    "vm_attempts": {
        "vm_id": "vm-1", "number": 1, "purpose": "RENT", "started_at": NOW, "instance_id": "i-1",
        "outcome": "SUCCEEDED",
    },
    "log_heads": {
        "session_id": "s-1", "generation": 3, "project_id": PROJECT, "host_id": "vm-1", "to_sequence": 9, "lines": 9,
        "bytes": 99, "complete": False, "stored_at": NOW, "version": 1,
    },
    "log_chunks": {
        "session_id": "s-1", "generation": 3, "from_sequence": 1, "to_sequence": 9, "project_id": PROJECT,
        "from_at": NOW, "to_at": NOW, "stdout_lines": 9, "stderr_lines": 0, "wrapper_lines": 0, "bytes": 99,
        "object_key": "logs/1", "stored_at": NOW, "expires_at": at(60),
    },
}  # fmt: skip


def tables_of(url: str) -> sa.MetaData:
    """As the database tells them."""
    known = sa.MetaData()
    known.reflect(synchronous(url))
    known.remove(known.tables["alembic_version"])
    return known


async def fill(store: Store) -> None:
    """Rows of the newer release, of every entity."""
    async with store.tx() as tx:
        await tx.catalogue.add_game(a_game())
        await tx.catalogue.add_deployment(a_deployment())
        await tx.vms.add(a_vm())
        await tx.hosts.add(a_host())
        await tx.provisionings.add(a_provisioning())
        await tx.pools.add(a_pool())
        await tx.renting.put_budget(Budget(PROJECT, 5_000_000, "EUR"))
        await tx.replacements.add(
            Replacement("r-1", PROJECT, "r", "pools/warm", "vm-1", ReplacementState.QUEUED, NOW, NOW)
        )
        await tx.credentials.add(a_credential())
        await tx.sessions.add(a_full_session())
        await tx.sessions.add(a_session("s-2", state=SessionState.PENDING, ended_at=None))
        await tx.ports.lease(a_lease(), NOW)
        await tx.saves.add(a_save())
        await tx.save_versions.add(a_version())
        await tx.backups.add(a_full_backup())
        await tx.schedules.add(a_schedule())
        await tx.outbox.append([a_draft(), *a_vm().on(VmTrigger.FAIL, NOW)[1]])
        await tx.outbox.bury("billing", "e-1", b"\x00", "ValueError")
        await tx.outbox.audit(AuditEntry(PROJECT, "alice", "CreateSession", "sessions/s-1", "r-1"))


def keys_of(table: sa.Table) -> set[str]:
    """Columns by which rows are told apart, or refer to others."""
    keys = {column.name for column in table.primary_key} | {key.parent.name for key in table.foreign_keys}
    for one in (*table.constraints, *(index for index in table.indexes if index.unique)):
        if isinstance(one, sa.UniqueConstraint | sa.Index):
            keys |= {column.name for column in one.columns}
    return keys - WORDS


def copied(table: sa.Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """The same row of another world, whose every name ends so."""
    keys = keys_of(table)
    return {
        name: f"{value}{OLDER}" if name in keys and isinstance(value, str) and value else value
        for name, value in row.items()
    }


@pytest.fixture
def older(database_url: str) -> sa.MetaData:
    """The tables of the release before; the database is the newer's already."""
    schema.migrate(database_url)
    schema.downgrade(database_url, RELEASED)
    known = tables_of(database_url)
    schema.migrate(database_url)
    return known


async def test_the_older_release_reads_changes_and_deletes_what_the_newer_writes(
    older: sa.MetaData, database_url: str
) -> None:
    store = open_store(database_url)
    await fill(store)
    with synchronous(database_url).begin() as connection:
        for name, row in PLAIN.items():
            connection.execute(older.tables[name].insert(), dict(row))
        for table in older.sorted_tables:
            rows = connection.execute(sa.select(table)).mappings().all()
            assert rows, f"{table.name}: nothing was tried"
            changed = connection.execute(table.update().values({column: column for column in table.columns}))
            assert changed.rowcount == len(rows)
    async with store.reading() as tx:
        assert await tx.sessions.get("s-1") == a_full_session()
        assert await tx.hosts.get("vm-1") == a_host()
    with synchronous(database_url).begin() as connection:
        connection.execute(older.tables["port_leases"].delete())
        connection.execute(older.tables["log_chunks"].delete())
    async with store.reading() as tx:
        assert await tx.ports.of_session("s-1") == []
    await store.close()


async def test_the_newer_release_reads_what_the_older_writes(older: sa.MetaData, database_url: str) -> None:
    store = open_store(database_url)
    await fill(store)
    with synchronous(database_url).begin() as connection:
        for name, row in PLAIN.items():
            connection.execute(older.tables[name].insert(), dict(row))
        for table in older.sorted_tables:
            rows = connection.execute(sa.select(table)).mappings().all()
            if table.name not in ONE_ROW_FOR_ALL:
                connection.execute(table.insert(), [copied(table, row) for row in rows])
    project = PROJECT + OLDER
    async with store.tx() as tx:
        session = await tx.sessions.get(f"s-1{OLDER}")
        assert session is not None
        assert (session.choice, session.stages, session.usage) == (
            a_full_session().choice,
            a_full_session().stages,
            a_full_session().usage,
        )
        vm, host = await tx.vms.lock(f"vm-1{OLDER}"), await tx.hosts.lock(f"vm-1{OLDER}")
        assert vm is not None
        assert host is not None
        assert host.inventory == a_host().inventory
        assert await tx.catalogue.deployment(project, f"orbit{OLDER}", 1) is not None
        assert [game.id for game in await tx.catalogue.games(project, Page())] == [f"orbit{OLDER}"]
        assert [pool.id for pool in await tx.pools.all(project)] == [f"warm{OLDER}"]
        assert await tx.backups.get(f"b-1{OLDER}") is not None
        assert await tx.schedules.get(f"bs-1{OLDER}") is not None
        assert [one.id for one in await tx.queue.after(None, 9)] == ["s-2", f"s-2{OLDER}"]
        assert len(await tx.ports.of_session(f"s-1{OLDER}")) == 1
        assert len(await tx.shapes.presets()) % 2 == 0
        # Whatever is the newer's alone has a default: rows of the older are saved as any other.
        await tx.vms.save(vm.replanned(NOW + timedelta(seconds=1)))
    await store.close()


def test_what_the_older_release_counts_on_to_be_unique_still_is(older: sa.MetaData, database_url: str) -> None:
    """Its ON CONFLICT clauses name them."""
    newer = tables_of(database_url)
    for table in older.sorted_tables:
        assert unique(table) <= unique(newer.tables[table.name]), table.name


def unique(table: sa.Table) -> set[frozenset[str]]:
    listed = [list(table.primary_key.columns), *(list(index.columns) for index in table.indexes if index.unique)]
    listed += [list(one.columns) for one in table.constraints if isinstance(one, sa.UniqueConstraint)]
    return {frozenset(column.name for column in columns) for columns in listed}
