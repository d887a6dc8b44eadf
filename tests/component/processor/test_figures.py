"""Figures of two replicas: what happened is counted once in their sum, how things stand is told by one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from controlplane.adapters.bus import codec
from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.adapters.bus.memory import MemoryBus
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store import open_store
from controlplane.domain.session import SessionReason, SessionState, SessionTrigger, Stages
from controlplane.domain.vm import VmState, VmTrigger
from controlplane.interfaces import Store
from controlplane.processor import service
from controlplane.processor.standing import StandingPage
from controlplane.usecases.world import World
from tests.contract.store.rows import NOW, a_host, a_session, a_vm, at, furnish

PATIENCE_S = 30


@pytest.fixture
async def replicas(store: Store, bus: JetStreamBus, own_nats_server: Any) -> AsyncIterator[list[CollectorRegistry]]:
    registries = [CollectorRegistry(), CollectorRegistry()]
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(JetStreamBus([own_nats_server.url]))
        await other.wait_connected(20)
        for one, registry in zip((bus, other), registries, strict=True):
            world: Any = World(store, one, RandomIds(), *[None] * 3)  # type: ignore[arg-type]
            await stack.enter_async_context(service.running(world, codec.decode_report, codec.decode_event, registry))
        yield registries


def total(registries: list[CollectorRegistry], name: str, **labels: str) -> float:
    return sum(registry.get_sample_value(name, labels) or 0.0 for registry in registries)


async def until(registries: list[CollectorRegistry], expected: float, name: str, **labels: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while total(registries, name, **labels) != expected:
            await asyncio.sleep(0.05)


async def test_each_event_is_counted_once_by_whoever_published_it(store: Store, replicas: Any) -> None:
    queued = a_session(created_at=NOW)
    starting, told = queued.on(SessionTrigger.ALLOCATED, at(3))
    reached = Stages(allocated_at=at(3), image_ready_at=at(4), game_started_at=at(4.5), first_frame_at=at(5))
    starting = replace(starting, stages=reached)
    running, more = starting.on(SessionTrigger.PLAYABLE, at(5.25))
    _, end = running.on(SessionTrigger.CRASHED, at(60), SessionReason.GAME_CRASHED)
    _, rejected = a_session("s-2", created_at=NOW).on(SessionTrigger.DEADLINE, at(30), SessionReason.QUEUE_DEADLINE)
    again = replace(running, generation=2).on(SessionTrigger.REPLACED, at(70))
    async with store.tx() as tx:
        await tx.outbox.append([*told, *more, *end, *rejected, *again[1]] * 50)
    await until(replicas, 50, "quarterdeck_events_total", type="quarterdeck.session.crashed")
    await until(replicas, 50, "quarterdeck_events_total", type="quarterdeck.session.rejected")
    assert total(replicas, "quarterdeck_sessions_ended_total", state="CRASHED", reason="GAME_CRASHED") == 50
    wait = "quarterdeck_session_queue_wait_seconds"
    assert total(replicas, f"{wait}_sum", outcome="placed") == pytest.approx(150)
    assert total(replicas, f"{wait}_bucket", outcome="placed", le="2.5") == 0
    assert total(replicas, f"{wait}_bucket", outcome="placed", le="5.0") == 50
    assert total(replicas, f"{wait}_count", outcome="rejected") == 50
    stages = "quarterdeck_session_stage_seconds"
    expected = {"allocated": 3, "image_ready": 4, "game_started": 4.5, "first_frame": 5, "playable": 5.25}
    for stage, after_s in expected.items():
        assert total(replicas, f"{stages}_count", stage=stage) == 50
        assert total(replicas, f"{stages}_sum", stage=stage) == pytest.approx(50 * after_s)


async def test_the_way_to_a_rented_machine_is_told_from_its_history(store: Store, replicas: Any) -> None:
    async with store.tx() as tx:
        vm = a_vm(provider="local", state=VmState.PROVISIONING, version=1)
        await tx.vms.add(vm)
        now = await tx.now()
        data = {"state": "PROVISIONING", "previous": "", "trigger": "create", "detail": "", "provider": "local"}
        failed, error = vm.on(VmTrigger.FAIL, now, "NO_STOCK: none left", failure="PROVISIONING")
        born = replace(error[0], type="quarterdeck.vm.provisioned", subject_version=1, data=data)
        await tx.outbox.append([born])
    async with store.tx() as tx:
        await tx.outbox.append(error)
        retried, again = failed.on(VmTrigger.RETRY, now)
    async with store.tx() as tx:
        await tx.outbox.append(again)
        booting, booted = retried.on(VmTrigger.PROVISIONED, now)
    async with store.tx() as tx:
        await tx.outbox.append(booted)
        _, ready = booting.on(VmTrigger.AGENT_HEALTHY, now)
    async with store.tx() as tx:
        await tx.outbox.append(ready)
    await until(replicas, 1, "quarterdeck_events_total", type="quarterdeck.vm.ready")
    await until(replicas, 2, "quarterdeck_provisioning_attempts_total", provider="local")
    assert total(replicas, "quarterdeck_provisioning_failures_total", provider="local", kind="PROVISIONING") == 1
    count = "quarterdeck_provisioning_seconds_count"
    for state, outcome in (("PROVISIONING", "failed"), ("PROVISIONING", "done"), ("BOOTING", "done")):
        await until(replicas, 1, count, provider="local", state=state, outcome=outcome)


async def test_one_replica_tells_how_things_stand(store: Store, replicas: Any) -> None:
    async with store.tx() as tx:
        await tx.vms.add(a_vm("vm-9", state=VmState.READY))
    await until(replicas, 1, "quarterdeck_fleet_vms", region="local", state="READY")
    telling = [r for r in replicas if r.get_sample_value("quarterdeck_relay_backlog") is not None]
    assert len(telling) == 1
    assert total(telling, "quarterdeck_fleet_vms", region="us-east-1", state="READY") == 0
    silent = next(registry for registry in replicas if registry is not telling[0])
    assert silent.get_sample_value("quarterdeck_fleet_vms", {"region": "us-east-1", "state": "READY"}) is None


async def test_the_summary_line_has_the_seeds_figures() -> None:
    store = open_store("memory://")
    await furnish(store)
    async with store.tx() as tx:
        await tx.vms.add(a_vm("vm-9", state=VmState.IN_USE, used_units=15, active_sessions=1))
        await tx.hosts.add(a_host("vm-9"))
        await tx.sessions.add(a_session("s-9", region_id="local", created_at=await tx.now() - timedelta(seconds=9)))
    async with MemoryBus() as bus:
        world: Any = World(store, bus, RandomIds(), *[None] * 3)  # type: ignore[arg-type]
        page, other = (StandingPage(world, CollectorRegistry()) for _ in range(2))
        with capture_logs() as lines:
            other.summary()  # it has not looked yet
            await page.refresh()
            await other.refresh()
            page.summary()
            other.summary()  # the first one tells
    (line,) = lines
    assert line["event"] == "fleet.summary"
    assert line["vms"] == sum(line["by_state"].values()) == sum(line["by_region"].values())
    assert line["by_state"]["IN_USE"] == 1
    assert (line["capacity_seats"], line["used_seats"], line["free_seats"]) == (2, 2, 0)
    assert line["regions"]["local"]["waiting"] == 1
    assert line["sessions"][str(SessionState.PENDING)] == 1
