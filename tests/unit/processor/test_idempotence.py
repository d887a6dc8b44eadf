"""I5 as a model: whatever comes again, at once, later or to another replica, changes nothing that once has not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.adapters.bus import streams
from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store import open_store
from controlplane.domain import subjects
from controlplane.domain.events import Event, EventDraft
from controlplane.domain.reconcile import Report, Workload, WorkloadState
from controlplane.domain.session import SessionReason, SessionState
from controlplane.interfaces import Delivery, Store
from controlplane.processor import consumer
from controlplane.usecases.world import World
from tests.contract.store.rows import a_host, a_session, furnish

PLAYERS = st.integers(0, 3)
WORDS = ("quarterdeck.session.running", "quarterdeck.session.stopped", "quarterdeck.host.lost", "quarterdeck.vm.ready")


@dataclass
class House:
    """What the rows say that handling reports may change."""

    store: Store
    worlds: list[World]

    async def told(self) -> Any:
        async with self.store.reading() as tx:
            session, host = await tx.sessions.get("s-1"), await tx.hosts.get("vm-1")
            vm, leases = await tx.vms.get("vm-1"), await tx.ports.of_session("s-1")
        async with self.store.tx() as tx:
            events = await tx.outbox.claim(1000, 0)
        assert session is not None
        assert host is not None
        assert vm is not None
        facts = (session.state, session.reason, session.exit_code, session.version, session.connected_players)
        machine = (vm.state, vm.used_units, vm.active_sessions, vm.version, host.report_sequence, host.version)
        return facts, machine, len(leases), [(event.draft.type, event.draft.subject_version) for event in events]


async def a_house(replicas: int = 2) -> House:
    store = open_store("memory://")
    await furnish(store)
    async with store.tx() as tx:
        vm = await tx.vms.lock("vm-1")
        assert vm is not None
        await tx.vms.save(replace(vm, used_units=12, active_sessions=1, version=vm.version + 1))
        await tx.hosts.add(a_host("vm-1", epoch=1, report_sequence=0, observed_plan_version=0))
        session = a_session(vm_id="vm-1", units=12, state=SessionState.STARTING, created_at=await tx.now())
        await tx.sessions.add(session)
    broker = MemoryBroker()
    worlds: list[Any] = [World(store, MemoryBus(broker), RandomIds(), *[None] * 3) for _ in range(replicas)]  # type: ignore[arg-type]
    return House(store, worlds)


def a_log(players: list[int], ends: bool) -> list[Report]:
    """A session comes up, players come and go, and perhaps its game ends."""
    states = [Workload("s-1", 1, WorkloadState.RUNNING, players=count) for count in players]
    if ends:
        states.append(Workload("s-1", 1, WorkloadState.EXITED, SessionReason.GAME_EXITED, exit_code=0))
    return [Report(1, number, 1, (state,)) for number, state in enumerate(states, 1)]


async def handle(house: House, log: list[Report], order: list[int]) -> Any:
    """Each delivery by the next replica; what is delivered is found by its number."""
    handlers = [consumer.reports(world, lambda payload: log[int(payload)]) for world in house.worlds]
    for turn, index in enumerate(order):
        payload = str(index).encode()
        await handlers[turn % len(handlers)](Delivery(f"m-{index}", subjects.report("vm-1"), payload, 1))
    return await house.told()


@settings(deadline=None)
@given(st.lists(PLAYERS, min_size=1, max_size=6), st.booleans(), st.data())
def test_reports_that_come_again_change_nothing(players: list[int], ends: bool, data: st.DataObject) -> None:
    log = a_log(players, ends)
    order: list[int] = []
    for index in range(len(log)):
        again = data.draw(st.lists(st.integers(0, index), max_size=3), label="come again")
        order += [index, *again]

    async def both() -> tuple[Any, Any]:
        once = await handle(await a_house(), log, list(range(len(log))))
        return once, await handle(await a_house(), log, order)

    once, repeated = asyncio.run(both())
    assert repeated == once


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), st.data())
def test_events_that_come_again_are_copied_once(words: list[str], data: st.DataObject) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    log = [
        Event(f"e-{number}", start + timedelta(seconds=number), EventDraft(word, "default", "sessions/s-1", number, {}))
        for number, word in enumerate(words)
    ]
    order = data.draw(st.permutations([*range(len(log)), *data.draw(st.lists(st.sampled_from(range(len(log)))))]))

    async def copied(order: list[int]) -> list[str]:
        house = await a_house()
        handlers = [consumer.external(world, lambda payload: log[int(payload)]) for world in house.worlds]
        for turn, index in enumerate(order):
            await handlers[turn % 2](Delivery(f"m-{index}", "quarterdeck.event.default.x.y", str(index).encode(), 1))
        stored = house.worlds[0].bus._broker.logs[streams.EXTERNAL]  # type: ignore[attr-defined]
        return sorted(message.message_id for message in stored.messages)

    assert asyncio.run(copied(list(order))) == asyncio.run(copied(list(range(len(log)))))
