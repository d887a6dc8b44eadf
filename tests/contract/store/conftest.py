"""One store of each kind, on a database of its own, for one suite that must not see a difference."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from controlplane.adapters.store import open_store, schema
from controlplane.interfaces import Store
from tests.contract.store.rows import Clock


def named(cluster: str, database: str) -> str:
    return sa.make_url(cluster).set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def migrated_postgres(postgres_cluster: str) -> Iterator[str]:
    """The name of a database with the newest schema, to be copied: that is quicker than to migrate each."""
    name = f"quarterdeck_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_cluster, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        schema.migrate(named(postgres_cluster, name))
        yield name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "quarterdeck.db"
    schema.migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def postgres_store_url(postgres_cluster: str, migrated_postgres: str) -> Iterator[str]:
    name = f"quarterdeck_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_cluster, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_postgres}")  # type: ignore[arg-type]
        yield named(postgres_cluster, name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture
def sqlite_store_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    shutil.copy(migrated_sqlite, tmp_path / "quarterdeck.db")
    return f"sqlite:///{tmp_path}/quarterdeck.db"


@pytest.fixture
def memory_store_url() -> str:
    return "memory://"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of a store with the newest schema."""
    url: str = request.getfixturevalue(f"{request.param}_store_url")
    return url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def clocked_store(store_url: str, clock: Clock) -> AsyncIterator[Store]:
    """By the test's clock."""
    store = open_store(store_url, clock=clock)
    yield store
    await store.close()


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    store = open_store(store_url)
    yield store
    await store.close()
