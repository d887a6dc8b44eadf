"""The retry schedule: bounded, growing, jittered downwards only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.retry import DEFAULT_SCHEDULES, FailureKind, Schedule

schedules = st.builds(
    Schedule,
    attempts=st.integers(1, 50),
    first_delay_s=st.floats(0, 100),
    multiplier=st.floats(1, 10),
    cap_s=st.floats(0, 1000),
    jitter=st.floats(0, 1),
    budget_s=st.floats(0, 10_000),
)
chances = st.floats(0, 1, exclude_max=True)


def test_every_kind_of_failure_has_a_schedule():
    assert set(DEFAULT_SCHEDULES) == set(FailureKind)


def test_the_delay_doubles_up_to_its_cap():
    schedule = Schedule(attempts=9, first_delay_s=1, multiplier=2, cap_s=5, jitter=0)
    assert [schedule.delay_s(n, 0.9) for n in range(1, 6)] == [1, 2, 4, 5, 5]


def test_the_budget_ends_it_before_the_attempts_do():
    schedule = Schedule(attempts=100, first_delay_s=10, multiplier=1, jitter=0, budget_s=25)
    assert schedule.another(1, 15, 0) == 10
    assert schedule.another(2, 16, 0) is None


@given(schedules, st.integers(1, 10_000), chances)
def test_a_delay_is_never_negative_nor_above_the_cap(schedule, attempt, chance):
    assert 0 <= schedule.delay_s(attempt, chance) <= schedule.cap_s


@given(schedules, chances)
def test_it_always_ends(schedule, chance):
    spent_s, attempt = 0.0, 1
    while (wait_s := schedule.another(attempt, spent_s, chance)) is not None:
        spent_s, attempt = spent_s + wait_s, attempt + 1
        assert attempt <= schedule.attempts
    assert spent_s <= schedule.budget_s


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"multiplier": 0.5}, {"jitter": 1.5}, {"cap_s": -1}])
def test_a_senseless_schedule_is_refused(wrong):
    with pytest.raises(ValueError, match=r"schedule|jitter"):
        Schedule(**wrong)
