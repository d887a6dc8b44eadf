"""When the agent ends what a wrapper should have ended, and when it may believe that a wrapper is stuck."""

from __future__ import annotations

import pytest
from quarterdeck.v1 import sessions_pb2, wrapper_pb2

from hostagent.watchdog import Patience, Terms, Verdict, overdue

Reason = sessions_pb2.SessionReason
TERMS = Terms(margin_s=10, start_margin_s=30, ask_s=10, answer_s=10, questions=3)
ON_TIME_S = 20.1


def a_spec(longest_s: int = 0, ready_s: int | None = None) -> wrapper_pb2.SessionSpec:
    spec = wrapper_pb2.SessionSpec()
    spec.limits.max_duration.FromSeconds(longest_s)
    if ready_s is not None:
        spec.deployment.readiness.timeout.FromSeconds(ready_s)
    return spec


def playable(after_s: int) -> wrapper_pb2.WorkloadStatus:
    status = wrapper_pb2.WorkloadStatus()
    status.first_frame_after.FromSeconds(after_s)
    return status


def reason(verdict: Verdict | None) -> sessions_pb2.SessionReason | None:
    return verdict.reason if verdict else None


@pytest.mark.parametrize(
    ("spec", "last", "age_s", "expected"),
    [
        (a_spec(), None, 89, None),
        (a_spec(), None, 90, Reason.SESSION_REASON_START_FAILED),
        (a_spec(), wrapper_pb2.WorkloadStatus(), 90, Reason.SESSION_REASON_START_FAILED),
        (a_spec(ready_s=300), None, 329, None),
        (a_spec(ready_s=300), None, 330, Reason.SESSION_REASON_START_FAILED),
        (a_spec(), playable(5), 10**6, None),
        (a_spec(longest_s=100), playable(5), 114, None),
        (a_spec(longest_s=100), playable(5), 115, Reason.SESSION_REASON_MAX_DURATION),
    ],
)
def test_a_session_is_overdue_a_margin_after_its_wrapper_should_have_ended_it(
    spec: wrapper_pb2.SessionSpec,
    last: wrapper_pb2.WorkloadStatus | None,
    age_s: float,
    expected: sessions_pb2.SessionReason | None,
) -> None:
    assert reason(overdue(spec, last, age_s, TERMS)) == expected


def verdicts(*asked: tuple[bool, float]) -> list[bool]:
    patience = Patience(TERMS)
    return [patience.asked(*one) is not None for one in asked]


def test_a_wrapper_is_stuck_after_some_questions_in_a_row() -> None:
    silent = (False, ON_TIME_S)
    assert verdicts(silent, silent, silent) == [False, False, True]
    assert verdicts(silent, silent, (True, 10.0), silent, silent) == [False] * 5


def test_an_agent_that_was_late_itself_judges_nobody() -> None:
    silent, stopped = (False, ON_TIME_S), (False, 3600.0)
    assert verdicts(silent, silent, stopped, silent, silent) == [False] * 5
    assert verdicts(*[(False, 26.0)] * 20) == [False] * 20
