"""Defects read in ManManV2, and port faults of Wings and Nomad (facts of the peers, sections 3.7 and 5): none is ours.

Each test is named after its defect. What needs a container engine is tested with that runtime.
"""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.adapters.bus.redelivery import MAX_TRIES, Backoff, attempt
from controlplane.domain.game import MEDIA_PORT
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.reconcile import Report, Workload, WorkloadState
from controlplane.domain.session import SESSION_MACHINE, SessionReason, SessionState, SessionTrigger
from controlplane.interfaces import Delivery
from controlplane.usecases import creation, hosts, sessions
from controlplane.usecases.allocation import settle
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.sessions import SessionView
from controlplane.usecases.world import World
from hostagent.runtime import Order
from hostagent.runtime.container_spec import Confinement, ImageDefaults, game_container
from tests.contract.store.rows import a_host, a_vm, furnish
from wrapper.gamefiles import write_files

OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
S, W = SessionState, WorkloadState


class Fleet:
    """One host, one session on it, and what its agent says."""

    def __init__(self, world: World, session_id: str) -> None:
        self.world = world
        self.session_id = session_id
        self.sequence = 0

    async def view(self) -> SessionView:
        return await sessions.get_session(self.world, OPERATOR, self.session_id)

    async def says(self, *workloads: Workload) -> SessionView:
        self.sequence += 1
        plan = await hosts.plan_of(self.world, "vm-1")
        assert await hosts.accept_report(self.world, "vm-1", Report(1, self.sequence, plan.version, workloads))
        return await self.view()

    def seen(self, state: WorkloadState, **fields: object) -> Workload:
        return replace(Workload(self.session_id, 1, state), **fields)  # type: ignore[arg-type]

    async def taken(self, later_s: float = 0.0) -> set[tuple[str, int]]:
        async with self.world.store.reading() as tx:
            now = await tx.now() + timedelta(seconds=later_s)
            return {(kind, port) for kind in ("tcp", "udp") for port in await tx.ports.taken("vm-1", kind, now)}


@pytest.fixture
async def fleet(world: World) -> Fleet:
    await furnish(world.store, a_vm(terminate_requested_at=None))
    async with world.store.tx() as tx:
        await tx.hosts.add(a_host(epoch=1, report_sequence=0))
    view = await creation.create_session(world, OPERATOR, SessionRequest("orbit"), "r-1")
    return Fleet(world, view.session.id)


async def test_1_a_long_pull_is_no_lost_session(fleet: Fleet) -> None:
    for age_s in (31.0, 600.0):
        assert (await fleet.says(fleet.seen(W.STARTING, age_s=age_s))).session.state is S.STARTING
    assert (await fleet.says(fleet.seen(W.RUNNING, age_s=601.0))).session.state is S.RUNNING


async def test_2_a_lost_session_frees_its_ports(fleet: Fleet) -> None:
    async with fleet.world.store.tx() as tx:
        await tx.vms.lock("vm-1")
        session = await tx.sessions.get(fleet.session_id)
        assert session is not None
        now = await tx.now()
        lost, events = session.on(SessionTrigger.HOST_GONE, now, SessionReason.HOST_LOST)
        await settle(tx, lost, events, now, fleet.world.policy, confirmed=False)
    assert (await fleet.view()).ports == ()
    rest_s = fleet.world.policy.lost_port_quarantine_s
    # Its game may still run over there: the ports rest longer than after a confirmed exit, but not for ever.
    assert rest_s > fleet.world.policy.port_quarantine_s
    assert len(await fleet.taken(rest_s - 60)) == 3
    assert await fleet.taken(rest_s + 60) == set()


async def test_3_an_absent_hosts_sessions_are_known_as_such_and_reconciled(fleet: Fleet) -> None:
    await fleet.says(fleet.seen(W.RUNNING))
    await hosts.goodbye(fleet.world, "vm-1", 1)
    assert (await fleet.view()).session.unreachable_at is not None
    back = await fleet.says(fleet.seen(W.RUNNING))
    assert (back.session.state, back.session.unreachable_at) == (S.RUNNING, None)
    # A report names its sessions: one that is no longer among them is over, and gives everything back.
    gone = await fleet.says()
    assert (gone.session.state, gone.session.reason) == (S.CRASHED, SessionReason.WRAPPER_LOST)
    assert gone.ports == ()


async def test_4_a_game_that_ended_while_the_agent_was_away_is_told(fleet: Fleet) -> None:
    await fleet.says(fleet.seen(W.RUNNING))
    await hosts.goodbye(fleet.world, "vm-1", 1)
    ended = await fleet.says(fleet.seen(W.EXITED, reason=SessionReason.GAME_CRASHED, exit_code=139))
    assert (ended.session.state, ended.session.exit_code) == (S.CRASHED, 139)


async def test_5_a_stop_after_the_end_changes_nothing(fleet: Fleet) -> None:
    await fleet.says(fleet.seen(W.RUNNING))
    ended = await fleet.says(fleet.seen(W.EXITED, reason=SessionReason.GAME_EXITED, exit_code=0))
    stopped = await sessions.stop_session(fleet.world, OPERATOR, fleet.session_id, "r-2")
    assert stopped.session == ended.session


