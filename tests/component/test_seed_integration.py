"""The five integration tests that seed 004 names, on real NATS and PostgreSQL: API, processor and an agent's link run
as they do in production, and what is proven is read with SQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import nats
import psycopg
import pytest
from quarterdeck.v1 import agent_pb2, games_pb2, sessions_pb2, vms_pb2

from controlplane.adapters.bus import codec
from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.adapters.store import open_store
from controlplane.domain.host import HOST_MACHINE
from controlplane.domain.session import SESSION_MACHINE, SessionState, SessionTrigger
from controlplane.domain.silence import Silence
from controlplane.processor import service
from controlplane.usecases.world import Policy
from tests.component.api.agents import Agent, exited_status, linked, running_status
from tests.component.api.plane import Caller, Plane, calling, create_session, make_game, make_host, plane
from tests.component.api.refusals import refused
from tests.contract.store.conftest import migrated_postgres, postgres_store_url  # noqa: F401 - fixtures

PATIENCE_S = 60.0


class Database:
    """PostgreSQL as its own client sees it."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)

    async def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            return await (await connection.execute(statement, values)).fetchall()  # type: ignore[arg-type]

    async def until(self, wanted: list[tuple[Any, ...]], statement: str, *values: Any) -> None:
        found: list[tuple[Any, ...]] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (found := await self.rows(statement, *values)) != wanted:
                    await asyncio.sleep(0.1)
        except TimeoutError:
            pytest.fail(f"{statement}: wanted {wanted}, found {found}")


@pytest.fixture
def database(postgres_store_url: str) -> Database:  # noqa: F811
    return Database(postgres_store_url)


@pytest.fixture
def silence() -> Silence:
    """Agents that follow a script send no heartbeats of themselves: only where silence is the matter is it judged."""
    return Silence(stale_after_s=600, lost_after_s=900)


@pytest.fixture
async def house(postgres_store_url, own_nats_server, tmp_path, silence) -> AsyncIterator[Plane]:  # noqa: F811
    store = open_store(postgres_store_url)
    async with JetStreamBus([own_nats_server.url]) as bus:
        await bus.wait_connected(20)
        async with (
            plane(store, bus, tmp_path / "keys", policy=Policy(silence=silence)) as running,
            service.running(running.world, codec.decode_report, codec.decode_event),
        ):
            yield running
    await store.close()


@pytest.fixture
async def operator(house: Plane) -> AsyncIterator[Caller]:
    async with calling(house, house.operator) as caller:
        yield caller


async def planned(agent: Agent) -> agent_pb2.PlannedSession:
    await agent.until(lambda: bool(agent.plans and agent.plans[-1].sessions))
    return agent.plans[-1].sessions[0]


async def test_create_server_deploy_config_start_session_verify_database(house, operator, database):
    key = await make_host(house, operator, "vm-1")
    await make_game(operator)
    second = games_pb2.Deployment(command=["demo-game", "--hard"], picture=games_pb2.PICTURE_FRAMES)
    await operator.games.CreateDeployment(games_pb2.CreateDeploymentRequest(parent="games/demo", deployment=second))
    async with linked(house, key) as agent:
        session = await create_session(operator)
        session_id = session.name.removeprefix("sessions/")
        plan = await planned(agent)
        assert plan.session_id == session_id
        await agent.report(running_status(plan))
        await database.until(
            [("RUNNING", "vm-1", 2, 1)],
            "SELECT state, vm_id, deployment_number, generation FROM sessions WHERE id = %s",
            session_id,
        )
        ((used, state),) = await database.rows("SELECT used_units, state FROM vms WHERE id = 'vm-1'")
        ((units,),) = await database.rows("SELECT units FROM sessions WHERE id = %s", session_id)
        assert (used, state) == (units, "IN_USE")
        leases = await database.rows("SELECT session_id, free_at FROM port_leases WHERE vm_id = 'vm-1'")
        assert leases == [(session_id, None)]
        await operator.sessions.StopSession(sessions_pb2.StopSessionRequest(name=session.name))
        await agent.until(lambda: agent.plans[-1].sessions[0].want == agent_pb2.PlannedSession.WANT_STOP)
        await agent.report(exited_status(agent.plans[-1].sessions[0]))
        await database.until(
            [("STOPPED", "STOP_REQUESTED", True)],
            "SELECT state, reason, ended_at IS NOT NULL FROM sessions WHERE id = %s",
            session_id,
        )
        assert await database.rows("SELECT used_units FROM vms WHERE id = 'vm-1'") == [(0,)]
    audited = [action for (action,) in await database.rows("SELECT action FROM audit ORDER BY sequence")]
    for action in ("CreateVm", "CreateGame", "CreateDeployment", "CreateSession", "StopSession"):
        assert action in audited


