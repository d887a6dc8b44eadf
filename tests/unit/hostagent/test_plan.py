"""The plan diff, against a model of a host that takes its actions one by one, dies and comes back."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent.lifecycle import Phase
from hostagent.plan import (
    Forget,
    Keep,
    Plan,
    Planned,
    Start,
    Stop,
    StopCause,
    Want,
    WorkloadKey,
    accept,
    decide,
)

GRACE_S = 5.0
A1, A2, B1 = WorkloadKey("a", 1), WorkloadKey("a", 2), WorkloadKey("b", 1)

keys = st.builds(WorkloadKey, st.sampled_from(["a", "b", "c"]), st.integers(1, 3))
planned = st.builds(Planned, keys, st.just("digest"), st.sampled_from(Want), st.just(1))
lines = st.lists(planned, max_size=6, unique_by=lambda line: line.key).map(tuple)
phases = st.dictionaries(keys, st.sampled_from(Phase), max_size=6)


def run(key: WorkloadKey) -> Planned:
    return Planned(key, "digest", Want.RUN)


def stop(key: WorkloadKey) -> Planned:
    return Planned(key, "digest", Want.STOP, 1)


def actions_of(plan: Plan | None, observed: dict[WorkloadKey, Phase], now: float = 0.0, since=None, spent=None):
    return decide(plan, observed, since or {}, spent or {}, now, GRACE_S).actions


def test_without_a_plan_of_this_link_nothing_is_touched() -> None:
    observed = {A1: Phase.RUNNING, B1: Phase.EXITED}
    assert actions_of(None, observed) == (Keep(A1), Keep(B1))


def test_a_listed_session_starts_once_and_stays_after_its_end() -> None:
    plan = Plan(1, (run(A1),))
    assert actions_of(plan, {}) == (Start(A1, "digest"),)
    for phase in Phase:
        assert actions_of(plan, {A1: phase}) == (Keep(A1),)


def test_an_unlisted_session_is_stopped_after_its_grace_and_an_ended_one_forgotten_at_once() -> None:
    plan = Plan(1, ())
    first = decide(plan, {A1: Phase.RUNNING}, {}, {}, 10.0, GRACE_S)
    assert first.actions == (Keep(A1),)
    assert first.wake_at == 15.0
    second = decide(plan, {A1: Phase.RUNNING}, first.unlisted_since, {}, 15.0, GRACE_S)
    assert second.actions == (Stop(A1, StopCause.UNLISTED),)
    assert actions_of(plan, {A1: Phase.EXITED}) == (Forget(A1),)


def test_the_grace_begins_anew_when_a_plan_lists_the_session_again() -> None:
    since = decide(Plan(1, ()), {A1: Phase.RUNNING}, {}, {}, 0.0, GRACE_S).unlisted_since
    since = decide(Plan(2, (run(A1),)), {A1: Phase.RUNNING}, since, {}, 4.0, GRACE_S).unlisted_since
    assert actions_of(Plan(3, ()), {A1: Phase.RUNNING}, 6.0, since) == (Keep(A1),)


def test_a_newer_generation_waits_for_the_end_of_the_older() -> None:
    plan = Plan(1, (run(A2),))
    assert actions_of(plan, {A1: Phase.RUNNING}) == (Stop(A1, StopCause.SUPERSEDED),)
    assert actions_of(plan, {A1: Phase.STOPPING}) == (Keep(A1),)
    assert actions_of(plan, {A1: Phase.EXITED}) == (Forget(A1), Start(A2, "digest"))


def test_an_older_generation_is_never_started() -> None:
    assert actions_of(Plan(1, (run(A1),)), {A2: Phase.EXITED}) == (Forget(A2),)
    assert actions_of(Plan(1, (run(A1), run(A2))), {}) == (Start(A2, "digest"),)


def test_a_stop_of_what_was_never_started_ends_it_for_ever() -> None:
    assert actions_of(Plan(1, (stop(A1),)), {}) == (Stop(A1, StopCause.PLANNED, 1),)


def test_a_plan_from_an_old_backup_starts_nothing_that_has_ended_here() -> None:
    assert actions_of(Plan(1, (run(A1),)), {}, spent={"a": 1}) == (Stop(A1, StopCause.SPENT),)
    assert actions_of(Plan(1, (run(A2),)), {}, spent={"a": 1}) == (Start(A2, "digest"),)


def test_an_older_version_is_ignored_within_a_link() -> None:
    newer, older = Plan(2, ()), Plan(1, (run(A1),))
    assert accept(newer, older) is newer
    assert accept(newer, Plan(2, (run(A1),))) is newer
    assert accept(None, older) is older


@dataclass
class Host:
    """A host that carries out actions; `started` is what really was started, over all its agents."""

    observed: dict[WorkloadKey, Phase] = field(default_factory=dict)
    since: dict[WorkloadKey, float] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)
    started: list[WorkloadKey] = field(default_factory=list)

    def step(self, plan: Plan | None, now: float) -> int:
        """One reconciliation; returns how many actions changed something."""
        decision = decide(plan, self.observed, self.since, self.spent, now, GRACE_S)
        self.since = dict(decision.unlisted_since)
        for action in decision.actions:
            match action:
                case Start(key):
                    assert key not in self.observed
                    self.observed[key] = Phase.STARTING
                    self.started.append(key)
                case Stop(key):
                    self.observed[key] = Phase.STOPPING if key in self.observed else Phase.EXITED
                case Forget(key):
                    assert self.observed.pop(key) is Phase.EXITED
                    self.spent[key.session_id] = max(key.generation, self.spent.get(key.session_id, -1))
        return sum(not isinstance(action, Keep) for action in decision.actions)

    def end_stopping(self) -> None:
        for key, phase in self.observed.items():
            if phase is Phase.STOPPING:
                self.observed[key] = Phase.EXITED


events = st.one_of(
    st.tuples(st.just("plan"), lines),
    st.tuples(st.just("end"), keys),
    st.tuples(st.just("stopped"), st.none()),
    st.tuples(st.just("link lost"), st.none()),
    st.tuples(st.just("agent restarts"), st.none()),
    st.tuples(st.just("time"), st.floats(0.0, 10.0)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(events, max_size=25))
def test_whatever_happens_nothing_starts_twice_nor_beside_another_generation(history) -> None:
    host, plan, now, version = Host(), None, 0.0, 0
    for kind, value in history:
        if kind == "plan":
            version += 1
            plan = Plan(version, value)
        elif kind == "end" and value in host.observed:
            host.observed[value] = Phase.EXITED
        elif kind == "stopped":
            host.end_stopping()
        elif kind == "link lost":
            plan = None
        elif kind == "agent restarts":
            plan, host.since = None, {}
        elif kind == "time":
            now += value
        before = dict(host.observed)
        host.step(plan, now)
        if plan is None:
            assert host.observed == before
        assert len(host.started) == len(set(host.started))
        alive = [key.session_id for key, phase in host.observed.items() if phase is not Phase.EXITED]
        assert len(alive) == len(set(alive))


@settings(max_examples=300, deadline=None)
@given(lines, phases, st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 3)))
def test_it_converges_to_the_plan_and_then_rests(wanted, observed, spent) -> None:
    host, plan, now = Host(dict(observed), {}, dict(spent)), Plan(1, wanted), 0.0
    for _ in range(6):
        host.step(plan, now)
        host.end_stopping()
        now += GRACE_S
    assert host.step(plan, now) == 0
    listed = {line.key: line.want for line in wanted}
    assert set(host.observed) <= set(listed)
    newest = {}
    for key in listed:
        newest[key.session_id] = max(key.generation, newest.get(key.session_id, 0))
    for key, phase in host.observed.items():
        if phase is not Phase.EXITED:
            assert listed[key] is Want.RUN
            assert key.generation == newest[key.session_id]
    for key, want in listed.items():
        fresh = all(known.session_id != key.session_id for known in observed) and key.session_id not in spent
        if want is Want.RUN and fresh and key.generation == newest[key.session_id]:
            assert host.observed[key] is Phase.STARTING


@given(lines, phases, st.floats(0, 100))
def test_the_same_input_gives_the_same_actions_in_any_order(wanted, observed, now) -> None:
    backwards = dict(reversed(observed.items()))
    assert actions_of(Plan(1, wanted), observed, now) == actions_of(Plan(1, tuple(reversed(wanted))), backwards, now)
