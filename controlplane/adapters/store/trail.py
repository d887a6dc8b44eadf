"""The audit chain (I22): each record of a project carries the SHA-256 of the one before it and of its own content, so
that a record changed, removed or slipped in afterwards shows. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from controlplane.interfaces import AuditEntry, AuditRecord

FIRST_SHA256 = "0" * 64
IN_LETTERS = json.JSONEncoder(separators=(",", ":")).encode


def chained(entry: AuditEntry, at: datetime, sequence: int, previous_sha256: str) -> AuditRecord:
    """The record that follows the one with `previous_sha256`."""
    content = [
        previous_sha256,
        entry.project_id,
        sequence,
        at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.subject,
        entry.action,
        entry.resource,
        entry.request_id,
    ]
    digest = hashlib.sha256(IN_LETTERS(content).encode()).hexdigest()
    return AuditRecord(entry, at, sequence, previous_sha256, digest)


def first_break(records: Iterable[AuditRecord]) -> int | None:
    """The sequence at which a project's whole trail, in order from its first record, stops being true; None if it
    holds. That the end is missing shows only against the head that the project's row keeps."""
    previous, expected = FIRST_SHA256, 1
    for record in records:
        if record.sequence != expected or record != chained(record.entry, record.at, expected, previous):
            return expected
        previous, expected = record.sha256, expected + 1
    return None
