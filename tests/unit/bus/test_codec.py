"""Nothing is lost on the wire, and nothing that an agent may not say gets in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st
from quarterdeck.v1 import agent_pb2, sessions_pb2, wrapper_pb2

from controlplane.adapters.bus import codec
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.events import Event, EventDraft
from controlplane.domain.reconcile import Report, Workload, WorkloadState
from controlplane.domain.session import SessionReason

MAX_EXACT = 2**53
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
number = st.floats(allow_nan=False, allow_infinity=False)
value = st.one_of(text, st.booleans(), st.none(), st.integers(-MAX_EXACT, MAX_EXACT), number)
moment = st.integers(0, 2**52).map(lambda us: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us))
draft = st.builds(EventDraft, text, text, text, st.integers(0, 2**62), st.dictionaries(text, value, max_size=8))


@given(st.builds(Event, text, moment, draft))
def test_an_event_comes_back_as_it_went(event: Event):
    assert codec.decode_event(codec.encode_event(event)) == event


def test_the_same_event_has_the_same_bytes():
    drafts = [EventDraft("quarterdeck.vm.ready", "p", "vms/v", 1, dict(facts)) for facts in (A_B, reversed(A_B))]
    first, second = (codec.encode_event(Event("e", datetime(2026, 1, 1, tzinfo=UTC), draft)) for draft in drafts)
    assert first == second


A_B = [("a", 1), ("b", "two")]


def test_bytes_that_are_no_event_are_refused():
    with pytest.raises(InvalidRequest) as refused:
        codec.decode_event(b"\xff\xff\xff")
    assert refused.value.reason == "EVENT_UNREADABLE"


def status(**fields) -> wrapper_pb2.WorkloadStatus:
    values = {"session_id": "s-1", "generation": 2, "state": wrapper_pb2.WORKLOAD_STATE_RUNNING, **fields}
    return wrapper_pb2.WorkloadStatus(**values)


def message(*workloads: wrapper_pb2.WorkloadStatus, epoch: int = 3, sequence: int = 9) -> bytes:
    report = agent_pb2.Report(epoch=epoch, sequence=sequence, observed_plan_version=5, workloads=workloads)
    return report.SerializeToString()


def test_a_report_is_read_whole():
    exited = status(
        session_id="s-2",
        state=wrapper_pb2.WORKLOAD_STATE_EXITED,
        reason=sessions_pb2.SESSION_REASON_GAME_CRASHED,
        reason_detail="signal 11",
        exit_code=0,
        image_ready_after=Duration(nanos=1_500_000),
        age=Duration(seconds=60, nanos=250_000_000),
        stream=wrapper_pb2.StreamFigures(players=2),
    )
    assert codec.decode_report(message(status(), exited)) == Report(
        3,
        9,
        5,
        (
            Workload("s-1", 2, WorkloadState.RUNNING),
            Workload(
                "s-2",
                2,
                WorkloadState.EXITED,
                SessionReason.GAME_CRASHED,
                "signal 11",
                exit_code=0,
                image_ready_after_s=0.0015,
                age_s=60.25,
                players=2,
            ),
        ),
    )


def test_every_state_and_reason_of_the_wire_is_known():
    for number_ in wrapper_pb2.WorkloadState.values()[1:]:
        assert codec.decode_report(message(status(state=number_))).workloads[0].state
    for number_ in sessions_pb2.SessionReason.values():
        codec.decode_report(message(status(reason=number_)))


def test_ages_that_run_backwards_are_no_ages():
    report = codec.decode_report(message(status(age=Duration(seconds=-5), game_started_after=Duration(seconds=-1))))
    assert (report.workloads[0].age_s, report.workloads[0].game_started_after_s) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff\xff", "REPORT_UNREADABLE"),
        (message(epoch=0), "REPORT_UNNUMBERED"),
        (message(sequence=0), "REPORT_UNNUMBERED"),
        (message(*[status()] * 501), "REPORT_TOO_LONG"),
        (message(status(session_id="../../etc")), "REPORT_INVALID"),
        (message(status(session_id="")), "REPORT_INVALID"),
        (message(status(state=0)), "REPORT_INVALID"),
        (message(status(state=77)), "REPORT_INVALID"),
    ],
)
def test_a_report_that_is_wrong_is_refused_by_name(payload, reason):
    with pytest.raises(InvalidRequest) as refused:
        codec.decode_report(payload)
    assert refused.value.reason == reason


def test_a_reason_of_tomorrow_does_not_cost_the_report():
    assert codec.decode_report(message(status(reason=77))).workloads[0].reason is SessionReason.NONE


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(payload: bytes):
    reason = "REPORT_"
    try:
        codec.decode_report(payload)
    except InvalidRequest as refused:
        reason = refused.reason
    assert reason.startswith("REPORT_")


def test_a_time_that_no_clock_has_measured_ends_no_hosts_link():
    wild = Duration(seconds=2**62, nanos=-(2**31))
    (workload,) = codec.decode_report(message(status(age=wild, first_frame_after=wild))).workloads
    assert 0 < workload.age_s < 400_000_000


@pytest.mark.parametrize(("listed", "said", "more"), [(500, False, False), (500, True, True), (501, False, True)])
def test_saves_that_a_report_leaves_out_are_never_taken_for_stored(listed: int, said: bool, more: bool):
    report = agent_pb2.Report(epoch=1, sequence=1, unstored_saves_more=said)
    report.unstored_saves.extend(agent_pb2.UnstoredSave(session_id=f"s-{n}", generation=1) for n in range(listed))
    decoded = codec.decode_report(report.SerializeToString())
    assert (len(decoded.unstored), decoded.unstored_more) == (500, more)


def test_words_that_a_database_refuses_end_no_hosts_reports():
    report = agent_pb2.Report(epoch=1, sequence=1, workloads=[status(reason_detail="a\0b")])
    report.unstored_saves.add(session_id="s-1", generation=2, detail="\0x")
    decoded = codec.decode_report(report.SerializeToString())
    assert (decoded.workloads[0].reason_detail, decoded.unstored[0].detail) == ("ab", "x")
