"""Reports: whole, fenced, and the same in any order (I7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.reconcile import Report, Workload, WorkloadState, newer, observe, plan_entry, vanished
from controlplane.domain.session import FINISHED, Session, SessionReason, SessionState, Stages
from controlplane.domain.usage import Usage, total

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STARTING = Session(
    id="s", project_id="p", game_id="g", deployment_number=1, preset_id="x", state=SessionState.STARTING,
    created_at=NOW, updated_at=NOW, vm_id="v", units=12, version=2, stages=Stages(allocated_at=NOW),
)  # fmt: skip


def workload(state: WorkloadState, **facts) -> Workload:
    return Workload("s", 1, state, **facts)


def test_the_first_frame_makes_a_session_running_with_its_stages_on_our_clock():
    seen = workload(WorkloadState.RUNNING, game_started_after_s=0.5, first_frame_after_s=0.75, age_s=1.0)
    session, events = observe(STARTING, seen, NOW + timedelta(seconds=2))
    assert session.state is SessionState.RUNNING
    assert session.stages.game_started_at == NOW + timedelta(seconds=1.5)
    assert session.stages.first_frame_at == NOW + timedelta(seconds=1.75)
    assert [event.type for event in events] == ["quarterdeck.session.running"]


def test_a_hosts_absurd_age_never_puts_a_stage_before_the_allocation():
    session, _ = observe(STARTING, workload(WorkloadState.RUNNING, first_frame_after_s=0, age_s=10**6), NOW)
    assert session.stages.first_frame_at == NOW


def test_activity_is_told_in_strides_and_exactly_at_the_end():
    def active(session: Session, after_s: float, age_s: float, state=WorkloadState.RUNNING) -> Session:
        seen = workload(state, last_activity_after_s=after_s, age_s=age_s)
        return observe(session, seen, NOW + timedelta(seconds=age_s))[0]

    first = active(STARTING, 4, 5)
    assert first.last_activity_at == NOW + timedelta(seconds=4)
    a_little_later = active(first, 30, 31)
    assert a_little_later == first
    much_later = active(first, 40, 41)
    assert much_later.last_activity_at == NOW + timedelta(seconds=40)
    ended = active(much_later, 42, 43, WorkloadState.EXITED)
    assert ended.last_activity_at == NOW + timedelta(seconds=42)
    assert active(much_later, 40.001, 45) == much_later


def test_usage_is_told_in_strides_and_whole_at_the_end():
    def using(session: Session, cpu_s: float, after_s: float, state=WorkloadState.RUNNING) -> Session:
        seen = workload(state, usage=Usage(cpu_s, 100, 200, 3))
        return observe(session, seen, NOW + timedelta(seconds=after_s))[0]

    first = using(STARTING, 1.0, 5)
    assert first.usage == Usage(1.0, 100, 200, 3, told_at=NOW + timedelta(seconds=5))
    assert using(first, 9.0, 34) == first
    later = using(first, 9.0, 35)
    assert later.usage is not None
    assert later.usage.cpu_s == 9.0
    ended = using(later, 9.5, 36, WorkloadState.EXITED)
    assert ended.usage is not None
    assert ended.usage.cpu_s == 9.5
    assert observe(later, workload(WorkloadState.EXITED), NOW)[0].usage == later.usage
    assert total([later.usage, None, ended.usage]).cpu_s == 18.5


def test_a_start_tells_how_far_it_is_until_the_image_is_there():
    pulling, _ = observe(STARTING, workload(WorkloadState.STARTING, reason_detail="pulling game:1: 45 %"), NOW)
    assert pulling.progress == "pulling game:1: 45 %"
    assert pulling.version > STARTING.version
    started, _ = observe(pulling, workload(WorkloadState.STARTING, image_ready_after_s=0.0), NOW)
    assert started.progress == ""
    ended, _ = observe(pulling, workload(WorkloadState.EXITED, reason=SessionReason.IMAGE_CORRUPT), NOW)
    assert (ended.state, ended.reason, ended.progress) == (SessionState.CRASHED, SessionReason.IMAGE_CORRUPT, "")


def test_exits_become_states_with_reasons():
    running, _ = observe(STARTING, workload(WorkloadState.RUNNING), NOW)
    outcomes = {
        SessionReason.GAME_EXITED: SessionState.COMPLETED,
        SessionReason.GAME_CRASHED: SessionState.CRASHED,
        SessionReason.IDLE: SessionState.STOPPED,
        SessionReason.DISCONNECTED: SessionState.STOPPED,
        SessionReason.MAX_DURATION: SessionState.STOPPED,
        SessionReason.WRAPPER_LOST: SessionState.CRASHED,
        SessionReason.NONE: SessionState.CRASHED,
    }
    for reason, state in outcomes.items():
        ended, _ = observe(running, workload(WorkloadState.EXITED, reason=reason, exit_code=3), NOW)
        assert (ended.state, ended.exit_code, ended.ended_at) == (state, 3, NOW)
        assert ended.reason is not SessionReason.NONE


def test_the_reason_of_the_stop_request_survives_the_exit_it_causes():
    stopping = replace(STARTING, state=SessionState.STOPPING, reason=SessionReason.VM_TERMINATED)
    ended, _ = observe(stopping, workload(WorkloadState.EXITED, reason=SessionReason.GAME_CRASHED), NOW)
    assert (ended.state, ended.reason) == (SessionState.STOPPED, SessionReason.VM_TERMINATED)


def test_another_generation_and_a_finished_session_are_left_alone():
    assert observe(STARTING, Workload("s", 2, WorkloadState.EXITED), NOW) == (STARTING, ())
    for state in FINISHED:
        over = replace(STARTING, state=state)
        assert observe(over, workload(WorkloadState.RUNNING), NOW) == (over, ())


def test_hearing_of_an_unreachable_session_ends_the_condition():
    away = replace(STARTING, state=SessionState.RUNNING, unreachable_at=NOW)
    back, events = observe(away, workload(WorkloadState.RUNNING), NOW)
    assert back.unreachable_at is None
    assert [event.type for event in events] == ["quarterdeck.session.reachable"]


def test_a_session_its_host_does_not_know_has_crashed_and_a_stopping_one_has_stopped():
    assert vanished(STARTING, NOW)[0].state is SessionState.CRASHED
    assert vanished(replace(STARTING, state=SessionState.STOPPING), NOW)[0].state is SessionState.STOPPED


def test_the_plan_lists_what_runs_and_what_stops():
    wants = {state: plan_entry(replace(STARTING, state=state)) for state in SessionState}
    listed = {SessionState.STARTING: True, SessionState.RUNNING: True, SessionState.STOPPING: False}
    assert {state: want for state, want in wants.items() if want is not None} == listed


LIFE = [
    (),
    (workload(WorkloadState.STARTING, age_s=0.1),),
    (workload(WorkloadState.STARTING, game_started_after_s=0.2, age_s=0.3),),
    (workload(WorkloadState.RUNNING, game_started_after_s=0.2, first_frame_after_s=0.4, age_s=0.5),),
    (workload(WorkloadState.EXITED, reason=SessionReason.GAME_EXITED, exit_code=0, age_s=9.0),),
]


def replay(log: list[Report]) -> tuple[SessionState, SessionReason, int | None]:
    session, last = STARTING, (0, 0)
    for report in log:
        if newer(report.epoch, report.sequence, *last):
            last = (report.epoch, report.sequence)
            for seen in report.workloads:
                session, _ = observe(session, seen, NOW)
    return session.state, session.reason, session.exit_code


@given(st.data())
def test_any_shuffle_and_duplication_of_a_report_log_ends_in_the_in_order_state(data):
    log = [Report(1, number, 1, seen) for number, seen in enumerate(LIFE, start=1)]
    told = data.draw(st.permutations(log + data.draw(st.lists(st.sampled_from(log), max_size=8))))
    assert replay(told) == replay(log)
