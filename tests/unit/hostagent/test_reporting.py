"""When reports are sent, repeated and numbered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.backoff import full_jitter_s
from hostagent.reporting import ReportSchedule, ReportTiming

TIMING = ReportTiming(resend_s=3, figures_s=5, refresh_s=10)


def sent(schedule: ReportSchedule, now: float) -> int:
    assert schedule.due_at() <= now
    return schedule.take(now)


def test_an_unacknowledged_report_is_repeated_under_its_own_number() -> None:
    schedule = ReportSchedule(TIMING)
    assert sent(schedule, 0) == 1
    assert schedule.due_at() == 3
    assert sent(schedule, 3) == 1
    schedule.acknowledge(1)
    assert schedule.due_at() == 13
    assert sent(schedule, 13) == 2


def test_only_the_newest_report_is_repeated() -> None:
    schedule = ReportSchedule(TIMING)
    sent(schedule, 0)
    schedule.changed(urgent=True)
    assert sent(schedule, 1) == 2
    schedule.acknowledge(1)
    assert schedule.due_at() == 4
    assert sent(schedule, 4) == 2


def test_figures_wait_and_what_matters_does_not() -> None:
    schedule = ReportSchedule(TIMING)
    sent(schedule, 0)
    schedule.acknowledge(1)
    schedule.changed(urgent=False)
    assert schedule.due_at() == 5
    schedule.changed(urgent=True)
    assert schedule.due_at() == TIMING.gap_s


def test_whoever_has_ever_more_to_tell_has_no_report_follow_another_at_once() -> None:
    schedule, now = ReportSchedule(TIMING), 0.0
    sent(schedule, now)
    for _ in range(10):
        schedule.changed(urgent=True)
        now = schedule.due_at()
        sent(schedule, now)
    assert now == pytest.approx(10 * TIMING.gap_s)


def test_a_short_lease_quickens_the_reports_that_renew_it() -> None:
    schedule = ReportSchedule(TIMING, lease_s=8)
    sent(schedule, 0)
    schedule.acknowledge(1)
    assert schedule.due_at() == 2


def test_a_new_link_reports_at_once_under_a_new_number() -> None:
    schedule = ReportSchedule(TIMING)
    sent(schedule, 0)
    schedule.acknowledge(1)
    schedule.linked()
    assert sent(schedule, 1) == 2


def test_an_acknowledgement_proves_contact_only_since_the_first_sending() -> None:
    schedule = ReportSchedule(TIMING)
    sent(schedule, 10)
    sent(schedule, 13)
    assert schedule.acknowledge(1) == 10
    assert schedule.acknowledge(1) is None
    assert schedule.acknowledge(7) is None
    assert schedule.acknowledged == 1


@given(st.lists(st.sampled_from(["urgent", "figures", "send", "ack", "link"]), max_size=60))
def test_numbers_never_fall_and_never_pass_what_was_sent(history: list[str]) -> None:
    schedule, numbers = ReportSchedule(TIMING), [0]
    for now, event in enumerate(history):
        match event:
            case "send":
                numbers.append(schedule.take(float(now)))
            case "ack":
                schedule.acknowledge(numbers[-1])
            case "link":
                schedule.linked()
            case kind:
                schedule.changed(kind == "urgent")
    assert numbers == sorted(numbers)
    assert schedule.acknowledged <= schedule.sequence


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_backoff_is_full_jitter_under_a_cap(attempt: int, fraction: float) -> None:
    delay_s = full_jitter_s(attempt, 0.2, 5.0, lambda low, high: low + fraction * (high - low))
    assert 0 <= delay_s <= min(5.0, 0.2 * 2.0 ** min(attempt, 30))
