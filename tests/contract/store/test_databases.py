"""What only a database can get wrong: crashes, lost connections, deadlocks, values it cannot hold."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from controlplane.adapters.store import open_store, schema, sql
from controlplane.adapters.store.lanes import PoolSize
from controlplane.domain.errors import Conflict, InvalidRequest, Unavailable
from controlplane.interfaces import Store
from tests.contract.store.rows import NOW, a_vm, furnish, next_of, synchronous


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_store_url")
    return url


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[str], Store]]:
    stores: list[Store] = []

    def start(url: str) -> Store:
        stores.append(open_store(url))
        return stores[-1]

    yield start
    for store in stores:
        await store.close()


async def add_vm(store: Store, vm_id: str = "vm-1", **fields: Any) -> None:
    async with store.tx() as tx:
        await tx.vms.add(a_vm(vm_id, **fields))


async def test_a_moment_without_a_time_zone_is_refused(database: str, opened: Callable[[str], Store]) -> None:
    store = opened(database)
    with pytest.raises(sa.exc.StatementError, match="no time zone"):
        await add_vm(store, created_at=NOW.replace(tzinfo=None))


async def test_a_pool_is_as_large_as_it_is_told_and_says_how_long_one_waited(postgres_store_url: str) -> None:
    registry = CollectorRegistry()
    store = open_store(postgres_store_url, size=PoolSize(most=2, kept=1, wait_s=0.1), registry=registry)
    async with store.tx(), store.reading():
        with pytest.raises(Unavailable) as refused:
            await add_vm(store)
    assert refused.value.reason == "DATABASE_BUSY"
    async with store.reading() as tx:
        await tx.now()
    await store.close()

    def told(figure: str, outcome: str) -> float | None:
        return registry.get_sample_value(f"quarterdeck_database_wait_seconds_{figure}", {"outcome": outcome})

    assert (told("count", "got"), told("count", "refused")) == (3, 1)
    assert (told("sum", "refused") or 0) >= 0.1


async def test_a_letter_that_dies_again_keeps_its_last_error(database: str, opened: Callable[[str], Store]) -> None:
    store = opened(database)
    async with store.tx() as tx:
        await tx.outbox.bury("billing", "e-1", b"\x00\xff", "ValueError: no")
        await tx.outbox.bury("billing", "e-1", b"\x00\xff", "ValueError: still no")
        await tx.outbox.bury("alerts", "e-1", b"", "")
    with synchronous(database).connect() as connection:
        rows = connection.execute(sa.text("SELECT consumer, payload, error FROM dead_letters ORDER BY consumer")).all()
    assert [(row[0], bytes(row[1]), row[2]) for row in rows] == [
        ("alerts", b"", ""),
        ("billing", b"\x00\xff", "ValueError: still no"),
    ]


async def test_a_database_that_is_not_there_is_unavailable(
    tmp_path: Path, free_port: Callable[[], int], opened: Callable[[str], Store]
) -> None:
    for url in (f"sqlite:///{tmp_path}/no/such/place.db", f"postgresql://nobody@127.0.0.1:{free_port()}/none"):
        with pytest.raises(Unavailable):
            await add_vm(opened(url))
        with pytest.raises(Unavailable):
            await asyncio.to_thread(schema.migrate, url)


def test_a_url_of_another_database_is_refused() -> None:
    for url in ("mysql://root@localhost/x", "nonsense", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(InvalidRequest):
            open_store(url)


CRASH = """
import asyncio, os, signal, sys
from controlplane.adapters.store import open_store
from tests.contract.store.rows import a_vm

async def main():
    store = open_store(sys.argv[1])
    async with store.tx() as tx:
        await tx.vms.add(a_vm("vm-acknowledged"))
    async with store.tx() as tx:
        await tx.vms.add(a_vm("vm-unfinished"))
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_crash_keeps_what_was_acknowledged_and_nothing_else(
    database: str, opened: Callable[[str], Store]
) -> None:
    crash = subprocess.run([sys.executable, "-c", CRASH, database], timeout=60, check=False)
    assert crash.returncode == -signal.SIGKILL
    async with opened(database).reading() as tx:
        assert await tx.vms.get("vm-acknowledged") == a_vm("vm-acknowledged")
        assert await tx.vms.get("vm-unfinished") is None


