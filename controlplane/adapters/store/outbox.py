"""Outbox, dead letters and audit in SQL.

Unpublished events are found by flag, never by id: transactions become visible in another order than ids are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row
from controlplane.adapters.store.connection import TxConnection
from controlplane.adapters.store.event_ids import event_id
from controlplane.adapters.store.many import insert_all
from controlplane.adapters.store.tables import (
    audit,
    credentials,
    dead_letters,
    outbox,
    projects,
    sessions,
    spent_tokens,
    vm_transitions,
)
from controlplane.adapters.store.trail import chained
from controlplane.domain.errors import NotFound
from controlplane.domain.events import Event, EventDraft, EventFilter
from controlplane.domain.vm import transition_of
from controlplane.interfaces import AuditEntry, AuditRecord, Page

HEAD = sa.select(projects).where(projects.c.id == sa.bindparam("project")).with_for_update(key_share=True)
MOVED = (
    projects.update()
    .where(projects.c.id == sa.bindparam("project"))
    .values(audit_sequence=sa.bindparam("sequence"), audit_sha256=sa.bindparam("digest"))
)
# What sessions are called in events.
NAMES = sa.select("sessions/" + sessions.c.id)


class SqlOutbox:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection
        self._position = 0
        self._entries: list[AuditEntry] = []

    async def append(self, drafts: Sequence[EventDraft]) -> None:
        if not drafts:
            return
        at = await self._connection.now()
        rows = [
            {"id": event_id(at, position), "at": at, **vars(draft)}
            for position, draft in enumerate(drafts, self._position)
        ]
        self._position += len(rows)
        await insert_all(self._connection, outbox, rows)
        changes = [change for draft in drafts if (change := transition_of(draft, at))]
        await insert_all(self._connection, vm_transitions, changes)

    async def claim(self, limit: int, lease_s: float) -> Sequence[Event]:
        now = await self._connection.now()
        free = outbox.c.lease_until.is_(None) | (outbox.c.lease_until <= now)
        # A CTE with row locks runs once; as a plain subquery it could run again for each row.
        picked = (
            sa.select(outbox.c.id)
            .where(outbox.c.published_at.is_(None), free)
            .order_by(outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).cte("picked")
        statement = (
            outbox.update()
            .where(outbox.c.id.in_(sa.select(picked.c.id)))
            .values(lease_until=now + timedelta(seconds=lease_s))
            .returning(outbox)
        )
        rows = sorted(await self._connection.returning(statement), key=lambda row: str(row["id"]))
        return [_event(row) for row in rows]

    async def history(
        self, project_id: str, wanted: EventFilter, page: Page, *, oldest_first: bool = False, created_by: str = ""
    ) -> Sequence[Event]:
        return [
            _event(row)
            for row in await self._connection.rows(
                happened(project_id, wanted, page, oldest_first=oldest_first, created_by=created_by)
            )
        ]

    async def published(self, event_ids: Sequence[str]) -> None:
        if not event_ids:
            return
        named = self._connection.among(outbox.c.id, event_ids) & outbox.c.published_at.is_(None)
        picked = sa.select(outbox.c.id).where(named).order_by(outbox.c.id).with_for_update().cte("picked")
        statement = outbox.update().where(outbox.c.id.in_(sa.select(picked.c.id)))
        await self._connection.write(statement.values(published_at=await self._connection.now(), lease_until=None))

    async def bury(self, consumer: str, event_id: str, payload: bytes, error: str, subject: str = "") -> None:
        last = {"at": await self._connection.now(), "payload": payload, "error": error, "subject": subject}
        last |= {"replay_at": None, "lease_until": None}
        insert = self._connection.insert(dead_letters).values(consumer=consumer, event_id=event_id, **last)
        await self._connection.write(insert.on_conflict_do_update(index_elements=["consumer", "event_id"], set_=last))

    async def audit(self, entry: AuditEntry) -> None:
        # Chained at the end of the transaction: the head of the chain is held for the commit alone.
        self._entries.append(entry)

    async def seal(self) -> None:
        """Writes the audit records of this transaction, just before it commits."""
        at = await self._connection.now() if self._entries else None
        for project_id in sorted({entry.project_id for entry in self._entries}):
            head = await self._connection.row(HEAD, {"project": project_id})
            if head is None or at is None:
                raise NotFound("REFERENCE_MISSING", f"there is no project {project_id}")
            sequence, digest = head["audit_sequence"], head["audit_sha256"]
            rows = []
            for entry in self._entries:
                if entry.project_id == project_id:
                    record = chained(entry, at, sequence + 1, digest)
                    sequence, digest = record.sequence, record.sha256
                    rows.append(_audit_row(record))
            await insert_all(self._connection, audit, rows)
            await self._connection.write(MOVED, {"project": project_id, "sequence": sequence, "digest": digest})
        self._entries.clear()

    async def trail(self, project_id: str, after_sequence: int, limit: int) -> Sequence[AuditRecord]:
        statement = (
            sa.select(audit)
            .where(audit.c.project_id == project_id, audit.c.sequence > after_sequence)
            .order_by(audit.c.sequence)
            .limit(limit)
        )
        return [
            AuditRecord(from_row(AuditEntry, row), row["at"], row["sequence"], row["previous_sha256"], row["sha256"])
            for row in await self._connection.rows(statement)
        ]

    async def prune(self, published_before: datetime) -> int:
        gone = 0
        for table, column in (
            (outbox, outbox.c.published_at),
            (spent_tokens, spent_tokens.c.expires_at),
            (credentials, credentials.c.expires_at),
        ):
            gone += await self._connection.write(table.delete().where(column < published_before))
        return gone


def happened(
    project_id: str, wanted: EventFilter, page: Page, *, oldest_first: bool = False, created_by: str = ""
) -> sa.Select[Any]:
    """What SqlOutbox.history asks."""
    statement = sa.select(outbox).where(outbox.c.project_id == project_id, *_named(wanted))
    if created_by:  # from his own sessions, however much else there is
        own = NAMES.where(sessions.c.project_id == project_id, sessions.c.created_by == created_by)
        statement = statement.where(outbox.c.subject.in_(own))
    if page.after is not None:
        _, last = page.after
        statement = statement.where(outbox.c.id > last if oldest_first else outbox.c.id < last)
    return statement.order_by(outbox.c.id.asc() if oldest_first else outbox.c.id.desc()).limit(page.size)


def _event(row: Mapping[str, Any]) -> Event:
    return Event(row["id"], row["at"], from_row(EventDraft, row))


def _named(wanted: EventFilter) -> Iterator[sa.ColumnElement[bool]]:
    """What EventFilter.takes says, in SQL."""
    for column, names, separator in ((outbox.c.type, wanted.types, "."), (outbox.c.subject, wanted.subjects, "/")):
        whole = [name.removesuffix(separator) for name in names]
        within = [column.startswith(name + separator, autoescape=True) for name in whole if "/" not in name]
        if names:
            yield sa.or_(column.in_(whole), *within)


def _audit_row(record: AuditRecord) -> dict[str, object]:
    own = {name: value for name, value in vars(record).items() if name != "entry"}
    return {**vars(record.entry), **own}
