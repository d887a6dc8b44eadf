"""The schema's history on both databases: up, down, up again, and the same tables as the code knows."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from controlplane.adapters.store import open_store, schema
from controlplane.adapters.store.migrations import first_rows
from controlplane.adapters.store.tables import metadata
from controlplane.domain.errors import InvalidRequest
from tests.contract.store.rows import a_vm, furnish, synchronous


def shape(url: str) -> dict[str, Any]:
    """Everything that the database itself tells about its tables."""
    engine = synchronous(url)
    inspector = sa.inspect(engine)

    def told(table: str) -> dict[str, Any]:
        return {
            "columns": [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)],
            "primary": inspector.get_pk_constraint(table),
            "foreign": by_name(inspector.get_foreign_keys(table)),
            "unique": by_name(inspector.get_unique_constraints(table)),
            "indexes": by_name(inspector.get_indexes(table)),
            "checks": by_name(inspector.get_check_constraints(table)),
        }

    return {table: told(table) for table in inspector.get_table_names() if table != "alembic_version"}


def by_name(parts: Any) -> list[str]:
    return sorted(str(words(part)) for part in parts)


def words(part: Any) -> Any:
    """Clauses as their text, which can be compared."""
    if isinstance(part, dict):
        return {key: words(part[key]) for key in sorted(part, key=str)}
    return [words(item) for item in part] if isinstance(part, list) else str(part)


def test_up_down_and_up_again(database_url: str) -> None:
    assert schema.check(database_url).current == schema.EMPTY
    assert schema.check(database_url).pending
    assert schema.migrate(database_url) == schema.head()
    first = shape(database_url)
    assert schema.check(database_url) == schema.SchemaState(schema.head(), schema.head(), ())
    schema.downgrade(database_url, "base")
    assert shape(database_url) == {}
    assert schema.migrate(database_url) == schema.head()
    assert schema.migrate(database_url) == schema.head()
    assert shape(database_url) == first
    assert not schema.check(database_url).pending


def test_one_step_down_and_up_keeps_the_rows(database_url: str) -> None:
    schema.migrate(database_url)
    schema.downgrade(database_url, "0001")
    assert schema.check(database_url).current == "0001"
    schema.migrate(database_url)
    with synchronous(database_url).connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM templates")).scalar() == 8


def test_migrations_make_the_tables_that_the_code_knows(database_url: str) -> None:
    """Down to the CHECK constraints, which Alembic does not compare."""
    schema.migrate(database_url)
    migrated = shape(database_url)
    schema.downgrade(database_url, "base")
    metadata.create_all(synchronous(database_url))
    assert migrated == shape(database_url)


def test_drift_is_told(database_url: str) -> None:
    schema.migrate(database_url)
    engine = synchronous(database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE vms ADD COLUMN colour TEXT"))
    state = schema.check(database_url)
    assert not state.pending
    assert len(state.drift) == 1
    assert "colour" in state.drift[0]


async def test_rows_survive_a_second_migrate(database_url: str) -> None:
    schema.migrate(database_url)
    store = open_store(database_url)
    await furnish(store)
    schema.migrate(database_url)
    async with store.reading() as tx:
        assert await tx.vms.get("vm-1") == a_vm()
    await store.close()


def test_several_processes_may_migrate_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(schema.migrate, [database_url] * 4)) == {schema.head()}
    assert schema.check(database_url).drift == ()


def test_what_a_newer_release_has_migrated_is_left_alone(database_url: str) -> None:
    schema.migrate(database_url)
    with synchronous(database_url).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    assert schema.migrate(database_url) == "9999"
    state = schema.check(database_url)
    assert (state.current, state.newer, state.pending) == ("9999", True, False)


def test_an_unknown_revision_is_refused(database_url: str) -> None:
    schema.migrate(database_url)
    with pytest.raises(InvalidRequest):
        schema.downgrade(database_url, "7777")
    assert not schema.check(database_url).pending


def test_a_database_that_is_up_to_date_costs_no_alembic(sqlite_store_url: str) -> None:
    program = (
        "import sys; from controlplane.adapters.store import schema; schema.migrate(sys.argv[1]);"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, sqlite_store_url], timeout=60, check=False).returncode == 0


def test_a_migration_that_fails_leaves_nothing_of_its_own(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ({**first_rows.TEMPLATES[0], "seats": 0},)
    monkeypatch.setattr(first_rows, "TEMPLATES", broken)
    with pytest.raises(Exception, match="constraint"):
        schema.migrate(database_url)
    reached, left = schema.check(database_url).current, shape(database_url)
    monkeypatch.undo()
    assert reached in (schema.EMPTY, "0001")
    assert schema.migrate(database_url) == schema.head()
    schema.downgrade(database_url, reached)
    assert shape(database_url) == left


def test_the_release_before_reads_and_writes_while_indexes_are_built(postgres_url: str) -> None:
    """And so it does though a second process wants to migrate, and a try before was cut off."""
    schema.migrate(postgres_url)
    schema.downgrade(postgres_url, "0024")
    engine = synchronous(postgres_url)
    fact = sa.text(
        "INSERT INTO outbox (id, at, type, project_id, subject, subject_version, data)"
        " VALUES (:id, now(), 'quarterdeck.vm.ready', 'default', 'vms/v', 1, '{}')"
    )
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE INDEX ix_outbox_project_id_subject_id ON outbox (subject)"))
    with ThreadPoolExecutor(2) as pool:
        with engine.begin() as slow:
            slow.execute(fact, {"id": "slow"})
            migrating = [pool.submit(schema.migrate, postgres_url) for _ in range(2)]
            with engine.connect() as beside:
                waiting = sa.text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND wait_event_type = 'Lock' AND query ~ 'INDEX'"
                )
                while not beside.scalar(waiting):
                    assert not any(one.done() for one in migrating), "nobody was waited for"
                    beside.rollback()
                beside.execute(sa.text("SET lock_timeout = '2s'"))
                beside.execute(fact, {"id": "quick"})
                beside.execute(sa.text("SELECT * FROM feed, client_tokens"))
                beside.commit()
        assert [one.result() for one in migrating] == [schema.head()] * 2
    assert schema.check(postgres_url) == schema.SchemaState(schema.head(), schema.head(), ())
