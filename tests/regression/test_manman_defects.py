"""Defects read in ManManV2, and port faults of Wings and Nomad (facts of the peers, sections 3.7 and 5): none is ours.

Each test is named after its defect. What needs a container engine is tested with that runtime.
"""

from __future__ import annotations

import asyncio
import socket
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.adapters.bus.redelivery import MAX_TRIES, Backoff, attempt
from controlplane.domain.errors import Conflict, Exhausted
from controlplane.domain.game import MEDIA_PORT, PortSpec
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.reconcile import Report, Workload, WorkloadState
from controlplane.domain.session import SESSION_MACHINE, SessionReason, SessionState, SessionTrigger
from controlplane.interfaces import Delivery
from controlplane.usecases import creation, hosts, ports, queue, sessions, watch
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.ports import PortRequest
from controlplane.usecases.sessions import SessionView
from controlplane.usecases.world import World
from hostagent.netports import HostPort, PortTaken, Protocol, check
from hostagent.runtime import Order
from hostagent.runtime.container_spec import Confinement, ImageDefaults, game_container
from tests.contract.store.rows import a_deployment, a_game, a_host, a_vm, furnish
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
    await fleet.says(fleet.seen(W.RUNNING))
    async with fleet.world.store.tx() as tx:
        session = await tx.sessions.get(fleet.session_id)
        assert session is not None
        await tx.sessions.save(replace(session, lost_after_s=0.0, version=session.version + 1))
    await hosts.goodbye(fleet.world, "vm-1", 1)
    await hosts.beat(fleet.world, [])
    assert await watch.expire_unreachable(fleet.world) == 1
    assert (await fleet.view()).session.reason is SessionReason.HOST_LOST
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


QUERY = PortRequest("vm-1", "udp", "queries", 27015, "static")


async def roomy(fleet: Fleet) -> None:
    """Seats for all; and the game "static", whose sessions must have one port."""
    async with fleet.world.store.tx() as tx:
        vm = await tx.vms.lock("vm-1")
        assert vm is not None
        await tx.vms.save(replace(vm, capacity_units=120, version=vm.version + 1))
        await tx.catalogue.add_game(a_game("static"))
        await tx.catalogue.add_deployment(a_deployment("static", ports=(PortSpec("query", "udp", 27015, 27015),)))


async def start(fleet: Fleet, game_id: str, wait_s: float = 0.0) -> SessionView:
    request = SessionRequest(game_id, queue_timeout_s=wait_s)
    return await creation.create_session(fleet.world, OPERATOR, request, "r-4")


async def test_nomad_2402_2500_4285_ports_that_the_kernel_gives_to_connections_are_not_leased(fleet: Fleet) -> None:
    await roomy(fleet)
    async with fleet.world.store.tx() as tx:
        host = await tx.hosts.lock("vm-1")
        assert host is not None
        told = replace(host.inventory, ephemeral_ports=((28000, 28006), (27000, 27999)))
        await tx.hosts.save(replace(host, inventory=told, version=host.version + 1))
    view = await start(fleet, "orbit")
    assert {lease.host_port for lease in view.ports} <= {28007, 28008, 28009, 28010}
    with pytest.raises(Exhausted, match="ip_local_reserved_ports=27015"):
        await start(fleet, "static")


@pytest.mark.parametrize(("kind", "protocol"), [(socket.SOCK_STREAM, Protocol.TCP), (socket.SOCK_DGRAM, Protocol.UDP)])
def test_nomad_2402_2500_4285_a_port_of_a_connection_is_found_taken(
    kind: socket.SocketKind, protocol: Protocol
) -> None:
    with socket.socket(socket.AF_INET, kind) as server, socket.socket(socket.AF_INET, kind) as client:
        server.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            server.listen()
        client.connect(server.getsockname())
        number = client.getsockname()[1]
        with pytest.raises(PortTaken, match=str(number)):
            check([HostPort(protocol, number)])


async def test_nomad_18509_who_waits_for_a_port_holds_up_nobody_else(fleet: Fleet) -> None:
    await roomy(fleet)
    await start(fleet, "static")
    waiting = await start(fleet, "static", wait_s=600)
    assert "27015" in waiting.session.reason_detail
    assert (await start(fleet, "orbit")).session.state is S.STARTING
    assert await queue.place_queue(fleet.world) == 0
    assert (await sessions.get_session(fleet.world, OPERATOR, waiting.session.id)).session.state is S.PENDING


async def test_pterodactyl_748_a_port_is_kept_for_one_purpose(fleet: Fleet) -> None:
    await roomy(fleet)
    twice = (replace(QUERY, purpose=purpose) for purpose in ("queries", "backups"))
    calls = (ports.allocate_port(fleet.world, OPERATOR, request, "r") for request in twice)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [Conflict]


async def test_pterodactyl_4266_a_port_given_up_while_its_session_runs_stays_that_sessions(fleet: Fleet) -> None:
    await roomy(fleet)
    await ports.allocate_port(fleet.world, OPERATOR, QUERY, "r")
    holder = await start(fleet, "static")
    assert ("udp", 27015) in {(lease.protocol, lease.host_port) for lease in holder.ports}
    await ports.release_port(fleet.world, OPERATOR, "vm-1", "udp", 27015, "r")
    with pytest.raises(Exhausted, match="27015"):
        await start(fleet, "static")
    with pytest.raises(Conflict):
        await ports.allocate_port(fleet.world, OPERATOR, QUERY, "r")
    shown = await sessions.get_session(fleet.world, OPERATOR, holder.session.id)
    assert ("udp", 27015) in {(lease.protocol, lease.host_port) for lease in shown.ports}


async def test_pterodactyl_5378_a_port_that_a_stranger_holds_is_not_tried_again(fleet: Fleet) -> None:
    before = {(lease.protocol, lease.host_port) for lease in (await fleet.view()).ports}
    taken = await fleet.says(fleet.seen(W.EXITED, reason=SessionReason.PORT_TAKEN))
    assert (taken.session.state, taken.session.generation) == (S.STARTING, 2)
    assert before.isdisjoint({(lease.protocol, lease.host_port) for lease in taken.ports})
    assert await fleet.taken() >= before
