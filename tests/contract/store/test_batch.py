"""Many rows at once: the same guards as one by one, and the queue's order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from controlplane.adapters.store import open_store
from controlplane.adapters.store.queue import stranded
from controlplane.domain.errors import AlreadyExists, Conflict
from controlplane.domain.host import GONE, HostState
from controlplane.domain.queueing import Rivals
from controlplane.domain.session import PortLease, SessionState
from controlplane.interfaces import Store, Wanted
from tests.contract.store.rows import (
    NOW,
    PROJECT,
    a_deployment,
    a_game,
    a_host,
    a_session,
    a_vm,
    at,
    furnish,
    next_of,
    synchronous,
)


@pytest.fixture
async def house(store: Store) -> Store:
    await furnish(store)
    return store


async def test_vms_are_locked_by_id_and_saved_together(house: Store) -> None:
    async with house.tx() as tx:
        for name in ("vm-c", "vm-b"):
            await tx.vms.add(a_vm(name))
    async with house.tx() as tx:
        locked = await tx.batch.lock_vms(["vm-c", "vm-b", "no-such", "vm-c"], wait=False)
        assert [vm.id for vm in locked] == ["vm-b", "vm-c"]
        await tx.batch.save_vms([replace(vm, used_units=12, version=vm.version + 3) for vm in reversed(locked)])
    async with house.reading() as tx:
        for name in ("vm-b", "vm-c"):
            vm = await tx.vms.get(name)
            assert vm is not None
            assert (vm.used_units, vm.version) == (12, 4)


async def test_one_version_that_moved_refuses_the_whole_batch(house: Store) -> None:
    async with house.tx() as tx:
        await tx.vms.add(a_vm("vm-b"))

    async def change_one_of_two() -> None:
        async with house.tx() as tx:
            first, second = await tx.batch.lock_vms(["vm-1", "vm-b"], wait=True)
            await tx.batch.save_vms([replace(first, used_units=12, version=first.version + 1), second])

    with pytest.raises(Conflict):
        await change_one_of_two()
    async with house.reading() as tx:
        vm = await tx.vms.get("vm-1")
        assert vm is not None
        assert vm.used_units == 0


async def test_without_waiting_what_another_holds_is_left_out(postgres_store_url: str) -> None:
    store = open_store(postgres_store_url)
    await furnish(store)
    async with store.tx() as tx:
        await tx.vms.add(a_vm("vm-b"))
    async with store.tx() as holder, store.tx() as other:
        await holder.vms.lock("vm-1")
        assert [vm.id for vm in await other.batch.lock_vms(["vm-1", "vm-b"], wait=False)] == ["vm-b"]
    async with store.tx() as holder:
        await holder.vms.lock("vm-1")

        async def wait() -> list[str]:
            async with store.tx() as other:
                return [vm.id for vm in await other.batch.lock_vms(["vm-b", "vm-1"], wait=True)]

        waiting = asyncio.create_task(wait())
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
    assert await waiting == ["vm-1", "vm-b"]
    await store.close()


async def test_sessions_are_added_found_by_token_and_saved_together(house: Store) -> None:
    made = [a_session(f"s-{n}", client_token=f"t-{n}" if n else "") for n in range(3)]
    async with house.tx() as tx:
        await tx.batch.add_sessions(made)
        await tx.batch.save_sessions([replace(s, units=12, version=s.version + 1) for s in made])
    async with house.reading() as tx:
        found = await tx.batch.by_client_tokens(PROJECT, ["t-2", "t-1", "t-9", ""])
    assert {token: (session.id, session.units) for token, session in found.items()} == {
        "t-1": ("s-1", 12),
        "t-2": ("s-2", 12),
    }


async def test_a_taken_token_refuses_the_whole_batch(house: Store) -> None:
    async with house.tx() as tx:
        await tx.sessions.add(a_session("s-1", client_token="t-1"))
    with pytest.raises(AlreadyExists):
        async with house.tx() as tx:
            await tx.batch.add_sessions([a_session("s-2"), a_session("s-3", client_token="t-1")])
    async with house.reading() as tx:
        assert await tx.sessions.get("s-2") is None


async def test_ports_are_leased_together_or_not_at_all(house: Store) -> None:
    def lease(port: int, session_id: str, **fields: Any) -> PortLease:
        return PortLease("vm-1", "udp", port, session_id, f"p{port}", 0, **fields)

    async with house.tx() as tx:
        await tx.batch.add_sessions([a_session("s-1"), a_session("s-2")])
        await tx.batch.lease_ports([lease(28002, "s-1"), lease(28001, "s-1")], NOW)
        assert await tx.batch.ports_taken(["vm-1", "vm-x"], NOW) == {("vm-1", "udp"): frozenset({28001, 28002})}
    with pytest.raises(Conflict):
        async with house.tx() as tx:
            await tx.batch.lease_ports([lease(28000, "s-2"), lease(28001, "s-2")], NOW)
    async with house.tx() as tx:
        await tx.ports.release(["s-1"], at(60))
    async with house.reading() as tx:
        assert len((await tx.batch.ports_taken(["vm-1"], at(59)))["vm-1", "udp"]) == 2
        assert await tx.batch.ports_taken(["vm-1"], at(60)) == {}


async def test_whose_deadline_has_passed_is_found_behind_any_number_of_patient_ones(house: Store) -> None:
    patient = [a_session(f"s-{n:03d}", created_at=at(0), queue_deadline_at=at(3600)) for n in range(250)]
    late = [a_session(f"s-late-{n}", created_at=at(n), queue_deadline_at=at(30 + n)) for n in range(3)]
    async with house.tx() as tx:
        await tx.batch.add_sessions([*patient, *late])
        await tx.batch.add_sessions([a_session("s-ever", created_at=at(1), queue_deadline_at=None)])
    async with house.reading() as tx:
        assert [s.id for s in await tx.queue.overdue(at(31), 10)] == ["s-late-0", "s-late-1"]
        assert [s.id for s in await tx.queue.overdue(at(31), 1)] == ["s-late-0"]


async def test_the_queue_is_in_the_order_of_arrival(house: Store) -> None:
    async with house.tx() as tx:
        await tx.catalogue.add_game(a_game("other"))
        moments = {"s-late": at(3), "s-b": at(1), "s-a": at(1), "s-first": at(0)}
        await tx.batch.add_sessions([a_session(name, created_at=moment) for name, moment in moments.items()])
        await tx.batch.add_sessions([a_session("s-runs", state=SessionState.RUNNING, preset_id="")])
    async with house.reading() as tx:
        line = [session.id for session in await tx.queue.after(None, 10)]
        assert line == ["s-first", "s-a", "s-b", "s-late"]
        assert [s.id for s in await tx.queue.after((at(1), "s-a"), 1)] == ["s-b"]
        asked = ["s-late", "s-a", "s-runs", "no-such"]
        assert await tx.queue.places(asked, Rivals(PROJECT)) == {"s-a": 2, "s-late": 4}
        assert await tx.queue.places(asked, Rivals(PROJECT, frozenset({"local"}))) == {"s-a": 2, "s-late": 4}
        assert await tx.queue.places(asked, Rivals("other")) == {}
        assert await tx.queue.wanted() == {Wanted(PROJECT, "orbit", 1, "software-720p30", "local")}


async def test_of_each_thing_that_is_waited_for_the_first_is_found(house: Store) -> None:
    async with house.tx() as tx:
        await tx.credentials.put_project("other")
        for project_id in (PROJECT, "other"):
            await tx.catalogue.add_game(a_game("late", project_id=project_id))
            await tx.catalogue.add_deployment(a_deployment("late", project_id=project_id))
        waiting = [
            a_session("s-0", created_at=at(0), state=SessionState.STARTING, vm_id="vm-1"),
            a_session("s-2", created_at=at(2)),
            a_session("s-1", created_at=at(1)),
            a_session("s-3", created_at=at(3), territory="FR"),
            a_session("s-4", created_at=at(4), coordinates=(1.0, 2.0)),
            a_session("s-5", created_at=at(5), coordinates=(3.0, 4.0)),
            a_session("s-6", created_at=at(6), region_id=""),
            a_session("s-7", created_at=at(7), game_id="late"),
            a_session("s-8", created_at=at(0), game_id="late", project_id="other"),
        ]
        await tx.batch.add_sessions(waiting)
    async with house.reading() as tx:
        assert [s.id for s in await tx.queue.firsts([PROJECT])] == ["s-1", "s-3", "s-4", "s-6", "s-7"]
        both = await tx.queue.firsts([PROJECT, "other"])
        assert both[0].id == "s-8"
        assert await tx.queue.firsts([]) == []


async def test_those_who_wait_are_locked_and_may_be_changed(house: Store) -> None:
    async with house.tx() as tx:
        await tx.batch.add_sessions([a_session("s-runs", state=SessionState.RUNNING, preset_id="")])
        await tx.batch.add_sessions([a_session(name, created_at=at(n)) for n, name in enumerate(("s-b", "s-a", "s-c"))])
    async with house.tx() as tx:
        locked = await tx.queue.lock(["s-b", "s-a", "s-runs", "no-such"])
        assert [session.id for session in locked] == ["s-a", "s-b"]
        await tx.batch.save_sessions([next_of(session, reason_detail="told") for session in locked])
    async with house.reading() as tx:
        assert [s.reason_detail == "told" for s in await tx.queue.after(None, 9)] == [True, True, False]


async def test_the_stranded_may_be_re_placed_and_are_away_for_long_enough_with_their_host(house: Store) -> None:
    async with house.tx() as tx:
        for name, state in {"lost": HostState.LOST, "left": HostState.OFFLINE, "stale": HostState.STALE}.items():
            await tx.vms.add(a_vm(name))
            await tx.hosts.add(a_host(name, state=state))
        lost = {"vm_id": "lost", "state": SessionState.RUNNING, "lease_s": 600.0, "unreachable_at": at(5)}
        others: dict[str, dict[str, Any]] = {
            "s-second": {},
            "s-first": {"vm_id": "left", "unreachable_at": at(4), "state": SessionState.STARTING},
            "s-late": {"unreachable_at": at(6)},
            "s-here": {"unreachable_at": None},
            "s-fixed": {"lease_s": 0.0},
            "s-stale": {"vm_id": "stale"},
            "s-stopping": {"state": SessionState.STOPPING},
        }
        await tx.batch.add_sessions([a_session(name, **lost | fields) for name, fields in others.items()])
    async with house.reading() as tx:
        assert [session.id for session in await tx.queue.stranded(at(5))] == ["s-first", "s-second"]
        assert set(await tx.queue.still(["s-first", "s-second", "nobody"])) == {"s-first", "s-second"}


async def test_the_stranded_are_found_without_reading_all_that_play(postgres_store_url: str) -> None:
    store = open_store(postgres_store_url)
    await furnish(store, a_vm())
    async with store.tx() as tx:
        await tx.sessions.add(a_session("s-1", vm_id="vm-1", state=SessionState.RUNNING, lease_s=600.0))
    await store.close()
    with synchronous(postgres_store_url).begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO sessions SELECT (jsonb_populate_record(t, jsonb_build_object('id', 'more-' || n))).*"
                " FROM sessions t, generate_series(1, 20000) n"
            )
        )
        connection.execute(sa.text("ANALYZE sessions"))
        asked = stranded(at(5), GONE).compile(connection, compile_kwargs={"literal_binds": True})
        plan = connection.execute(sa.text(f"EXPLAIN {asked}")).scalars().all()
    assert any("ix_sessions_unreachable" in line for line in plan), plan


async def test_a_place_counts_those_who_may_be_given_the_same(house: Store) -> None:
    async with house.tx() as tx:
        waiting = [
            a_session("s-0", created_at=at(0), region_id="eu-west-1"),
            a_session("s-1", created_at=at(1), region_id="", created_by="bob"),
            a_session("s-2", created_at=at(2), region_id="us-east-1", coordinates=(1.0, 2.0)),
            a_session("s-3", created_at=at(3), region_id="us-west-2"),
            a_session("s-4", created_at=at(4), region_id="local", deployment_number=2),
            a_session("s-5", created_at=at(5), region_id="local", state=SessionState.STOPPED),
        ]
        await tx.catalogue.add_deployment(a_deployment())
        await tx.batch.add_sessions(waiting)
    async with house.reading() as tx:
        here = Rivals(PROJECT, frozenset({"local", "us-west-2"}))
        assert await tx.queue.places(["s-4", "s-3", "s-0"], here) == {"s-3": 3, "s-4": 4}
        assert await tx.queue.places(["s-4"], Rivals(PROJECT)) == {"s-4": 5}
        assert await tx.queue.waiting(PROJECT) == {"alice": 4, "bob": 1}
        assert await tx.queue.waiting("other") == {}
        assert {wanted.deployment_number for wanted in await tx.queue.wanted()} == {1, 2}
