"""The life of a session: its table, its reasons, its limits."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrapper.session import TABLE, Activity, Reason, Session, State, Trigger, overdue
from wrapper.spec import Limits


def test_the_table_is_whole_and_the_end_absorbs() -> None:
    assert set(TABLE) == set(itertools.product(State, Trigger))
    assert all(TABLE[State.EXITED, trigger] is State.EXITED for trigger in Trigger)
    # No way back to the start, and none out of stopping but the end.
    assert all(after is not State.STARTING for after in TABLE.values())
    assert {TABLE[State.STOPPING, trigger] for trigger in Trigger} == {State.STOPPING, State.EXITED}


steps = st.lists(
    st.sampled_from(["game_started", "playable", "stop", "ended"]).flatmap(
        lambda verb: st.tuples(st.just(verb), st.integers(-15, 3), st.sampled_from(Reason))
    ),
    max_size=12,
)


@given(steps)
def test_any_history_keeps_first_reason_and_first_stages(history: list[tuple[str, int, Reason]]) -> None:
    session = Session()
    for age_s, (verb, code, reason) in enumerate(history):
        before = session
        match verb:
            case "game_started":
                session = session.game_started(float(age_s))
            case "playable":
                session = session.playable(float(age_s))
            case "stop":
                session = session.stop(reason)
            case _:
                session = session.ended(float(age_s), code)
        if before.state is State.EXITED:
            assert (session.state, session.reason, session.exit_code) == (State.EXITED, before.reason, before.exit_code)
        if before.reason is not None:
            assert session.reason is before.reason
        if before.playable_s is not None:
            assert session.playable_s == before.playable_s
        assert (session.reason is not None) == (session.state in (State.STOPPING, State.EXITED))


@pytest.mark.parametrize(
    ("session", "code", "reason"),
    [
        (Session().game_started(1.0).playable(2.0), 0, Reason.GAME_EXITED),
        (Session().game_started(1.0).playable(2.0), 3, Reason.GAME_CRASHED),
        (Session().game_started(1.0), -11, Reason.GAME_CRASHED),
        (Session().game_started(1.0).playable(2.0), None, Reason.GAME_CRASHED),
        (Session(), None, Reason.START_FAILED),
        (Session().game_started(1.0).playable(2.0).stop(Reason.IDLE), -9, Reason.IDLE),
        (Session().stop(Reason.STOP_REQUESTED), None, Reason.STOP_REQUESTED),
    ],
)
def test_why_it_ended(session: Session, code: int | None, reason: Reason) -> None:
    ended = session.ended(9.0, code, "because")
    assert (ended.state, ended.reason, ended.exit_code, ended.ended_s) == (State.EXITED, reason, code, 9.0)


def test_a_signal_is_named_as_such() -> None:
    assert Session().game_started(1.0).ended(2.0, -11).detail == "The game was killed by SIGSEGV."
    assert Session().game_started(1.0).ended(2.0, -35).detail == "The game was killed by signal 35."


def test_no_limit_passes_before_the_first_frame_but_the_lease() -> None:
    limits = Limits(idle_s=1, disconnect_s=1, max_duration_s=1)
    waiting = Activity(deserted_since_s=0.0)
    assert overdue(limits, waiting, 1e9) is None
    assert overdue(limits, Activity(lease_until_s=5.0), 4.9) is None
    assert overdue(limits, Activity(lease_until_s=5.0), 5.0) is Reason.LEASE_EXPIRED


@pytest.mark.parametrize(
    ("limits", "activity", "last_good_s", "reason"),
    [
        (Limits(max_duration_s=60), Activity(playable_at_s=10.0), 69.9, Reason.MAX_DURATION),
        (Limits(disconnect_s=30), Activity(playable_at_s=10.0, deserted_since_s=0.0), 39.9, Reason.DISCONNECTED),
        (Limits(disconnect_s=30), Activity(playable_at_s=10.0, deserted_since_s=50.0), 79.9, Reason.DISCONNECTED),
        (Limits(idle_s=20), Activity(playable_at_s=10.0), 29.9, Reason.IDLE),
        (Limits(idle_s=20), Activity(playable_at_s=10.0, last_activity_at_s=100.0), 119.9, Reason.IDLE),
    ],
)
def test_each_limit(limits: Limits, activity: Activity, last_good_s: float, reason: Reason) -> None:
    assert overdue(limits, activity, last_good_s) is None
    assert overdue(limits, activity, last_good_s + 0.2) is reason


def test_somebody_connected_is_never_deserted() -> None:
    assert overdue(Limits(disconnect_s=30), Activity(playable_at_s=0.0, deserted_since_s=None), 1e9) is None


def test_no_limits_no_end() -> None:
    assert overdue(Limits(), Activity(playable_at_s=0.0, deserted_since_s=0.0), 1e9) is None
