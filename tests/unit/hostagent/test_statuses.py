"""What is made of a wrapper's words."""

from __future__ import annotations

import pytest
from quarterdeck.v1 import agent_pb2, sessions_pb2, wrapper_pb2

from hostagent import statuses
from hostagent.inventory import local_addresses, parse_encoders
from hostagent.lifecycle import Phase, Trigger
from hostagent.linkstream import plan_of
from hostagent.plan import Planned, Want, WorkloadKey
from hostagent.runtime import Usage

KEY = WorkloadKey("game", 1)
LOST = sessions_pb2.SESSION_REASON_WRAPPER_LOST


def said(**fields: object) -> wrapper_pb2.WorkloadStatus:
    return wrapper_pb2.WorkloadStatus(session_id="game", generation=1, **fields)


def test_a_wrappers_exited_ends_nothing_by_itself() -> None:
    assert statuses.trigger_of(said(state=wrapper_pb2.WORKLOAD_STATE_EXITED)) is None
    assert statuses.trigger_of(said(state=wrapper_pb2.WORKLOAD_STATE_RUNNING)) is Trigger.PLAYABLE


def test_a_report_tells_the_phase_that_the_agent_knows() -> None:
    last = said(state=wrapper_pb2.WORKLOAD_STATE_EXITED, exit_code=0, wrapper_pid=7)
    status = statuses.snapshot(KEY, Phase.STOPPING, last, 1.5)
    assert status.state == wrapper_pb2.WORKLOAD_STATE_STOPPING
    assert not status.HasField("exit_code")
    assert status.age.ToMilliseconds() == 1500
    assert statuses.snapshot(KEY, Phase.EXITED, last, 1.5).exit_code == 0


def test_an_end_in_the_agents_words_keeps_the_stages() -> None:
    last = said(state=wrapper_pb2.WORKLOAD_STATE_RUNNING)
    last.first_frame_after.FromMilliseconds(120)
    end = statuses.exited(KEY, LOST, "x" * 2000, last)
    assert (end.state, end.reason) == (wrapper_pb2.WORKLOAD_STATE_EXITED, LOST)
    assert end.first_frame_after.ToMilliseconds() == 120
    assert len(end.reason_detail) == statuses.MAX_DETAIL_CHARACTERS


@pytest.mark.parametrize("content", [None, b"\xff\xff", said().SerializeToString()[:-1]])
def test_a_durable_status_that_is_broken_counts_as_none(content: bytes | None) -> None:
    assert statuses.parse(content, KEY) is None


def test_a_durable_status_of_another_workload_counts_as_none() -> None:
    assert statuses.parse(said().SerializeToString(), WorkloadKey("game", 2)) is None
    assert statuses.parse(said().SerializeToString(), KEY) == said()


def test_live_figures_do_not_hurry_a_report_but_players_do() -> None:
    one, other = said(game_pid=3), said(game_pid=3)
    other.stream.encoded_fps = 30
    other.age.FromSeconds(3)
    assert statuses.same_but_for_figures(one, other)
    other.stream.players = 1
    assert not statuses.same_but_for_figures(one, other)
    assert not statuses.same_but_for_figures(None, one)


def test_a_plan_line_that_wants_nothing_known_is_left_out() -> None:
    line = agent_pb2.PlannedSession(session_id="game", generation=1, spec_digest="d", want=1, reason=LOST)
    unknown = agent_pb2.PlannedSession(session_id="other", generation=1, want=7)
    plan = plan_of(agent_pb2.Plan(version=3, sessions=[line, unknown]))
    assert plan.version == 3
    assert plan.sessions == (Planned(KEY, "d", Want.RUN, LOST),)


def test_the_encoder_probes_answer() -> None:
    encoders = parse_encoders(b'{"encoders": [{"name": "libx264", "slots": 2}]}')
    assert [(e.encoder_name, e.slots) for e in encoders] == [("libx264", 2)]


@pytest.mark.parametrize("answer", [b"", b"{", b"[]", b"{}", b'{"encoders": [{}]}', b'{"encoders": [{"name": "x"}]}'])
def test_a_broken_answer_of_the_probe_is_refused(answer: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_encoders(answer)


def test_no_loopback_address_is_offered_to_players() -> None:
    assert not {"127.0.0.1", "::1"} & set(local_addresses())


@pytest.mark.parametrize(
    ("usage", "limit_bytes", "breaks"),
    [
        (Usage(disk_bytes=5), 4, True),
        (Usage(disk_bytes=4), 4, False),
        (Usage(disk_bytes=1, disk_unmeasured="shut: Permission denied"), 4, True),
        (Usage(disk_bytes=5, disk_unmeasured="shut: Permission denied"), 0, False),
    ],
)
def test_files_that_are_too_large_or_cannot_be_measured_break_a_bound(
    usage: Usage, limit_bytes: int, breaks: bool
) -> None:
    assert statuses.breaks_disk_limit(usage, limit_bytes) is breaks


def test_a_bound_that_could_not_be_watched_says_why() -> None:
    end = said(reason=sessions_pb2.SESSION_REASON_DISK_LIMIT, reason_detail="It did not stop.")
    status = statuses.measured(end, Usage(disk_unmeasured="shut: Permission denied"), False, 0, 4 << 20)
    assert status.reason_detail == (
        "What its files take cannot be measured (shut: Permission denied); its deployment allows 4.0 MiB. "
        "It did not stop."
    )


def test_a_word_that_no_wrapper_says_does_not_get_into_the_hosts_report() -> None:
    wild = said(state=wrapper_pb2.WORKLOAD_STATE_RUNNING, reason_detail="x" * 2_000_000)
    wild.first_frame_after.seconds = 2**62
    wild.game_started_after.nanos = -5
    wild.image_ready_after.seconds = 1
    wild.usage.memory_bytes = 7
    wild.stream.encoder_name = "y" * 2_000_000
    wild.stream.players = 1
    wild.stream.idle.seconds = -(2**62)
    wild.MergeFromString(b"\xfa\x3f\x7f" + b"z" * 127)  # a field that nobody knows
    for told in (statuses.bounded(wild), statuses.parse(wild.SerializeToString(), KEY)):
        assert told is not None
        assert told.ByteSize() < 2000
        assert not told.HasField("first_frame_after")
        assert not told.HasField("game_started_after")
        assert not told.HasField("usage")
        assert not told.stream.HasField("idle")
        assert (told.image_ready_after.seconds, told.stream.players) == (1, 1)


def test_no_word_that_a_database_refuses_gets_into_the_hosts_report() -> None:
    said_so = statuses.bounded(said(reason_detail="a\0b", stream={"encoder_name": "x\0y"}))
    assert (said_so.reason_detail, said_so.stream.encoder_name) == ("ab", "xy")
    assert statuses.exited(KEY, LOST, "\0the last words").reason_detail == "the last words"
    assert statuses.snapshot(KEY, Phase.PREPARING, None, 0, "pull\0ing").reason_detail == "pulling"
