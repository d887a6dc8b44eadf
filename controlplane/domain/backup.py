"""Backups: copies of sessions' volumes that stay. Each is made once, by the host of its session, or it has failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from controlplane.domain.events import EventDraft, Value
from controlplane.domain.machine import Machine


class BackupState(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class BackupTrigger(StrEnum):
    SENDING = "sending"
    STORED = "stored"
    FAIL = "fail"


B, T = BackupState, BackupTrigger

BACKUP_MACHINE: Machine[BackupState, BackupTrigger] = Machine(
    name="backup",
    initial=frozenset({B.PENDING}),
    final=frozenset({B.COMPLETED, B.FAILED}),
    table={
        (B.PENDING, T.SENDING): B.RUNNING,
        (B.PENDING, T.STORED): B.COMPLETED,
        (B.PENDING, T.FAIL): B.FAILED,
        # What broke is sent again from its beginning.
        (B.RUNNING, T.SENDING): B.RUNNING,
        (B.RUNNING, T.STORED): B.COMPLETED,
        (B.RUNNING, T.FAIL): B.FAILED,
    },
)


@dataclass(frozen=True)
class Backup:
    """`reason` is why it failed, as one stable word. A COMPLETED one is an archive, as a save's version is."""

    id: str
    project_id: str
    game_id: str
    session_id: str
    generation: int
    state: BackupState
    created_at: datetime
    updated_at: datetime
    deadline_at: datetime
    save_id: str = ""
    schedule_id: str = ""
    reason: str = ""
    reason_detail: str = ""
    ended_at: datetime | None = None
    object_key: str = ""
    size_bytes: int = 0
    sha256: str = ""
    content_bytes: int = 0
    files: int = 0
    client_token: str = ""
    created_by: str = ""
    version: int = 1

    @property
    def name(self) -> str:
        return f"backups/{self.id}"

    @property
    def finished(self) -> bool:
        return self.state in BACKUP_MACHINE.final

    def on(
        self, trigger: BackupTrigger, now: datetime, reason: str = "", detail: str = ""
    ) -> tuple[Backup, tuple[EventDraft, ...]]:
        """The backup after `trigger`, and what to tell. Raises WrongState."""
        state = BACKUP_MACHINE.next(self.state, trigger)
        backup = replace(
            self,
            state=state,
            updated_at=now,
            ended_at=now if state in BACKUP_MACHINE.final else None,
            reason=reason,
            reason_detail=detail,
            version=self.version + 1,
        )
        return backup, () if state is self.state else (backup.told(),)

    def told(self) -> EventDraft:
        """That it is in its state now."""
        facts: dict[str, Value] = {
            "state": str(self.state),
            "session": f"sessions/{self.session_id}",
            "game": f"games/{self.game_id}",
            "save": f"saves/{self.save_id}" if self.save_id else "",
            "schedule": f"backupSchedules/{self.schedule_id}" if self.schedule_id else "",
            "reason": self.reason,
            "detail": self.reason_detail,
            "size_bytes": self.size_bytes,
        }
        kind = f"quarterdeck.backup.{str(self.state).lower()}"
        return EventDraft(kind, self.project_id, self.name, self.version, facts)


def overdue(backup: Backup, session_over: bool, generation: int, now: datetime) -> tuple[str, str] | None:
    """Why an unfinished backup can no longer be made, as reason and detail; None: it can."""
    if session_over or generation != backup.generation:
        return "SESSION_ENDED", "its session ended before it was made; a save keeps what an ended session leaves"
    if now >= backup.deadline_at:
        return "DEADLINE", "its host did not deliver it in time"
    return None


def expired(backups: Sequence[Backup], keep_count: int, keep_for_s: float | None, now: datetime) -> Sequence[Backup]:
    """Of a schedule's completed backups those that go: beyond the newest `keep_count` of each save, or of each session
    without one (0: any number), and those older than `keep_for_s`."""
    newest = sorted(backups, key=lambda backup: (backup.created_at, backup.id), reverse=True)
    seen: Counter[tuple[str, str]] = Counter()
    gone: list[Backup] = []
    for backup in newest:
        kind = (backup.save_id, "" if backup.save_id else backup.session_id)
        seen[kind] += 1
        old = keep_for_s is not None and now - backup.created_at > timedelta(seconds=keep_for_s)
        if old or (keep_count and seen[kind] > keep_count):
            gone.append(backup)
    return gone