async def test_what_the_host_publishes_the_processor_writes_to_the_database(house, operator, database):
    key = await make_host(house, operator, "vm-1")
    await make_game(operator)
    async with linked(house, key) as agent:
        session = await create_session(operator)
        plan = await planned(agent)
        for _ in range(3):
            await agent.report(running_status(plan))
        await database.until(
            [(1, 3, 1, "ONLINE", True)],
            "SELECT epoch, report_sequence, workloads, state, last_heartbeat_at IS NOT NULL FROM hosts",
        )
        await database.until(
            [("RUNNING",)], "SELECT state FROM sessions WHERE id = %s", session.name.removeprefix("sessions/")
        )
        # Each change has its event, and each event went out.
        await database.until(
            [("quarterdeck.session.starting",), ("quarterdeck.session.running",)],
            "SELECT type FROM outbox WHERE subject = %s AND published_at IS NOT NULL"
            " AND type IN ('quarterdeck.session.starting', 'quarterdeck.session.running') ORDER BY id",
            session.name,
        )
        assert await database.rows("SELECT * FROM dead_letters") == []


@pytest.mark.parametrize("silence", [Silence()])
async def test_a_silent_host_is_stale_after_ten_seconds_and_recovers(house, operator, database):
    key = await make_host(house, operator, "vm-1")
    await make_game(operator)
    async with linked(house, key) as agent:
        session = await create_session(operator)
        await agent.report(running_status(await planned(agent)))
        unreachable = "SELECT state, unreachable_at IS NOT NULL FROM sessions"
        await database.until([("RUNNING", False)], unreachable)
        await database.until([("STALE",)], "SELECT state FROM hosts")
        ((silent_s,),) = await database.rows(
            "SELECT extract(epoch FROM state_since - last_heartbeat_at)::float FROM hosts"
        )
        assert silent_s >= 10.0
        await database.until([("RUNNING", True)], unreachable)  # the game plays on
        waiting = sessions_pb2.CreateSessionRequest(game="games/demo")
        waiting.queue_timeout.FromSeconds(0)
        refusal = await refused(operator.sessions.CreateSession(waiting))
        assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await agent.send(heartbeat=agent_pb2.Heartbeat())
        await database.until([("ONLINE",)], "SELECT state FROM hosts")
        await database.until([("RUNNING", False)], unreachable)
    assert session.name


async def test_what_no_transition_allows_is_refused_and_changes_no_row(house, operator, database):
    key = await make_host(house, operator, "vm-1")
    await make_game(operator)
    async with linked(house, key) as agent:
        session = await create_session(operator)
        plan = await planned(agent)
        await agent.report(running_status(plan))
        await database.until([("RUNNING",)], "SELECT state FROM sessions")
        refusal = await refused(operator.vms.TerminateVm(vms_pb2.TerminateVmRequest(name="vms/vm-1")))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "VM_BUSY")
        done = exited_status(plan)
        done.reason = sessions_pb2.SESSION_REASON_GAME_EXITED
        await agent.report(done)
        await database.until([("COMPLETED",)], "SELECT state FROM sessions")
        before = await database.rows("SELECT * FROM sessions")
        told = await database.rows("SELECT count(*) FROM outbox WHERE subject = %s", session.name)
        # A host that says that the finished session runs.
        accepted = await agent.report(running_status(plan))
        await database.until([(accepted,)], "SELECT report_sequence FROM hosts")
        await operator.sessions.StopSession(sessions_pb2.StopSessionRequest(name=session.name))
        assert await database.rows("SELECT * FROM sessions") == before
        assert await database.rows("SELECT count(*) FROM outbox WHERE subject = %s", session.name) == told
    for state in SESSION_MACHINE.final:
        assert not [trigger for trigger in SessionTrigger if SESSION_MACHINE.allows(state, trigger)]
    assert not SESSION_MACHINE.allows(SessionState.PENDING, SessionTrigger.PLAYABLE)
    assert not HOST_MACHINE.final


async def test_an_external_subscriber_is_told_in_the_seed_s_words(house, operator, own_nats_server):
    client = await nats.connect(own_nats_server.url)
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def hear(message: Any) -> None:
        await heard.put({**json.loads(message.data), "on": message.subject})

    async def until(word: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while (event := await heard.get())["type"] != f"quarterdeck.{word}":
                pass
        return event

    await client.subscribe("quarterdeck.ext.>", cb=hear)
    await client.flush()
    key = await make_host(house, operator, "vm-1")
    await make_game(operator)
    async with linked(house, key) as agent:
        online = await until("host.online")
        assert (online["on"], online["subject"]) == ("quarterdeck.ext.default.host.online", "hosts/vm-1")
        session = await create_session(operator)
        plan = await planned(agent)
        await agent.report(running_status(plan))
        running = await until("session.running")
        assert running["subject"] == session.name
        assert running["data"]["game"] == "games/demo"
        crash = exited_status(plan)
        crash.exit_code = 3
        crash.reason = sessions_pb2.SESSION_REASON_GAME_CRASHED
        await agent.report(crash)
        crashed = await until("session.crashed")
        assert crashed["data"]["reason"] == "GAME_CRASHED"
        second = await create_session(operator)
        await agent.until(lambda: second.name in [f"sessions/{p.session_id}" for p in agent.plans[-1].sessions])
        await operator.sessions.StopSession(sessions_pb2.StopSessionRequest(name=second.name))
        await agent.report(exited_status(agent.plans[-1].sessions[-1]))
        assert (await until("session.stopped"))["subject"] == second.name
        await agent.send(goodbye=agent_pb2.Goodbye())
        assert (await until("host.offline"))["data"]["state"] == "OFFLINE"
    await client.close()