async def test_sqlite_syncs_each_commit_and_keeps_to_its_owner(sqlite_store_url: str, tmp_path: Path) -> None:
    store = open_store(sqlite_store_url)
    assert isinstance(store, sql.SqlStore)
    connection = await store._writer.open()
    pragmas = (sa.text(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "foreign_keys"))
    settings = [await connection.run(pragma, None, sa.Result.scalar) for pragma in pragmas]
    await connection.close()
    await store.close()
    assert settings == ["wal", 2, 1]
    schema.migrate(f"sqlite:///{tmp_path}/fresh.db")
    assert stat.S_IMODE((tmp_path / "fresh.db").stat().st_mode) == 0o600


async def test_sqlite_held_by_another_process_is_a_conflict(
    sqlite_store_url: str, opened: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "PRAGMAS", (*sql.PRAGMAS, "busy_timeout=10"))
    store = opened(sqlite_store_url)
    await furnish(store)
    other = sqlite3.connect(sqlite_store_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Conflict):
        await add_vm(store, vm_id="vm-2")
    other.execute("ROLLBACK")
    other.close()
    await add_vm(store, vm_id="vm-2")
    async with store.reading() as tx:
        assert await tx.vms.get("vm-2") == a_vm("vm-2")


async def test_postgres_connections_that_were_cut_are_replaced(
    postgres_store_url: str, opened: Callable[[str], Store]
) -> None:
    store = opened(postgres_store_url)
    await furnish(store)
    async with store.reading() as tx, store.reading() as other:
        assert await tx.vms.get("vm-1") == await other.vms.get("vm-1")
    cut(postgres_store_url)
    async with store.tx() as tx:
        assert await tx.vms.lock("vm-1") == a_vm()


async def test_postgres_cut_within_a_transaction_is_unavailable_to_its_end(
    postgres_store_url: str, opened: Callable[[str], Store]
) -> None:
    store = opened(postgres_store_url)
    refused = 0

    async def write() -> None:
        nonlocal refused
        async with store.tx() as tx:
            await tx.vms.add(a_vm())
            cut(postgres_store_url)
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await tx.vms.get("vm-1")
                refused += 1

    with pytest.raises(Unavailable):
        await write()
    assert refused == 2
    async with store.reading() as tx:
        assert await tx.vms.get("vm-1") is None


async def test_postgres_cut_before_the_commit_is_unavailable(
    postgres_store_url: str, opened: Callable[[str], Store]
) -> None:
    store = opened(postgres_store_url)

    async def write() -> None:
        async with store.tx() as tx:
            await tx.vms.add(a_vm())
            cut(postgres_store_url)

    with pytest.raises(Unavailable):
        await write()
    async with store.reading() as tx:
        assert await tx.vms.get("vm-1") is None


def cut(url: str) -> None:
    """Ends every other connection to the database, as a restart of the server does."""
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_a_deadlock_ends_with_one_conflict(postgres_store_url: str, opened: Callable[[str], Store]) -> None:
    store = opened(postgres_store_url)
    await furnish(store, a_vm("vm-1"), a_vm("vm-2"))
    both_hold_one = asyncio.Barrier(2)

    async def lock(first: str, second: str) -> bool:
        try:
            async with store.tx() as tx:
                await tx.vms.lock(first)
                await both_hold_one.wait()
                await tx.vms.save(next_of(await tx.vms.lock(second)))
        except Conflict:
            return False
        return True

    assert sorted(await asyncio.gather(lock("vm-1", "vm-2"), lock("vm-2", "vm-1"))) == [False, True]


async def test_postgres_cannot_hold_a_nul_character(postgres_store_url: str, opened: Callable[[str], Store]) -> None:
    with pytest.raises(InvalidRequest):
        await add_vm(opened(postgres_store_url), reason_detail="a\x00b")
