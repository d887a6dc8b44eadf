"""One transaction's connection, as the rows of every entity use it: dialect, clock, write guard, version guard."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.lanes import Opened, Take
from controlplane.adapters.store.refusals import refusing
from controlplane.adapters.store.versions import version_conflict, version_read
from controlplane.domain.errors import AlreadyExists
from controlplane.interfaces import Page

Insert = postgresql.Insert | sqlite.Insert
Row = Mapping[str, Any]
Values = dict[str, Any] | Sequence[dict[str, Any]] | None


class Versioned(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def name(self) -> str: ...


SERVER_NOW = sa.select(sa.func.now())

T = TypeVar("T")
V = TypeVar("V", bound=Versioned)


class TxConnection:
    """`versions` remembers which version of each row the transaction has read or written: what a save is guarded by."""

    def __init__(
        self, connection: Opened, clock: Callable[[], datetime] | None, *, on_postgres: bool, writable: bool
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._now: datetime | None = None
        self._writable = writable
        self.versions: dict[tuple[str, str], int] = {}
        self.on_postgres = on_postgres

    async def now(self) -> datetime:
        """PostgreSQL: the transaction's start by the server's clock. SQLite: the clock of its only process."""
        if self._now is None:
            if self._clock is not None:
                self._now = self._clock()
            elif self.on_postgres:
                moment: datetime = await self._run(SERVER_NOW, None, sa.Result.scalar_one)
                self._now = moment.astimezone(UTC)
            else:
                self._now = datetime.now(UTC)
        return self._now

    async def rows(self, statement: sa.Select[Any], values: Values = None) -> Sequence[Row]:
        return await self._run(statement, values, _all)

    async def row(self, statement: sa.Select[Any], values: Values = None) -> Row | None:
        return await self._run(statement, values, _one_or_none)

    async def write(self, statement: sa.Executable, values: Values = None) -> int:
        """Runs a changing statement, with these values or once for each set of them, and returns how many rows it
        changed."""
        self._refuse_when_reading()
        return await self._run(statement, values, _count)

    async def returning(self, statement: sa.Executable) -> Sequence[Row]:
        """Runs a changing statement and returns the rows it names."""
        self._refuse_when_reading()
        return await self._run(statement, None, _all)

    def insert(self, table: sa.Table) -> Insert:
        return insert_into(table, self.on_postgres)

    def among(self, column: sa.ColumnElement[str], values: Sequence[str]) -> sa.ColumnElement[bool]:
        """`column` is one of `values`, as one parameter whatever their number."""
        return one_of(column, sa.bindparam(None, self.listed(values), unique=True), self.on_postgres)

    def listed(self, values: Sequence[str]) -> Any:
        """The value of the parameter of `one_of`."""
        return sorted(set(values)) if self.on_postgres else json.dumps(sorted(set(values)))

    async def _run(self, statement: sa.Executable, values: Values, take: Take[T]) -> T:
        with refusing():
            return await self._connection.run(statement, values, take)

    def _refuse_when_reading(self) -> None:
        if not self._writable:
            raise RuntimeError("a reading transaction was asked to write: open it with tx()")


def _all(result: sa.Result[Any]) -> Sequence[Row]:
    return cast(Sequence[Row], result.mappings().all())


def _one_or_none(result: sa.Result[Any]) -> Row | None:
    return cast(Row | None, result.mappings().one_or_none())


def _count(result: sa.Result[Any]) -> int:
    return result.rowcount  # type: ignore[attr-defined, no-any-return]


def one_of(column: sa.ColumnElement[str], listed: sa.BindParameter[Any], on_postgres: bool) -> sa.ColumnElement[bool]:
    """`column` is one of those in `listed`, which TxConnection.listed has made."""
    if on_postgres:
        return column == sa.any_(sa.type_coerce(listed, postgresql.ARRAY(sa.Text())))
    return column.in_(sa.select(sa.func.json_each(listed).table_valued("value").c.value))


def insert_into(table: sa.Table, on_postgres: bool) -> Insert:
    """An INSERT that knows ON CONFLICT."""
    return postgresql.insert(table) if on_postgres else sqlite.insert(table)


# The statements of every insert and save are built once: the values travel as parameters.
@cache
def _insert_new(table: sa.Table, on_postgres: bool) -> sa.Executable:
    return insert_into(table, on_postgres).on_conflict_do_nothing()


@cache
def _save(table: sa.Table) -> sa.Update:
    return table.update().where(table.c.id == sa.bindparam("this_id"), table.c.version == sa.bindparam("read_version"))


async def insert_new(connection: TxConnection, table: sa.Table, entity: Any, what: str) -> None:
    """Adds a row. Raises AlreadyExists when a unique key of it is taken, and leaves the transaction usable."""
    if not await connection.write(_insert_new(table, connection.on_postgres), to_row(entity)):
        raise AlreadyExists(f"{what.upper()}_EXISTS", f"this {what} exists already")


async def add_versioned(connection: TxConnection, table: sa.Table, entity: Versioned, what: str) -> None:
    await insert_new(connection, table, entity, what)
    connection.versions[table.name, entity.id] = entity.version


def read_versioned(connection: TxConnection, table: sa.Table, cls: type[V], row: Row) -> V:
    entity = from_row(cls, row)
    connection.versions[table.name, entity.id] = entity.version
    return entity


async def save_versioned(
    connection: TxConnection, table: sa.Table, entity: Versioned, without: frozenset[str] = frozenset()
) -> None:
    """Writes the entity over the version that this transaction has read: of two writers that started from the same
    version one gets Conflict, however many steps each took."""
    await save_all(connection, table, [entity], without)


async def save_all(
    connection: TxConnection, table: sa.Table, entities: Sequence[Versioned], without: frozenset[str] = frozenset()
) -> None:
    """`save_versioned` of many rows, by id, in one round trip."""
    rows: list[dict[str, Any]] = []
    for entity in sorted(entities, key=lambda entity: entity.id):
        before = version_read(connection.versions, (table.name, entity.id))
        if before >= entity.version:
            raise version_conflict(entity.name)
        values = {name: value for name, value in to_row(entity).items() if name not in without and name != "id"}
        rows.append(values | {"this_id": entity.id, "read_version": before})
    if rows and await connection.write(_save(table), rows) != len(rows):
        names = ", ".join(entity.name for entity in entities)
        raise version_conflict(names)
    for entity in entities:
        connection.versions[table.name, entity.id] = entity.version


def prefixed(table: sa.Table) -> list[sa.Label[Any]]:
    """Its columns as TABLE_COLUMN, beside those of another."""
    return [column.label(f"{table.name}_{column.name}") for column in table.columns]


def paged(statement: sa.Select[Any], table: sa.Table, page: Page) -> sa.Select[Any]:
    """Newest first by (created_at, id), from behind `page.after`."""
    order = (table.c.created_at.desc(), table.c.id.desc())
    if page.after is not None:
        statement = statement.where(sa.tuple_(table.c.created_at, table.c.id) < sa.tuple_(*page.after))
    return statement.order_by(*order).limit(page.size)


def words(states: Sequence[Any]) -> list[str]:
    return sorted(str(state) for state in dict.fromkeys(states))
