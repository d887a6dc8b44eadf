"""The use cases as a whole, against machines that fall silent, restart and report late or twice, in any order.

Real use cases on the store in memory, a virtual clock, presets that mix on one VM. After each step the rows pass
`quarterdeck audit`, and what really runs where is compared with them: I1, I2, I3, I6, I7, I8, I14, I16, I18, I20."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from controlplane.adapters.bus.memory import MemoryBus
from controlplane.domain.errors import AlreadyExists, Exhausted, WrongState
from controlplane.domain.game import Picture
from controlplane.domain.host import Host
from controlplane.domain.identity import Principal, Role
from controlplane.domain.queueing import Bounds
from controlplane.domain.session import Session, SessionReason, SessionState
from controlplane.domain.silence import Silence
from controlplane.domain.template import Preset
from controlplane.domain.vm import Vm, VmState
from controlplane.usecases import assignment, creation, hosts, queue, replacement, watch
from controlplane.usecases import sessions as verbs
from controlplane.usecases import vms as machines_verbs
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.sessions import SessionView
from controlplane.usecases.vms import VmRequest
from controlplane.usecases.world import Policy, World
from tests.component.api.plane import OPERATOR
from tests.contract.store.rows import a_deployment, a_game, a_host
from tests.unit.usecases.audited import audited
from tests.unit.usecases.hurry import HurryingLoop
from tests.unit.usecases.machines import Machine
from tests.unit.usecases.rig import Crash, Fate, MortalStore

# In the audit's eyes nothing is too old to be looked at, or late to be published.
START = datetime(2100, 1, 1, tzinfo=UTC)
SEATS = {"vm-a": 1, "vm-b": 2, "vm-c": 3}
POLICY = Policy(
    silence=Silence(stale_after_s=3, lost_after_s=8, restart_grace_s=0, feed_lag_s=5),
    session_lease_s=12,
    session_lost_after_s=40,
    queue_timeout_s=25,
    queue_bounds=Bounds(per_project=8, per_subject=5),
    port_quarantine_s=4,
    lost_port_quarantine_s=30,
    vanish_after_s=3,
    media_ports=(28000, 28005),
)
PRESETS = {"seat": 0, "whole": 1, "third": 3, "fifth": 5}
T = TypeVar("T")

CALLERS = (OPERATOR, replace(OPERATOR, subject="player", role=Role.PLAYER))

ids = st.sampled_from(sorted(SEATS))
callers = st.sampled_from(CALLERS)
exits = st.sampled_from([SessionReason.GAME_EXITED, SessionReason.GAME_CRASHED, SessionReason.PORT_TAKEN])
presets = st.sampled_from(sorted(PRESETS))
games = st.sampled_from(["moves", "moves", "stays", "plain"])
requests = st.builds(SessionRequest, games, presets, client_token=st.sampled_from(["", "", "t1", "t2", "t3"]))


class CountingIds:
    def __init__(self) -> None:
        self._next = itertools.count(1)

    def new(self, prefix: str) -> str:
        return f"{prefix}-{next(self._next):04}"

    def secret(self) -> str:
        return self.new("secret")


class Fleet(RuleBasedStateMachine):
    live = Bundle("live")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=HurryingLoop)
        self.runner.get_loop().set_exception_handler(died)
        self.now = START
        self.fate = Fate()
        store = MortalStore(lambda: self.now, self.fate)
        self.world = World(store, MemoryBus(), CountingIds(), None, None, None, POLICY)  # type: ignore[arg-type] - unused
        self.machines = {vm_id: Machine(self.world, vm_id, seats) for vm_id, seats in SEATS.items()}
        self.tokens: dict[str, list[tuple[SessionRequest, str, str]]] = {}
        self.ended: dict[str, Session] = {}
        self.asked_to_stop: set[str] = set()
        self.exited: set[str] = set()
        self.bound: set[str] = set()
        self.run(self.furnish())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.runner.close()

    async def furnish(self) -> None:
        async with self.world.store.tx() as tx:
            for preset_id, sessions_per_vm in PRESETS.items():
                await tx.shapes.add(Preset(preset_id, preset_id, 640, 360, 30, 900, 500, 1500, "p", sessions_per_vm))
            for game_id, picture in (("moves", Picture.FRAMES), ("stays", Picture.FRAMES), ("plain", Picture.NONE)):
                await tx.catalogue.add_game(a_game(game_id))
                await tx.catalogue.add_deployment(
                    a_deployment(game_id, picture=picture, ports=(), container=None, replaceable=game_id == "moves")
                )
        for vm_id, machine in self.machines.items():
            await machines_verbs.create_vm(self.world, OPERATOR, VmRequest(vm_id, "local"), "")
            async with self.world.store.tx() as tx:
                vm = await tx.vms.lock(vm_id)
                assert vm is not None
                await tx.vms.save(replace(vm, state=VmState.BOOTING, version=vm.version + 1))
                await tx.hosts.add(a_host(vm_id, epoch=0, start_id="", report_sequence=0))
            await machine.link(restarted=False)

    # What players and operators do.

    @initialize(requests=st.lists(requests, min_size=3, max_size=10), who=callers)
    def begin(self, requests: list[SessionRequest], who: Principal) -> None:
        self.create_at_once(requests, who)

    @rule(target=live, request=requests, who=callers)
    def create(self, request: SessionRequest, who: Principal) -> str | MultipleResults[str]:
        (answer,) = self.run(self.create_all([request], who))
        return self.created(request, answer, who) or multiple()

    @rule(requests=st.lists(requests, min_size=2, max_size=8), who=callers)
    def create_at_once(self, requests: list[SessionRequest], who: Principal) -> None:
        answers = self.run(self.create_all(requests, who))
        for request, answer in zip(requests, answers, strict=True):
            self.created(request, answer, who)

    async def create_all(
        self, requests: list[SessionRequest], who: Principal = OPERATOR
    ) -> list[SessionView | BaseException]:
        calls = (creation.create_session(self.world, who, request, "") for request in requests)
        return await asyncio.gather(*calls, return_exceptions=True)

    def created(self, request: SessionRequest, answer: SessionView | BaseException, who: Principal = OPERATOR) -> str:
        """I20: a token stands for its first request and for one session of those that its caller may see. "" when the
        queue was full (I18)."""
        earlier = self.tokens.get(request.client_token, [])
        known = next((made for made in earlier if who.sees(made[2])), None)
        if known is not None and known[0] != request:
            assert isinstance(answer, AlreadyExists)
            return known[1]
        if known is None and isinstance(answer, Exhausted):
            assert (answer.reason, answer.details["retry_after_s"]) == ("QUEUE_FULL", "5")
            assert self.room(who) == 0, "one was refused though there was room in the queue"
            return ""
        assert isinstance(answer, SessionView), answer
        session = answer.session
        if known is not None:
            assert session.id == known[1]
        elif request.client_token:
            self.tokens.setdefault(request.client_token, []).append((request, session.id, who.subject))
        return session.id

    def room(self, who: Principal = OPERATOR) -> int:
        """How many more of this caller may wait."""
        rows = self.run(self.rows())[0].values()
        waiting = Counter(session.created_by for session in rows if session.state is SessionState.PENDING)
        bounds = POLICY.queue_bounds
        return min(bounds.per_project - waiting.total(), bounds.per_subject - waiting[who.subject])

    @invariant()
    def the_queue_is_bounded(self) -> None:
        """I18."""
        assert all(self.room(who) >= 0 for who in CALLERS)

    @precondition(lambda self: self.room())
    @rule(request=requests, at=st.integers(1, 3))
    def create_and_die(self, request: SessionRequest, at: int) -> None:
        """The process dies before, within or after the commit; the caller asks again with the same token (I16)."""
        if not request.client_token:
            request = replace(request, client_token=f"once-{len(self.tokens)}")
        before = self.run(self.rows())[0]
        self.fate.at, self.fate.awaits = at, 0
        try:
            self.run(self.create_all([request]))
        except (Crash, asyncio.CancelledError):
            assert self.fate.dead
        committed = self.fate.awaits == 3
        self.fate.at, self.fate.dead = 0, False
        after = self.run(self.rows())[0]
        new = [session for session_id, session in after.items() if session_id not in before]
        assert len(new) == (committed and request.client_token not in self.tokens), (
            "half a change was kept, or a whole one lost"
        )
        if new:
            assert new[0].client_token == request.client_token
            self.tokens[request.client_token] = [(request, new[0].id, OPERATOR.subject)]
        (answer,) = self.run(self.create_all([request]))
        self.created(request, answer)

    @rule(session_id=live)
    def stop(self, session_id: str) -> None:
        self.asked_to_stop.add(session_id)
        self.run(verbs.stop_session(self.world, OPERATOR, session_id, ""))

    @rule(session_id=live, vm_id=ids)
    def assign(self, session_id: str, vm_id: str) -> None:
        """An operator may put one that waits before its turn."""
        try:
            self.run(assignment.assign_session(self.world, OPERATOR, session_id, vm_id, ""))
        except (WrongState, Exhausted):
            return
        self.bound.add(session_id)

    @rule(vm_id=ids)
    def drain(self, vm_id: str) -> None:
        """I14: it ends no session."""
        before = self.run(self.rows())[0]
        self.tolerant(machines_verbs.drain_vm(self.world, OPERATOR, vm_id, ""))
        assert self.run(self.rows())[0] == before

    @rule(vm_id=ids)
    def undrain(self, vm_id: str) -> None:
        self.tolerant(machines_verbs.undrain_vm(self.world, OPERATOR, vm_id, ""))

    def tolerant(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self.run(work)
        except WrongState:
            return

    # What machines do.

    def follow_and_say(self, vm_id: str) -> None:
        """An agent that is linked fetches its plan, makes it so, and its report arrives."""
        machine = self.machines[vm_id]
        self.run(machine.follow(self.now))
        report = machine.say()
        assert self.run(hosts.accept_report(self.world, vm_id, report))
        machine.accepted = report.epoch, report.sequence

    @rule(vm_id=ids, follow=st.booleans())
    def say_later(self, vm_id: str, follow: bool) -> None:
        machine = self.machines[vm_id]
        if machine.linked and follow:
            self.run(machine.follow(self.now))
        machine.say()

    @rule(vm_id=ids, which=st.integers(0, 100))
    def arrives(self, vm_id: str, which: int) -> None:
        """Any report that was ever said, once more (I7, I8)."""
        machine = self.machines[vm_id]
        if machine.reports:
            report = machine.reports[which % len(machine.reports)]
            before = self.run(self.rows())
            accepted = self.run(hosts.accept_report(self.world, vm_id, report))
            assert accepted == (report.epoch == machine.epoch)
            if (report.epoch, report.sequence) <= machine.accepted:
                assert self.run(self.rows()) == before
            machine.accepted = max(machine.accepted, (report.epoch, report.sequence))

    @rule(vm_id=ids, reason=exits, which=st.integers(0, 100), fresh=st.booleans())
    def game_ends(self, vm_id: str, reason: SessionReason, which: int, fresh: bool) -> None:
        """Of any that runs; or of one that has just been started, if it could not."""
        machine = self.machines[vm_id]
        if machine.linked and fresh:
            self.run(machine.follow(self.now))
        if machine.runs:
            key = sorted(machine.runs)[which % len(machine.runs)]
            self.exited.add(key[0])
            machine.end(key, reason)
        if machine.linked and fresh:
            self.follow_and_say(vm_id)

    @rule(vm_id=ids, how=st.sampled_from(["silent", "leaves", "back", "restarted", "rebooted"]))
    def comes_and_goes(self, vm_id: str, how: str) -> None:
        machine = self.machines[vm_id]
        if how == "leaves" and machine.linked:
            self.run(hosts.goodbye(self.world, vm_id, machine.epoch))
        if how == "rebooted":  # everything that ran there is gone, and nobody remembers it
            self.exited.update(session_id for session_id, _ in machine.runs)
            machine.runs.clear()
            machine.over.clear()
        machine.linked = False
        if how in ("back", "restarted", "rebooted"):
            self.run(machine.link(restarted=how != "back"))

    @precondition(lambda self: any(machine.runs for machine in self.machines.values()))
    @rule(which=st.integers(0, 100))
    def a_busy_host_is_lost(self, which: int) -> None:
        """For long enough that its sessions start afresh elsewhere, where they may."""
        busy = [machine for machine in self.machines.values() if machine.runs]
        busy[which % len(busy)].linked = False
        self.passes(30, attentive=True)

    @rule(seconds=st.sampled_from([1, 4, 10]), attentive=st.booleans())
    def time_passes(self, seconds: int, attentive: bool) -> None:
        self.passes(seconds, attentive=attentive)

    def passes(self, seconds: int, *, attentive: bool) -> None:
        """With attentive agents, which follow their plans meanwhile and report."""
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            for machine in self.machines.values():
                machine.age(self.now)
                if machine.linked and attentive:
                    self.follow_and_say(machine.vm_id)
            self.run(self.tick())
            self.nothing_runs_twice()

    async def tick(self) -> None:
        await hosts.beat(self.world, sorted(m.vm_id for m in self.machines.values() if m.linked))
        await watch.judge_hosts(self.world)
        await replacement.place_all(self.world)
        await queue.expire_queue(self.world)
        await watch.expire_unreachable(self.world)

    # What must hold.

    async def rows(self) -> tuple[dict[str, Session], dict[str, Vm], dict[str, Host]]:
        committed = self.world.store._committed  # type: ignore[attr-defined] - what a look past the store would see
        return dict(committed.get("sessions", {})), dict(committed["vms"]), dict(committed["hosts"])

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        assert audited(self.world) == []

    @invariant()
    def nothing_runs_twice(self) -> None:
        """I2, and I3 as the machine sees it."""
        where = Counter(session_id for machine in self.machines.values() for session_id, _ in machine.runs)
        assert [session_id for session_id, count in where.items() if count > 1] == []
        for machine in self.machines.values():
            ports = Counter(port for game in machine.runs.values() for port in game.ports)
            assert [port for port, count in ports.items() if count > 1] == []

    @invariant()
    def what_is_over_stays_as_it_was_and_had_a_cause(self) -> None:
        """I6, and nobody ends by itself."""
        for session_id, session in self.run(self.rows())[0].items():
            if session_id in self.ended:
                assert session == self.ended[session_id]
            elif session.finished:
                self.ended[session_id] = session
                assert self.caused(session), session

    def caused(self, session: Session) -> bool:
        match session.reason:
            case SessionReason.STOP_REQUESTED | SessionReason.CANCELLED:
                return session.id in self.asked_to_stop
            case SessionReason.QUEUE_DEADLINE:
                return session.queue_deadline_at is not None and self.now >= session.queue_deadline_at
            case SessionReason.HOST_LOST:
                return session.state is SessionState.LOST
            case SessionReason.LEASE_EXPIRED:
                return session.lease_s > 0
            case SessionReason.WRAPPER_LOST | SessionReason.PORT_TAKEN:
                return session.id in self.exited
            case _:
                return session.id in self.exited

    @invariant()
    def who_came_first_is_placed_first(self) -> None:
        """Of those who ask for the same."""
        sessions = sorted(self.run(self.rows())[0].values(), key=lambda one: (one.created_at, one.id))
        waiting: set[tuple[str, str]] = set()
        for session in sessions:
            if session.state is SessionState.PENDING:
                waiting.add((session.game_id, session.preset_id))
            elif session.vm_id and session.id not in self.bound:
                assert (session.game_id, session.preset_id) not in waiting, session
        self.bound |= {session.id for session in sessions if session.vm_id}


def died(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A batch that died with its process is waited for by nobody."""
    if not isinstance(context.get("exception"), Crash):
        loop.default_exception_handler(context)


pytestmark = pytest.mark.timeout(400)
TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
