"""Fifty clients want more sessions than a fleet has slots, over three API replicas on PostgreSQL.

The agents are simulated, but speak the real link over mTLS, and the control plane is the real one, in four processes.
QUARTERDECK_SCALE="hosts slots waiting": by default "50 80 1000", 4,000 slots and 1,000 in line, as many as may be."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf.duration_pb2 import Duration
from quarterdeck.v1 import sessions_pb2, sessions_pb2_grpc, vms_pb2

from controlplane.adapters.ca import FileCertificateAuthority
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store import open_store, schema
from controlplane.adapters.store.audit import violations
from controlplane.domain.session import SESSION_MACHINE
from controlplane.usecases import accounts
from controlplane.usecases.world import World
from tests.component.api.plane import Caller, make_game
from tests.component.api.refusals import refused
from tests.component.swarm import Door, Swarm, swarming
from tests.conftest import NatsServer
from tests.ports import free_port

REPLICAS, CLIENTS = 3, 50
HOSTS, SLOTS, WAITING = map(int, os.environ.get("QUARTERDECK_SCALE", "50 80 1000").split())
GRANTS = HOSTS * SLOTS
# One request in so many is sent a second time meanwhile, with the same token and to another replica.
TWICE_EACH = 50
# Busy machines are slow, and no worse than that: only a standstill fails.
CALL_S = 280.0
SETTLED_S = float(os.environ.get("QUARTERDECK_SCALE_S", "900"))

pytestmark = [pytest.mark.alone, pytest.mark.timeout(2400)]

Spawn = Callable[..., subprocess.Popen[bytes]]


@dataclass(frozen=True)
class Plant:
    doors: Sequence[Door]
    ca_pem: str
    token: str
    database: str

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


async def answers(target: str) -> None:
    async with grpc.aio.insecure_channel(target) as channel, asyncio.timeout(150):
        await channel.channel_ready()


@pytest.fixture
async def plant(postgres_url: str, own_nats_server: NatsServer, tmp_path: Path, spawn: Spawn) -> Plant:
    """Three API replicas and a processor, as processes."""
    await asyncio.to_thread(schema.migrate, postgres_url)
    store = open_store(postgres_url)
    world = World(store, None, RandomIds(), None, None, None)  # type: ignore[arg-type] - making a token takes the store and ids
    doors = []
    data = tmp_path / "data"
    ca_pem = FileCertificateAuthority(data / "ca", 3600).ca_pem
    for number in range(REPLICAS):
        api, link, enrolment = (free_port() for _ in range(3))
        start(spawn, "api", data, postgres_url, own_nats_server.url, number, (api, link, enrolment))
        doors.append(Door(*(f"127.0.0.1:{port}" for port in (api, link, enrolment))))
    start(
        spawn, "processor", data, postgres_url, own_nats_server.url, REPLICAS, (free_port(), free_port(), free_port())
    )
    secret = "operator-" + "s" * 40
    await accounts.ensure_operator(world.store, world.ids, secret)
    await store.close()
    await asyncio.gather(*(answers(door.api) for door in doors))
    return Plant(doors, ca_pem, secret, postgres_url.replace("+psycopg", ""))


def start(spawn: Spawn, role: str, data: Path, database: str, nats: str, number: int, ports: tuple[int, ...]) -> None:
    settings = {
        "DATA_DIR": str(data),
        "DATABASE_URL": database,
        "NATS_URL": nats,
        "REPLICA_ID": f"{role}-{number}",
        "GRPC_PORT": str(ports[0]),
        "LINK_PORT": str(ports[1]),
        "ENROLMENT_PORT": str(ports[2]),
        "HTTP_PORT": str(free_port()),
        "QUEUE_MAX_PER_SUBJECT": str(WAITING),
        # The hosts' beats and fifty clients share one process, whose silence is not what is tested here.
        "STALE_AFTER_S": "300",
        "LOST_AFTER_S": "600",
    }
    environment = os.environ | {f"QUARTERDECK_{name}": value for name, value in settings.items()}
    spawn([sys.executable, "-m", "controlplane", role], env=environment)


@asynccontextmanager
async def callers(plant: Plant) -> AsyncIterator[list[Caller]]:
    """One for each replica. They carry no interceptor: the token is given to each call."""
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(door.api)) for door in plant.doors]
        yield [Caller(Bearer(channel, plant.token)) for channel in channels]  # type: ignore[arg-type]


class Bearer:
    """A channel whose calls carry a token: cheaper than an interceptor, at thousands of calls."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {token}"),)

    def unary_unary(self, *args: Any, **options: Any) -> Any:
        call = self._channel.unary_unary(*args, **options)
        return lambda request, **more: call(request, metadata=self._metadata, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


async def join_tokens(caller: Caller) -> dict[str, str]:
    tokens = {}
    for number in range(HOSTS):
        name = f"sim-{number:03}"
        await caller.vms.CreateVm(vms_pb2.CreateVmRequest(vm_id=name, region="local", client_token=f"make-{name}"))
        tokens[name] = (await caller.vms.CreateJoinToken(vms_pb2.CreateJoinTokenRequest(name=f"vms/{name}"))).token
    return tokens


async def play(clients: Sequence[Caller], client: int, count: int) -> list[sessions_pb2.Session]:
    """What one client gets, asking for one session after another of whichever replica is next."""
    got = []
    for number in range(count):
        request = sessions_pb2.CreateSessionRequest(
            game="games/demo", client_token=f"c{client}-{number}", queue_timeout=Duration(seconds=3600)
        )
        stubs: list[sessions_pb2_grpc.SessionServiceStub] = [
            clients[(client + number + again) % REPLICAS].sessions for again in range(2)
        ]
        twice = (client + number) % TWICE_EACH == 0
        calls = [stub.CreateSession(request, timeout=CALL_S) for stub in stubs[: 1 + twice]]
        given = await asyncio.gather(*calls)
        assert len({session.name for session in given}) == 1, "one token gave two sessions (I20)"
        got.append(given[0])
    return got


async def test_every_slot_is_granted_once_and_the_rest_are_served_in_order(plant: Plant) -> None:
    async with callers(plant) as clients:
        await make_game(clients[0])
        async with swarming(plant.doors, plant.ca_pem, await join_tokens(clients[0]), SLOTS) as swarm:
            began = time.perf_counter()
            each = (GRANTS + WAITING) // CLIENTS
            got = [
                s for client in await asyncio.gather(*(play(clients, c, each) for c in range(CLIENTS))) for s in client
            ]
            took_s = time.perf_counter() - began
            print(f"{len(got)} sessions asked for by {CLIENTS} clients in {took_s:.1f} s: {len(got) / took_s:.0f}/s")

            assert len({session.name for session in got}) == GRANTS + WAITING
            granted = [session for session in got if session.vm]
            assert len(granted) == GRANTS
            queued = [session for session in got if not session.vm]
            assert {session.state for session in queued} == {sessions_pb2.SESSION_STATE_PENDING}
            assert await refusal(clients[1]) == "QUEUE_FULL"
            assert [await position(clients[0], plant, end) for end in ("ASC", "DESC")] == [1, WAITING]
            await swarm.until(lambda: swarm.settled(GRANTS), SETTLED_S)
            audit(plant, {"RUNNING": GRANTS, "PENDING": WAITING})

            await asyncio.gather(*(host.end_games(WAITING // HOSTS) for host in swarm.hosts))
            await swarm.until(lambda: swarm.settled(GRANTS + WAITING), SETTLED_S)
            audit(plant, {"RUNNING": GRANTS, "COMPLETED": WAITING})
            served_in_order(plant, {session.name.partition("/")[2] for session in queued})
            seen_by_hosts(swarm)


async def refusal(caller: Caller) -> str:
    """Of one more who would wait (I18)."""
    request = sessions_pb2.CreateSessionRequest(game="games/demo", queue_timeout=Duration(seconds=3600))
    return (await refused(caller.sessions.CreateSession(request, timeout=CALL_S))).reason


async def position(caller: Caller, plant: Plant, order: str) -> int:
    """Of the first (ASC) or the last (DESC) that waits."""
    query = f"SELECT id FROM sessions WHERE state = 'PENDING' ORDER BY created_at {order}, id {order} LIMIT 1"
    request = sessions_pb2.GetSessionRequest(name=f"sessions/{plant.rows(query)[0][0]}")
    session: sessions_pb2.Session = await caller.sessions.GetSession(request, timeout=CALL_S)
    return session.queue_position


def audit(plant: Plant, expected: dict[str, int]) -> None:
    """The invariants, asked of the database itself: by `quarterdeck audit`, and what is to be seen here beyond it."""
    assert violations(plant.database) == []
    assert dict(plant.rows("SELECT state, count(*) FROM sessions GROUP BY state")) == expected
    busy = "FROM sessions WHERE state IN ('STARTING', 'RUNNING', 'STOPPING')"
    over = plant.rows(
        f"SELECT v.id, v.used_units, v.capacity_units, v.active_sessions, s.units, s.sessions FROM vms v "
        f"LEFT JOIN (SELECT vm_id, sum(units) units, count(*) sessions {busy} GROUP BY vm_id) s ON s.vm_id = v.id "
        f"WHERE v.used_units <> coalesce(s.units, 0) OR v.active_sessions <> coalesce(s.sessions, 0) "
        f"OR v.used_units > v.capacity_units"
    )
    assert over == [], "I1: a VM's sessions and its count differ, or are more than it holds"
    full = plant.rows("SELECT count(*), sum(capacity_units - used_units) FROM vms WHERE state = 'IN_USE'")
    assert full == [(HOSTS, 0)]
    leases = "FROM port_leases WHERE free_at IS NULL"
    assert plant.rows(f"SELECT count(*), count(DISTINCT session_id) {leases}") == [(GRANTS, GRANTS)]
    assert plant.rows(f"SELECT session_id, vm_id {leases} EXCEPT SELECT id, vm_id {busy}") == [], (
        "I3: a port is leased for a session that does not run there"
    )
    steps = plant.rows(
        "SELECT DISTINCT data->>'previous', data->>'state' FROM outbox "
        "WHERE type LIKE 'quarterdeck.session.%' AND data->>'previous' <> ''"
    )
    known = {(str(before), str(after)) for (before, _), after in SESSION_MACHINE.table.items()}
    assert steps
    assert set(steps) <= known, "I6"


def served_in_order(plant: Plant, queued: set[str]) -> None:
    """Who came first was placed no later than who came after."""
    line = [
        (allocated_at, session_id)
        for session_id, allocated_at in plant.rows(
            "SELECT id, (stages->>'allocated_at')::timestamptz FROM sessions ORDER BY created_at, id"
        )
        if session_id in queued
    ]
    assert len(line) == WAITING
    moments = [allocated_at for allocated_at, _ in line]
    assert moments == sorted(moments)
    assert len(set(moments)) > 1, "all at one moment would show no order"


def seen_by_hosts(swarm: Swarm) -> None:
    """The same from the other side of the link."""
    assert set(swarm.told.values()) == {1}, "I2: a session was planned on two hosts"
    assert max(host.most for host in swarm.hosts) <= SLOTS
