"""Outbox, dead letters and audit in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controlplane.adapters.store.event_ids import event_id
from controlplane.adapters.store.memory.tables import TxTables
from controlplane.adapters.store.trail import FIRST_SHA256, chained
from controlplane.domain.deadletter import DeadLetter
from controlplane.domain.events import Event, EventDraft, EventFilter
from controlplane.domain.vm import transition_of
from controlplane.interfaces import AuditEntry, AuditRecord, Page


@dataclass(frozen=True)
class Waiting:
    event: Event
    lease_until: datetime | None = None
    published_at: datetime | None = None


class MemoryOutbox:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables
        self._position = 0

    async def append(self, drafts: Sequence[EventDraft]) -> None:
        at = await self._tables.now()
        for draft in drafts:
            self._tables.refer("projects", draft.project_id)
            event = Event(event_id(at, self._position), at, draft)
            self._position += 1
            self._tables.own("outbox")[event.id] = Waiting(event)
            change = transition_of(draft, at)
            if change is not None:
                self._tables.refer("vms", change.vm_id)
                self._tables.insert("vm_transitions", (change.vm_id, change.version), change, "transition")

    async def claim(self, limit: int, lease_s: float) -> Sequence[Event]:
        now = await self._tables.now()
        rows = self._tables.own("outbox")
        free = [
            key
            for key, row in rows.items()
            if row.published_at is None and (row.lease_until is None or row.lease_until <= now)
        ]
        claimed = sorted(free)[:limit]
        for key in claimed:
            rows[key] = replace(rows[key], lease_until=now + timedelta(seconds=lease_s))
        return [rows[key].event for key in claimed]

    async def published(self, event_ids: Sequence[str]) -> None:
        now = await self._tables.now()
        rows = self._tables.own("outbox")
        for key in set(event_ids) & rows.keys():
            if rows[key].published_at is None:
                rows[key] = replace(rows[key], published_at=now, lease_until=None)

    async def history(
        self, project_id: str, wanted: EventFilter, page: Page, *, oldest_first: bool = False, created_by: str = ""
    ) -> Sequence[Event]:
        sessions = self._tables.seen("sessions").values()
        mine = {session.name for session in sessions if session.created_by == created_by}
        events = sorted(
            (row.event for row in self._tables.seen("outbox").values()),
            key=lambda event: event.id,
            reverse=not oldest_first,
        )
        last = page.after[1] if page.after else ""
        found = [
            event
            for event in events
            if event.draft.project_id == project_id
            and wanted.takes(event.draft)
            and (not created_by or event.draft.subject in mine)
            and (not last or (event.id > last if oldest_first else event.id < last))
        ]
        return found[: page.size]

    async def bury(self, consumer: str, event_id: str, payload: bytes, error: str, subject: str = "") -> None:
        letter = DeadLetter(consumer, event_id, await self._tables.now(), subject, payload, error)
        self._tables.own("dead_letters")[letter.key] = (letter, None)

    async def audit(self, entry: AuditEntry) -> None:
        self._tables.refer("projects", entry.project_id)
        records = self._tables.seen("projects")[entry.project_id]
        last = records[-1].sha256 if records else FIRST_SHA256
        record = chained(entry, await self._tables.now(), len(records) + 1, last)
        self._tables.own("projects")[entry.project_id] = (*records, record)

    async def trail(self, project_id: str, after_sequence: int, limit: int) -> Sequence[AuditRecord]:
        records: Sequence[AuditRecord] = self._tables.seen("projects").get(project_id, ())
        return list(records[after_sequence : after_sequence + limit])

    async def prune(self, published_before: datetime) -> int:
        tables = ("outbox", "spent_tokens", "credentials")
        outbox, spent, credentials = (self._tables.own(table) for table in tables)
        moments = (
            (outbox, {key: row.published_at for key, row in outbox.items() if row.published_at is not None}),
            (spent, dict(spent)),
            (credentials, {key: row.expires_at for key, row in credentials.items()}),
        )
        gone = 0
        for rows, since in moments:
            for key in [key for key, at in since.items() if at < published_before]:
                del rows[key]
                gone += 1
        return gone
