"""The processor as a whole, on real databases and a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
from google.protobuf.duration_pb2 import Duration
from quarterdeck.v1 import agent_pb2, wrapper_pb2

from controlplane import monitoring
from controlplane.adapters.bus import codec
from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.domain import subjects
from controlplane.domain.host import HostState, HostTrigger
from controlplane.domain.session import SessionState
from controlplane.domain.vm import VmState
from controlplane.interfaces import Store
from controlplane.processor import service
from controlplane.usecases import upkeep
from controlplane.usecases.world import World
from tests.component.processor.worlds import world_on
from tests.contract.store.rows import a_host, a_session, a_vm, furnish

PATIENCE_S = 30
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def world(store: Store, bus: JetStreamBus, tmp_path: Path) -> World:
    return world_on(store, tmp_path, bus=bus)


@pytest.fixture
async def processor(world: World) -> AsyncIterator[service.Processor]:
    async with service.running(world, codec.decode_report, codec.decode_event) as processor:
        yield processor


async def add_host(store: Store, **fields: object) -> None:
    """furnish() gives vm-1 and what it stands on."""
    await furnish(store)
    async with store.tx() as tx:
        fresh = {"epoch": 1, "report_sequence": 0, "observed_plan_version": 0, "last_heartbeat_at": LONG_AGO}
        await tx.hosts.add(a_host(**{**fresh, **fields}))


def report(sequence: int, *workloads: wrapper_pb2.WorkloadStatus, epoch: int = 1) -> bytes:
    message = agent_pb2.Report(epoch=epoch, sequence=sequence, observed_plan_version=1, workloads=workloads)
    return message.SerializeToString()


async def test_a_report_is_accepted_once_and_the_link_is_told(world, store, processor):
    await add_host(store)
    async with store.tx() as tx:
        await tx.sessions.add(a_session(vm_id="vm-1", units=12, state=SessionState.STARTING))
    running = wrapper_pb2.WorkloadStatus(
        session_id="s-1", generation=1, state=wrapper_pb2.WORKLOAD_STATE_RUNNING, age=Duration(seconds=3)
    )
    async with world.bus.subscribe(subjects.accepted("vm-1")) as told:
        for message_id in ("first", "again"):
            await world.bus.publish(subjects.report("vm-1"), report(7, running), message_id)
            async with asyncio.timeout(PATIENCE_S):
                assert await anext(told) == (subjects.accepted("vm-1"), b"1:7")
    async with store.reading() as tx:
        host, session = await tx.hosts.get("vm-1"), await tx.sessions.get("s-1")
        backlog = await tx.figures.backlog()
    assert host is not None
    assert (host.report_sequence, host.workloads) == (7, 1)
    assert session is not None
    assert session.state is SessionState.RUNNING
    assert backlog.events <= 1


async def test_what_a_report_changed_is_told_on_the_bus(world, store, processor):
    await add_host(store)
    async with store.tx() as tx:
        await tx.sessions.add(a_session(vm_id="vm-1", units=12, state=SessionState.STARTING))
    running = wrapper_pb2.WorkloadStatus(session_id="s-1", generation=1, state=wrapper_pb2.WORKLOAD_STATE_RUNNING)
    token = await world.bus.resume_token()
    await world.bus.publish(subjects.report("vm-1"), report(1, running), "1")
    async with asyncio.timeout(PATIENCE_S), aclosing(world.bus.events("default", token)) as events:
        event, _ = await anext(events)
    assert (event.draft.type, event.draft.subject) == ("quarterdeck.session.running", "sessions/s-1")


async def test_a_report_that_nobody_can_read_becomes_a_dead_letter_and_the_next_is_accepted(world, store, processor):
    await add_host(store)
    registry = processor.metrics.registry
    async with world.bus.subscribe(subjects.accepted("vm-1")) as told:
        await world.bus.publish(subjects.report("vm-1"), b"\xff\xff", "unreadable")
        await world.bus.publish(subjects.report("vm-1"), report(1), "readable")
        async with asyncio.timeout(PATIENCE_S):
            assert (await anext(told))[1] == b"1:1"
            while not registry.get_sample_value("quarterdeck_dead_letters_total", {"consumer": "reports"}):
                await asyncio.sleep(0.02)


async def test_heartbeats_move_hosts_forward_and_bring_the_stale_back(world, store, processor):
    await add_host(store)
    async with store.tx() as tx:
        host = await tx.hosts.lock("vm-1")
        assert host is not None
        stale, _ = host.on(HostTrigger.SILENT, await tx.now())
        await tx.hosts.save(stale)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await world.bus.hint(subjects.BEATS, b"vm-1\nvm-unknown\n../not an id")
            async with store.reading() as tx:
                host = await tx.hosts.get("vm-1")
            if host is not None and host.state is HostState.ONLINE:
                break
            await asyncio.sleep(0.05)
    assert host.last_heartbeat_at is not None
    assert host.last_heartbeat_at > LONG_AGO


async def test_an_empty_batch_shows_that_the_feed_flows(world, store, processor):
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await world.bus.hint(subjects.BEATS, b"")
            async with store.reading() as tx:
                if (await tx.feed.get()).last_batch_at is not None:
                    break
            await asyncio.sleep(0.05)


async def test_a_queued_session_is_placed_when_a_slot_becomes_free(world, store, processor):
    await add_host(store, last_heartbeat_at=None)
    async with store.tx() as tx:
        await tx.sessions.add(a_session(queue_deadline_at=None))
        vm = await tx.vms.lock("vm-1")
        assert vm is not None
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await world.bus.hint(subjects.SLOTS)
            async with store.reading() as tx:
                session = await tx.sessions.get("s-1")
            assert session is not None
            if session.state is SessionState.STARTING:
                break
            await asyncio.sleep(0.05)
    assert session.vm_id == "vm-1"


async def test_two_processors_serve_one_house(world, store, own_nats_server):
    await add_host(store)
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(JetStreamBus([own_nats_server.url]))
        await other.wait_connected(20)
        worlds = [world, replace(world, store=store, bus=other)]
        for one in worlds:
            await stack.enter_async_context(service.running(one, codec.decode_report, codec.decode_event))
        async with world.bus.subscribe(subjects.accepted("vm-1")) as told:
            for sequence in range(1, 101):
                await world.bus.publish(subjects.report("vm-1"), report(sequence), f"{sequence}")
            async with asyncio.timeout(PATIENCE_S):
                while (await anext(told))[1] != b"1:100":
                    pass
    async with store.reading() as tx:
        host = await tx.hosts.get("vm-1")
    assert host is not None
    assert host.report_sequence == 100


async def test_health_and_figures_are_served(world, store, own_nats_server):
    async with store.tx() as tx:
        await tx.vms.add(a_vm("vm-9", state=VmState.READY))
    async with (
        service.running(world, codec.decode_report, codec.decode_event) as processor,
        monitoring.listening(partial(upkeep.outside, world), processor.metrics.registry, "127.0.0.1", 0) as port,
        httpx.AsyncClient() as http,
    ):
        base = f"http://127.0.0.1:{port}"
        assert (await http.get(f"{base}/healthz")).json() == {"status": "ok"}
        ready = await http.get(f"{base}/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ok", "checks": {"database": "ok", "bus": "ok"}})
        async with asyncio.timeout(PATIENCE_S):
            line = 'quarterdeck_fleet_vms{region="local",state="READY"} 1.0'
            while line not in (page := (await http.get(f"{base}/metrics")).text):
                await asyncio.sleep(0.1)
        assert "quarterdeck_relay_backlog 0.0" in page
        assert 'quarterdeck_tick_seconds_count{job="judge_hosts",outcome="done"}' in page
        await asyncio.to_thread(own_nats_server.kill)
        async with asyncio.timeout(PATIENCE_S):
            while world.bus.connected:
                await asyncio.sleep(0.01)
        ready = await http.get(f"{base}/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"] == {"database": "ok", "bus": "BUS_AWAY"}
        assert (await http.get(f"{base}/healthz")).status_code == 200
        await asyncio.to_thread(own_nats_server.start)  # or its end would wait for a broker that stays away


async def test_a_stopped_processor_finishes_the_report_that_it_has_begun(world, store, monkeypatch):
    await add_host(store)
    begun, release = asyncio.Event(), asyncio.Event()

    def slow(payload: bytes):
        begun.set()
        return codec.decode_report(payload)

    accept = service.routes  # the real list, with a handler that waits before it goes on

    def waiting_routes(a_world, decode, _):
        route, _ = accept(a_world, decode, codec.decode_event)

        async def handle(delivery):
            decode(delivery.payload)
            await release.wait()
            await route.handler(delivery)

        return (type(route)(route.durable, route.subject, handle),)

    monkeypatch.setattr(service, "routes", waiting_routes)
    async with service.running(world, slow, codec.decode_event):
        await world.bus.publish(subjects.report("vm-1"), report(5), "1")
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        asyncio.get_running_loop().call_later(0.1, release.set)
    async with store.reading() as tx:
        host = await tx.hosts.get("vm-1")
    assert host is not None
    assert host.report_sequence == 5
