"""Rows of what happened: events on their way out, dead letters, the audit trail, and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from controlplane.domain.deadletter import DeadLetter
from controlplane.domain.events import Event, EventDraft, EventFilter
from controlplane.domain.host import HostState
from controlplane.domain.session import SessionState
from controlplane.domain.silence import Feed
from controlplane.domain.vm import VmState
from controlplane.interfaces.fleet import Page


class FeedRows(Protocol):
    async def get(self) -> Feed: ...

    async def lock(self) -> Feed:
        """As `get`; nobody else saves it until the transaction ends."""
        ...

    async def save(self, feed: Feed) -> None: ...


@dataclass(frozen=True)
class AuditEntry:
    """One accepted mutation. `request_id` ties it to the log; no secret is ever part of it."""

    project_id: str
    subject: str
    action: str
    resource: str
    request_id: str


@dataclass(frozen=True)
class AuditRecord:
    """An entry in its project's chain: `sha256` covers `previous_sha256` and everything else here (I22)."""

    entry: AuditEntry
    at: datetime
    sequence: int
    previous_sha256: str
    sha256: str


class OutboxRows(Protocol):
    """Events wait here until a relay has published them."""

    async def append(self, drafts: Sequence[EventDraft]) -> None: ...

    async def claim(self, limit: int, lease_s: float) -> Sequence[Event]:
        """Unpublished events, oldest first, leased to the caller so that relays share the work."""
        ...

    async def published(self, event_ids: Sequence[str]) -> None: ...

    async def history(
        self, project_id: str, wanted: EventFilter, page: Page, *, oldest_first: bool = False, created_by: str = ""
    ) -> Sequence[Event]:
        """Events of a project that are not pruned yet, published or not, by id and newest first; of `created_by` where
        that is given: what happened to the sessions that he made."""
        ...

    async def bury(self, consumer: str, event_id: str, payload: bytes, error: str, subject: str = "") -> None:
        """A dead letter, after the last try; buried again it has the last error, and no replay is asked for."""
        ...

    async def audit(self, entry: AuditEntry) -> None:
        """Adds to the project's chain when the transaction commits."""
        ...

    async def trail(self, project_id: str, after_sequence: int, limit: int) -> Sequence[AuditRecord]:
        """A project's audit records in the order of their chain."""
        ...

    async def prune(self, published_before: datetime) -> int:
        """Deletes events published, and credentials and spent ids over, before that; returns how many rows went."""
        ...


class DeadLetterRows(Protocol):
    """Messages given up, over all projects; `key` is DeadLetter.key."""

    async def get(self, key: str) -> DeadLetter | None: ...

    async def list(self, consumer: str, page: Page) -> Sequence[DeadLetter]:
        """By (at, key), newest first; "" means of all consumers."""
        ...

    async def ask_replay(self, key: str) -> bool:
        """Marks it for one more try; False when there is none."""
        ...

    async def claim(self, limit: int, lease_s: float) -> Sequence[DeadLetter]:
        """Those that are marked, leased to the caller so that processors share them."""
        ...

    async def remove(self, key: str) -> bool: ...


@dataclass(frozen=True)
class Backlog:
    """Events that are committed and not published yet."""

    events: int = 0
    oldest_at: datetime | None = None


@dataclass(frozen=True)
class Counts:
    """Over all projects: unfinished sessions and hosts by state, when the session was made that waits longest, and the
    messages given up."""

    sessions: Mapping[SessionState, int] = field(default_factory=dict)
    hosts: Mapping[HostState, int] = field(default_factory=dict)
    waiting_since: datetime | None = None
    dead_letters: int = 0


@dataclass(frozen=True)
class RegionFigure:
    """The VMs of a project in one region and state whose hosts are online, or are not. `free_seats` counts whole
    ones, VM by VM: what is left over on two machines makes no seat."""

    region_id: str
    state: VmState
    online: bool
    vms: int
    active_sessions: int
    capacity_units: int
    used_units: int
    free_seats: int


@dataclass(frozen=True)
class Flow:
    """What sessions did in a region since a moment: how many gave a slot back, and how many wait for one now. A session
    that waits without a wish for a region is counted under ""."""

    region_id: str
    released: int
    waiting: int


class FigureRows(Protocol):
    """Counts, for metrics, the log, and answers that must say how things stand."""

    async def backlog(self) -> Backlog: ...

    async def born_at(self) -> datetime:
        """When this database was made."""
        ...

    async def regions(self, project_id: str) -> Sequence[RegionFigure]:
        """By region, state and whether online; TERMINATED VMs are left out. "" means of all projects."""
        ...

    async def regions_of_each(self) -> Mapping[str, Sequence[RegionFigure]]:
        """As `regions`, of every project that has VMs."""
        ...

    async def flow(self, project_id: str, since: datetime) -> Sequence[Flow]:
        """By region; those where nothing moved are left out. "" means of all projects."""
        ...

    async def low(self) -> frozenset[tuple[str, str]]:
        """(project, region) where capacity is remembered to be low."""
        ...

    async def turn(self, project_id: str, region_id: str, low: bool) -> int:
        """Remembers that capacity is low, or no longer. 0 when that was known, else how often it has turned."""
        ...

    async def counts(self) -> Counts: ...

    async def lead(self, duty: str, holder: str, lease_s: float) -> bool:
        """Whether `holder` is the one to do this duty from now on for `lease_s`: nobody else is meanwhile."""
        ...
