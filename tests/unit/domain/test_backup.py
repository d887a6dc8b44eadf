"""Schedules of backups by cron and time zone, what they keep, and which backups can no longer be made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.domain.backup import Backup, BackupState, BackupTrigger, expired, overdue
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.schedule import BackupSchedule, next_fire

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_backup(number: int = 1, save_id: str = "", hours_old: float = 0) -> Backup:
    at = NOON - timedelta(hours=hours_old)
    deadline = NOON + timedelta(hours=1)
    return Backup(f"b-{number}", "p", "g", "s", 2, BackupState.PENDING, at, at, deadline, save_id=save_id)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("30 4 * * *", "UTC", NOON, datetime(2026, 11, 22, 4, 30, tzinfo=UTC)),
        ("30 4 * * *", "Europe/Berlin", NOON, datetime(2026, 11, 22, 3, 30, tzinfo=UTC)),
        ("0 12 * * *", "UTC", NOON, NOON + timedelta(days=1)),
        ("*/15 * * * *", "UTC", NOON + timedelta(minutes=1), NOON + timedelta(minutes=15)),
        # 02:30 is skipped in spring, and comes once in autumn.
        (
            "30 2 * * *",
            "Europe/Berlin",
            datetime(2026, 3, 28, 12, tzinfo=UTC),
            datetime(2026, 3, 29, 1, tzinfo=UTC),
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
            datetime(2026, 10, 26, 1, 30, tzinfo=UTC),
        ),
        ("0 0 1 * MON", "UTC", NOON, datetime(2026, 11, 23, tzinfo=UTC)),
    ],
)
def test_the_next_moment(cron: str, zone: str, after: datetime, expected: datetime) -> None:
    assert next_fire(cron, zone, after) == expected


@pytest.mark.parametrize(
    ("cron", "zone", "field"),
    [
        ("61 * * * *", "UTC", "cron"),
        ("every day", "UTC", "cron"),
        ("* * * *", "UTC", "cron"),
        ("* * * * * *", "UTC", "cron"),
        ("0 0 * * *", "Mars/Olympus", "time_zone"),
        ("0 0 * * *", "../etc/passwd", "time_zone"),
        ("0 0 * * *", "", "time_zone"),
        ("0 0 * * *", "localtime", "time_zone"),
    ],
)
def test_what_is_no_schedule_is_refused_by_its_field(cron: str, zone: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        next_fire(cron, zone, NOON)
    assert refused.value.field == f"backup_schedule.{field}"


def test_missed_moments_are_not_made_up_for_and_a_paused_one_has_none() -> None:
    hourly = BackupSchedule("bs", "p", "g", "0 * * * *", NOON, NOON, next_at=NOON)
    late = hourly.planned(NOON + timedelta(days=3, minutes=5))
    assert late.next_at == NOON + timedelta(days=3, hours=1)
    assert late.version == hourly.version + 1
    paused = BackupSchedule("bs", "p", "g", "0 * * * *", NOON, NOON, paused=True)
    assert paused.planned(NOON).next_at is None


def test_the_newest_of_each_save_are_kept_and_none_for_too_long() -> None:
    made = [a_backup(1, "a", 3), a_backup(2, "a", 2), a_backup(3, "a", 1), a_backup(4, "b", 3)]
    assert [b.id for b in expired(made, 2, None, NOON)] == ["b-1"]
    assert [b.id for b in expired(made, 1, None, NOON)] == ["b-2", "b-1"]
    assert [b.id for b in expired(made, 0, 2.5 * 3600, NOON)] == ["b-4", "b-1"]
    assert not expired(made, 0, None, NOON)


def test_one_session_without_a_save_does_not_take_the_backups_of_another() -> None:
    made = [replace(a_backup(n, "", hours_old=n), session_id=session) for n, session in enumerate(("a", "b", "a"))]
    assert [(b.id, b.session_id) for b in expired(made, 1, None, NOON)] == [("b-2", "a")]


def test_a_backup_that_can_no_longer_be_made_has_a_reason() -> None:
    backup = a_backup()
    assert overdue(backup, session_over=False, generation=2, now=NOON) is None
    assert overdue(backup, session_over=True, generation=2, now=NOON)[0] == "SESSION_ENDED"
    assert overdue(backup, session_over=False, generation=3, now=NOON)[0] == "SESSION_ENDED"
    assert overdue(backup, session_over=False, generation=2, now=backup.deadline_at)[0] == "DEADLINE"


def test_each_state_is_told_once() -> None:
    running, events = a_backup().on(BackupTrigger.SENDING, NOON)
    assert [event.type for event in events] == ["quarterdeck.backup.running"]
    again, events = running.on(BackupTrigger.SENDING, NOON)
    assert (again.state, events) == (BackupState.RUNNING, ())
    failed, events = again.on(BackupTrigger.FAIL, NOON, "DEADLINE", "too late")
    assert (failed.reason, failed.ended_at) == ("DEADLINE", NOON)
    assert events[0].data["reason"] == "DEADLINE"
