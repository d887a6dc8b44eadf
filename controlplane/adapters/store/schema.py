"""Moves a database's schema up and down, and tells whether it is what the code expects.

Synchronous: run it before the store is opened, in a thread where a loop runs. Several processes may migrate at once;
one does the work. A database that is up to date costs one query, and no Alembic.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from controlplane.adapters.store.address import SQLITE, address
from controlplane.adapters.store.refusals import refusing
from controlplane.domain.errors import InvalidRequest, Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
# Any constant: it names the lock that migrating processes queue for.
POSTGRES_LOCK = 0x51444B
# How often a process that waits for another's migrations looks whether they are done.
LOOK_S = 0.2
EMPTY = "base"


@dataclass(frozen=True)
class SchemaState:
    """`current` and `head` are revisions, "base" for an empty database; `drift` names what differs from the tables
    that the code knows, one line each."""

    current: str
    head: str
    drift: tuple[str, ...]

    @property
    def pending(self) -> bool:
        return self.current == EMPTY or self.current < self.head

    @property
    def newer(self) -> bool:
        """A newer release than this one has migrated it."""
        return self.current != EMPTY and self.current > self.head


def head() -> str:
    """The newest revision there is a migration for."""
    return max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9][0-9][0-9][0-9]_*.py"))


def migrate(url: str) -> str:
    """Brings the database up to the head revision and returns where it stands. Raises Unavailable, InvalidRequest.

    One that a newer release has migrated is left as it is: revisions only add (CONTRIBUTING.md), so that two releases
    serve it side by side, and the older one may start again meanwhile."""
    with _connected(url) as connection:
        current = _current(connection)
        if current != EMPTY and current >= head():
            return current
        from alembic import command

        command.upgrade(_config(connection), "head")
        connection.commit()
    return head()


def downgrade(url: str, revision: str) -> None:
    """Takes the database back to `revision`, such as "0001", or "base" for nothing at all. What later tables held is
    lost. Raises InvalidRequest for a revision that is not there."""
    from alembic import command, util

    with _connected(url) as connection:
        try:
            command.downgrade(_config(connection), revision)
        except util.CommandError as error:
            raise InvalidRequest("REVISION_UNKNOWN", str(error), field="revision") from error
        connection.commit()


def check(url: str) -> SchemaState:
    """Where the database stands, without changing it."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from controlplane.adapters.store.tables import metadata

    with _connected(url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        drift = tuple(str(difference) for difference in compare_metadata(context, metadata))
        return SchemaState(_current(connection), head(), drift)


@contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    """One synchronous connection while no other migrates: SQLite's in a transaction, PostgreSQL's with a lock until it
    is closed, so that what it does can be committed step by step."""
    parsed = address(url)
    on_sqlite = parsed.get_backend_name() == SQLITE
    if on_sqlite:
        _create_privately(parsed.database or "")
    engine = sa.create_engine(parsed, poolclass=sa.NullPool)
    if on_sqlite:
        sa.event.listen(engine, "connect", _leave_transactions_to_us)
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with refusing(), engine.connect() as connection:
        # Asked for again and again: who waited for it in a statement would hold up an index that is built concurrently,
        # as any older statement does, and be held up by it.
        while not on_sqlite and not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(POSTGRES_LOCK))):
            connection.rollback()
            time.sleep(LOOK_S)
        yield connection


def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout=30000")


def _create_privately(path: str) -> None:
    """An SQLite file holds hashes of secrets: it is made readable to its owner alone."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise Unavailable(
            "DATABASE_UNAVAILABLE", f"the database file {path} cannot be opened: {error.strerror}"
        ) from error


def _current(connection: sa.Connection) -> str:
    if not sa.inspect(connection).has_table("alembic_version"):
        return EMPTY
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() or EMPTY


def _config(connection: sa.Connection) -> Config:
    from alembic.config import Config

    if connection.dialect.name != SQLITE:
        connection.rollback()  # Alembic begins and commits transactions of its own only where none is open
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config