async def test_5_an_end_after_the_stop_is_a_stop(fleet: Fleet) -> None:
    await fleet.says(fleet.seen(W.RUNNING))
    await sessions.stop_session(fleet.world, OPERATOR, fleet.session_id, "r-2")
    ended = await fleet.says(fleet.seen(W.EXITED, reason=SessionReason.GAME_CRASHED, exit_code=-15))
    assert (ended.session.state, ended.session.reason) == (S.STOPPED, SessionReason.STOP_REQUESTED)


async def test_6_a_stop_that_takes_too_long_keeps_its_ports_until_the_exit(fleet: Fleet) -> None:
    held = {(lease.protocol, lease.host_port) for lease in (await fleet.says(fleet.seen(W.RUNNING))).ports}
    await sessions.stop_session(fleet.world, OPERATOR, fleet.session_id, "r-2")
    stopping = await fleet.says(fleet.seen(W.STOPPING, age_s=86400.0))
    assert {(lease.protocol, lease.host_port) for lease in stopping.ports} == held
    assert await fleet.taken(later_s=10 * 86400) == held
    await fleet.says(fleet.seen(W.EXITED, reason=SessionReason.STOP_REQUESTED))
    assert await fleet.taken() == held
    assert await fleet.taken(fleet.world.policy.port_quarantine_s + 1) == set()


def test_7_every_state_on_a_host_can_end_as_stopped() -> None:
    for state in (S.STARTING, S.RUNNING, S.STOPPING):
        assert SESSION_MACHINE.next(state, SessionTrigger.STOPPED) is S.STOPPED


async def test_8_every_port_query_runs_on_the_migrated_schema(fleet: Fleet) -> None:
    async with fleet.world.store.tx() as tx:
        now = await tx.now()
        leases = await tx.ports.of_session(fleet.session_id)
        assert {lease.port_name for lease in leases} >= {MEDIA_PORT}
        assert await tx.ports.of_sessions([fleet.session_id]) == {fleet.session_id: leases}
        for lease in leases:
            await tx.ports.lease(lease, now)
            assert lease.host_port in await tx.ports.taken("vm-1", lease.protocol, now)
        await tx.ports.release([fleet.session_id], now)
        assert await tx.ports.taken("vm-1", "udp", now) == frozenset()


async def test_9_a_start_that_nobody_hears_of_is_in_the_plan(fleet: Fleet) -> None:
    # Nobody has read a message of this world's bus: the plan comes from the rows.
    (entry,) = (await hosts.plan_of(fleet.world, "vm-1")).entries
    assert (entry.session.id, entry.want_run) == (fleet.session_id, True)


async def test_10_a_clean_exit_is_completed(fleet: Fleet) -> None:
    await fleet.says(fleet.seen(W.RUNNING))
    ended = await fleet.says(fleet.seen(W.EXITED, reason=SessionReason.GAME_EXITED, exit_code=0))
    assert (ended.session.state, ended.session.exit_code) == (S.COMPLETED, 0)


def test_11_a_games_files_are_its_own(tmp_path: Path) -> None:
    write_files(tmp_path, {"data/server.cfg": b"x"})
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data/server.cfg").stat().st_mode) == 0o600


def test_11_a_games_processors_memory_and_processes_are_bounded_though_nobody_says_so() -> None:
    order = Order(Path("/sessions/game-1.1"), image="game:1", command=("serve",))
    host = Confinement("network", "1:1", ("wrapper",))
    game = game_container(order, ImageDefaults(), "1:1", Path("/sessions"), "w", Path("/launcher"), host)["HostConfig"]
    assert game["NanoCpus"] > 0
    assert game["Memory"] > 0
    assert game["PidsLimit"] > 0


async def test_12_an_error_that_never_passes_ends_as_a_dead_letter() -> None:
    buried: list[str] = []

    async def handler(delivery: Delivery) -> None:
        raise ConnectionError("away")

    async def bury(delivery: Delivery, error: Exception) -> None:
        buried.append(repr(error))

    outcomes = [
        await attempt(Delivery("m-1", "s", b"", number), handler, bury, Backoff()) for number in range(1, MAX_TRIES + 1)
    ]
    assert None not in outcomes[:-1]
    assert outcomes[-1] is None
    assert len(buried) == 1


async def test_nomad_24904_a_stopping_sessions_ports_are_not_given_to_the_next(fleet: Fleet) -> None:
    first = await fleet.view()
    await sessions.stop_session(fleet.world, OPERATOR, fleet.session_id, "r-2")
    second = await creation.create_session(fleet.world, OPERATOR, SessionRequest("orbit"), "r-3")
    assert second.session.state is S.STARTING
    ports = [{(lease.protocol, lease.host_port) for lease in view.ports} for view in (first, second)]
    assert ports[0].isdisjoint(ports[1])


async def test_wings_748_an_ended_sessions_ports_rest_before_they_are_given_again(fleet: Fleet) -> None:
    held = {(lease.protocol, lease.host_port) for lease in (await fleet.view()).ports}
    await fleet.says(fleet.seen(W.EXITED, reason=SessionReason.GAME_EXITED, exit_code=0))
    again = await creation.create_session(fleet.world, OPERATOR, SessionRequest("orbit"), "r-3")
    assert held.isdisjoint({(lease.protocol, lease.host_port) for lease in again.ports})
