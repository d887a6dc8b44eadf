"""Tables in memory: a transaction copies those it writes to, and the copies replace the originals when it commits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from controlplane.adapters.store.migrations.first_chains import CHAINS
from controlplane.adapters.store.migrations.first_rows import PRESETS, PROJECTS, REGIONS, TEMPLATES
from controlplane.adapters.store.versions import version_conflict, version_read
from controlplane.domain.errors import AlreadyExists, Conflict, NotFound
from controlplane.domain.region import Region
from controlplane.domain.template import Preset, Template
from controlplane.interfaces import Page

Table = Mapping[Any, Any]


class Versioned(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def name(self) -> str: ...


class Created(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...


V = TypeVar("V", bound=Versioned)
C = TypeVar("C", bound=Created)


def first_tables() -> dict[str, Table]:
    """What the migrations leave behind. `projects` keeps each project's audit records."""
    return {
        "projects": {project["id"]: () for project in PROJECTS},
        "templates": {row["id"]: Template(**row) for row in TEMPLATES},
        "presets": {row["id"]: Preset(**row) for row in PRESETS},
        "regions": {row["id"]: Region(**row, chain=tuple(CHAINS[row["id"]]), low_water_seats=1) for row in REGIONS},
    }


class TxTables:
    """What one transaction sees and has changed; `versions` as in the SQL store."""

    def __init__(self, committed: Mapping[str, Table], clock: Callable[[], datetime] | None, *, writable: bool) -> None:
        self._committed = committed
        self._clock = clock
        self._writable = writable
        self._now: datetime | None = None
        self._referred: list[tuple[str, Any]] = []
        self.changed: dict[str, dict[Any, Any]] = {}
        self.versions: dict[tuple[str, str], int] = {}

    async def now(self) -> datetime:
        if self._now is None:
            self._now = self._clock() if self._clock else datetime.now(UTC)
        return self._now

    def seen(self, table: str) -> Table:
        return self.changed[table] if table in self.changed else self._committed.get(table, {})

    def own(self, table: str) -> dict[Any, Any]:
        """The table, to be changed."""
        if not self._writable:
            raise RuntimeError("a reading transaction was asked to write: open it with tx()")
        if table not in self.changed:
            self.changed[table] = dict(self._committed.get(table, {}))
        return self.changed[table]

    def insert(self, table: str, key: Any, row: Any, what: str) -> None:
        if key in self.seen(table):
            raise exists(what)
        self.own(table)[key] = row

    def refer(self, table: str, key: Any) -> None:
        """A foreign key. Raises NotFound."""
        if key not in self.seen(table):
            raise NotFound("REFERENCE_MISSING", "the row refers to something that does not exist")

    def refer_at_commit(self, table: str, key: Any) -> None:
        self._referred.append((table, key))

    def ready_to_commit(self) -> dict[str, dict[Any, Any]]:
        """The tables changed. Raises NotFound."""
        for table, key in self._referred:
            self.refer(table, key)
        return self.changed

    def read(self, table: str, rows: Iterable[V]) -> list[V]:
        """The same rows, remembered for the version guard."""
        found = list(rows)
        self.versions.update({(table, row.id): row.version for row in found})
        return found

    def get(self, table: str, key: str) -> Any:
        row = self.seen(table).get(key)
        if row is not None:
            self.versions[table, key] = row.version
        return row

    def add_versioned(self, table: str, row: Versioned, what: str) -> None:
        self.insert(table, row.id, row, what)
        self.versions[table, row.id] = row.version

    def save_versioned(self, table: str, row: Versioned) -> None:
        before = version_read(self.versions, (table, row.id))
        if before >= row.version:
            raise version_conflict(row.name)
        self.own(table)[row.id] = row
        self.versions[table, row.id] = row.version


def exists(what: str) -> AlreadyExists:
    return AlreadyExists(f"{what.upper()}_EXISTS", f"this {what} exists already")


def constrain(holds: bool) -> None:
    """A CHECK constraint. Raises Conflict."""
    if not holds:
        raise Conflict("CONSTRAINT_VIOLATED", "the change would break a constraint of the database")


def paged(rows: Iterable[C], page: Page) -> list[C]:
    """Newest first by (created_at, id), from behind `page.after`."""
    newest = sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)
    behind = [row for row in newest if page.after is None or (row.created_at, row.id) < page.after]
    return behind[: page.size]
