"""VMs, hosts, sessions and port leases: kept whole, guarded by version, in the stated order."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from controlplane.adapters.store import open_store
from controlplane.domain.errors import AlreadyExists, Conflict, NotFound
from controlplane.domain.host import HostState, LinkState
from controlplane.domain.session import SessionState
from controlplane.domain.vm import VmState
from controlplane.interfaces import Page, Store
from tests.contract.store.rows import (
    NOW,
    TOKYO,
    a_full_session,
    a_host,
    a_lease,
    a_session,
    a_vm,
    at,
    furnish,
    next_of,
)


async def test_entities_come_back_as_they_went(store: Store) -> None:
    await furnish(store)
    async with store.tx() as tx:
        await tx.hosts.add(a_host())
        await tx.sessions.add(a_full_session())
    async with store.reading() as tx:
        assert await tx.vms.get("vm-1") == a_vm()
        assert await tx.hosts.get("vm-1") == a_host()
        assert await tx.sessions.get("s-1") == a_full_session()
        assert await tx.vms.get("vm-2") is None
        assert await tx.hosts.get("vm-2") is None
        assert await tx.sessions.get("s-2") is None


async def test_saved_entities_come_back_as_they_went(store: Store) -> None:
    await furnish(store)
    saved = next_of(a_full_session())
    async with store.tx() as tx:
        await tx.hosts.add(a_host())
        await tx.sessions.add(a_session())
    async with store.tx() as tx:
        assert await tx.vms.lock("vm-1") == a_vm()
        assert await tx.hosts.lock("vm-1") == a_host()
        assert await tx.sessions.get("s-1") == a_session()
        await tx.vms.save(next_of(a_vm(), used_units=12, state=VmState.IN_USE, active_sessions=1))
        await tx.hosts.save(next_of(a_host(), state=HostState.STALE, addresses=()))
        await tx.sessions.save(saved)
    async with store.reading() as tx:
        vm = await tx.vms.get("vm-1")
        assert vm == next_of(a_vm(), used_units=12, state=VmState.IN_USE, active_sessions=1)
        assert await tx.hosts.get("vm-1") == next_of(a_host(), state=HostState.STALE, addresses=())
        assert await tx.sessions.get("s-1") == saved


async def test_moments_are_utc_and_keep_their_microseconds(store: Store) -> None:
    elsewhere = NOW.astimezone(TOKYO)
    await furnish(store, a_vm(created_at=elsewhere, updated_at=elsewhere))
    async with store.reading() as tx:
        vm = await tx.vms.get("vm-1")
        assert vm is not None
        assert vm.created_at == NOW
        assert vm.created_at.utcoffset() is not None
        assert vm.created_at.microsecond == 123457


async def test_an_id_is_given_once(store: Store) -> None:
    await furnish(store)
    async with store.tx() as tx:
        with pytest.raises(AlreadyExists):
            await tx.vms.add(a_vm(reason_detail="another"))
        await tx.hosts.add(a_host())
        with pytest.raises(AlreadyExists):
            await tx.hosts.add(a_host(epoch=9))
    async with store.reading() as tx:
        assert await tx.vms.get("vm-1") == a_vm()
        assert await tx.hosts.get("vm-1") == a_host()


async def test_a_save_must_raise_the_version(store: Store) -> None:
    await furnish(store)
    for version in (0, 1):
        async with store.tx() as tx:
            await tx.vms.get("vm-1")
            with pytest.raises(Conflict):
                await tx.vms.save(a_vm(version=version))


async def test_what_is_saved_was_read_in_the_same_transaction(store: Store) -> None:
    await furnish(store)
    async with store.tx() as tx:
        with pytest.raises(RuntimeError):
            await tx.vms.save(next_of(a_vm()))
        assert await tx.vms.get("vm-2") is None
        with pytest.raises(RuntimeError):
            await tx.vms.save(a_vm("vm-2"))


async def test_of_two_writers_from_one_version_one_wins_however_many_steps_each_took(store: Store) -> None:
    await furnish(store)
    both_have_read = asyncio.Barrier(2)

    async def write(steps: int) -> bool:
        async with store.reading() as tx:
            seen = await tx.vms.get("vm-1")
        await both_have_read.wait()
        try:
            async with store.tx() as tx:
                now = await tx.vms.lock("vm-1")
                if now != seen:
                    raise Conflict("SEEN_BEFORE", "another was faster")
                await tx.vms.save(replace(now, version=now.version + steps, reason_detail=f"{steps} steps"))
        except Conflict:
            return False
        return True

    assert sorted(await asyncio.gather(write(1), write(2))) == [False, True]


async def test_a_save_over_what_another_wrote_meanwhile_is_a_conflict(postgres_store_url: str) -> None:
    """On PostgreSQL alone, where writing transactions overlap; elsewhere the second waits for the first."""
    store = open_store(postgres_store_url)
    await furnish(store)
    async with store.tx() as slow:
        seen = await slow.vms.get("vm-1")
        assert seen is not None
        async with store.tx() as fast:
            now = await fast.vms.get("vm-1")
            await fast.vms.save(next_of(now, reason_detail="first"))
        with pytest.raises(Conflict):
            await slow.vms.save(replace(seen, version=seen.version + 2))
    async with store.reading() as tx:
        assert await tx.vms.get("vm-1") == next_of(a_vm(), reason_detail="first")
    await store.close()


async def test_an_entity_read_here_may_take_several_steps(store: Store) -> None:
    await furnish(store)
    async with store.tx() as tx:
        vm = await tx.vms.lock("vm-1")
        assert vm is not None
        await tx.vms.save(replace(vm, version=vm.version + 3))
        await tx.vms.save(replace(vm, version=vm.version + 4, reason_detail="again"))
    async with store.reading() as tx:
        vm = await tx.vms.get("vm-1")
    assert vm is not None
    assert (vm.version, vm.reason_detail) == (5, "again")


async def test_used_units_stay_within_capacity(store: Store) -> None:
    await furnish(store)
    for units in (-1, 25):
        with pytest.raises(Conflict):
            async with store.tx() as tx:
                await tx.vms.save(next_of(await tx.vms.lock("vm-1"), used_units=units))
    async with store.reading() as tx:
        assert await tx.vms.get("vm-1") == a_vm()


async def test_rows_refer_to_what_exists(store: Store) -> None:
    await furnish(store)
    for add in (
        lambda tx: tx.vms.add(a_vm("vm-9", project_id="nobody")),
        lambda tx: tx.hosts.add(a_host("vm-9")),
        lambda tx: tx.sessions.add(a_session(game_id="unknown")),
        lambda tx: tx.sessions.add(a_session(vm_id="vm-9")),
    ):
        with pytest.raises(NotFound):
            async with store.tx() as tx:
                await add(tx)


async def test_a_client_token_is_good_for_one_session_of_a_project(store: Store) -> None:
    await furnish(store)
    first = a_session("s-1", client_token="once")
    async with store.tx() as tx:
        await tx.sessions.add(first)
        with pytest.raises(AlreadyExists):
            await tx.sessions.add(a_session("s-2", client_token="once"))
        await tx.sessions.add(a_session("s-3"))
        await tx.sessions.add(a_session("s-4"))
    async with store.reading() as tx:
        assert await tx.sessions.by_client_token("default", "once") == first
        assert await tx.sessions.by_client_token("default", "never") is None
        assert await tx.sessions.by_client_token("default", "") is None
        assert await tx.sessions.by_client_token("other", "once") is None
        assert await tx.sessions.get("s-2") is None


async def test_pages_are_newest_first_and_miss_nothing(store: Store) -> None:
    vms = [a_vm(f"vm-{number}", created_at=at(number // 3)) for number in range(10)]
    await furnish(store, *vms)
    async with store.tx() as tx:
        await tx.credentials.put_project("other")
        await tx.vms.add(a_vm("vm-foreign", project_id="other", created_at=at(99)))
    expected = [vm.id for vm in sorted(vms, key=lambda vm: (vm.created_at, vm.id), reverse=True)]
    found: list[str] = []
    after = None
    async with store.reading() as tx:
        while page := await tx.vms.list("default", (), Page(size=4, after=after)):
            found += [vm.id for vm in page]
            after = (page[-1].created_at, page[-1].id)
    assert found == expected


async def test_lists_choose_by_state_and_vm(store: Store) -> None:
    await furnish(store, a_vm("vm-1"), a_vm("vm-2", state=VmState.ERROR, created_at=at(1)))
    pending, running = a_session("s-1"), a_session("s-2", state=SessionState.RUNNING, vm_id="vm-1", created_at=at(1))
    async with store.tx() as tx:
        await tx.sessions.add(pending)
        await tx.sessions.add(running)
    async with store.reading() as tx:
        assert [vm.id for vm in await tx.vms.list("default", [VmState.ERROR], Page())] == ["vm-2"]
        assert [vm.id for vm in await tx.vms.list("default", [VmState.ERROR, VmState.READY], Page())] == [
            "vm-2",
            "vm-1",
        ]
        assert await tx.vms.list("other", (), Page()) == []
        assert await tx.sessions.list("default", (), "", Page()) == [running, pending]
        assert await tx.sessions.list("default", (), "vm-1", Page()) == [running]
        assert await tx.sessions.list("default", [SessionState.PENDING], "", Page()) == [pending]
        assert await tx.sessions.list("default", [SessionState.PENDING], "vm-1", Page()) == []


async def test_sessions_on_a_vm_in_the_queue_and_unreachable(store: Store) -> None:
    await furnish(store)
    states = list(SessionState)
    async with store.tx() as tx:
        for number, state in enumerate(states):
            on_vm = "" if state is SessionState.PENDING else "vm-1"
            await tx.sessions.add(
                a_session(f"s-{number}", state=state, vm_id=on_vm, unreachable_at=at(-number), created_at=at(number))
            )
        await tx.sessions.add(a_session("s-first", created_at=at(-5)))
    async with store.reading() as tx:
        on_host = {SessionState.STARTING, SessionState.RUNNING, SessionState.STOPPING}
        assert [s.state for s in await tx.sessions.on_vm("vm-1")] == [s for s in states if s in on_host]
        assert [s.id for s in await tx.queue.after(None, 10)] == ["s-first", "s-0"]
        assert [s.id for s in await tx.queue.after(None, 1)] == ["s-first"]
        assert [s.id for s in await tx.sessions.starting(at(9))] == ["s-1"]
        assert await tx.sessions.starting(at(-9)) == []
        assert [s.id for s in await tx.sessions.unreachable()] == ["s-3", "s-2", "s-1", "s-0"]


async def test_placeable_vms_are_fullest_first(store: Store) -> None:
    await furnish(
        store,
        a_vm("vm-a", used_units=6, region_id="eu-west-1"),
        a_vm("vm-b", used_units=12, state=VmState.IN_USE),
        a_vm("vm-c", used_units=12, state=VmState.IN_USE),
        a_vm("vm-full", used_units=24, state=VmState.IN_USE),
        a_vm("vm-draining", state=VmState.DRAINING),
        a_vm("vm-without-host"),
    )
    async with store.tx() as tx:
        for name in "abc":
            await tx.hosts.add(a_host(f"vm-{name}"))
        for vm_id in ("vm-full", "vm-draining"):
            await tx.hosts.add(a_host(vm_id))
    async with store.reading() as tx:
        everywhere = await tx.vms.placeable("default", (), 10)
        assert [(vm.id, host.id) for vm, host in everywhere] == [(f"vm-{n}", f"vm-{n}") for n in "bca"]
        assert everywhere[0][1] == a_host("vm-b")
        assert [vm.id for vm, _ in await tx.vms.placeable("default", ("eu-west-1",), 10)] == ["vm-a"]
        assert [vm.id for vm, _ in await tx.vms.placeable("default", (), 2)] == ["vm-b", "vm-c"]
        assert await tx.vms.placeable("other", (), 10) == []
        ordered = await tx.vms.placeable("default", ("eu-west-1", "local"), 10)
        assert [vm.id for vm, _ in ordered] == ["vm-a", "vm-b", "vm-c"]


async def test_links_leave_out_what_is_not_there(store: Store) -> None:
    await furnish(store, a_vm("vm-1", plan_version=5), a_vm("vm-2", plan_version=7), a_vm("vm-3"))
    async with store.tx() as tx:
        await tx.hosts.add(a_host("vm-1", epoch=3, report_sequence=9, link_token="l-1", revoked_at=None))
        await tx.hosts.add(a_host("vm-2", epoch=1, report_sequence=0, link_token="", revoked_at=NOW))
    async with store.reading() as tx:
        assert await tx.vms.links(["vm-2", "vm-1", "vm-3", "vm-9", "vm-1"]) == {
            "vm-1": LinkState(3, 9, "l-1", False, 5),
            "vm-2": LinkState(1, 0, "", True, 7),
        }
        assert await tx.vms.links([]) == {}


async def test_beats_move_forward_only_and_saves_never_move_them(store: Store) -> None:
    await furnish(store, *(a_vm(f"vm-{n}") for n in range(3)))
    async with store.tx() as tx:
        await tx.hosts.add(a_host("vm-0", last_heartbeat_at=at(5)))
        await tx.hosts.add(a_host("vm-1", last_heartbeat_at=None))
        await tx.hosts.add(a_host("vm-2", last_heartbeat_at=at(-5)))
    async with store.tx() as tx:
        await tx.hosts.beat(["vm-2", "vm-1", "vm-0", "vm-9", "vm-1"], at(1))
        await tx.hosts.beat([], at(50))
    async with store.tx() as tx:
        host = await tx.hosts.get("vm-2")
        assert host is not None
        await tx.hosts.save(next_of(host, last_heartbeat_at=at(-100)))
    async with store.reading() as tx:
        assert [host.last_heartbeat_at for host in await tx.hosts.watched()] == [at(5), at(1), at(1)]


async def test_ten_thousand_beats_are_one_statement(store: Store) -> None:
    await furnish(store)
    async with store.tx() as tx:
        await tx.hosts.add(a_host())
        await tx.hosts.beat([f"vm-{number}" for number in range(10_000)], at(7))
    async with store.reading() as tx:
        assert [host.last_heartbeat_at for host in await tx.hosts.watched()] == [at(7)]


async def test_hosts_watched_silent_and_listed(store: Store) -> None:
    states = {"a": HostState.LOST, "b": HostState.ONLINE, "c": HostState.STALE, "d": HostState.OFFLINE}
    await furnish(store, *(a_vm(name) for name in states))
    async with store.tx() as tx:
        for second, (name, state) in enumerate(states.items()):
            await tx.hosts.add(a_host(name, state=state, last_heartbeat_at=at(-second)))
    async with store.reading() as tx:
        assert [host.id for host in await tx.hosts.watched()] == ["b", "c"]
        assert await tx.hosts.silent_among(["d", "c", "b", "a", "x"]) == ["a", "c"]
        assert await tx.hosts.silent_among([]) == []
        first = await tx.hosts.list("default", Page(size=3))
        assert [host.id for host in first] == ["a", "b", "c"]
        rest = await tx.hosts.list("default", Page(size=3, after=(NOW, first[-1].id)))
        assert [host.id for host in rest] == ["d"]


async def test_a_port_has_one_live_lease_and_a_quarantine(store: Store) -> None:
    await furnish(store)
    async with store.tx() as tx:
        await tx.sessions.add(a_session("s-1"))
        await tx.sessions.add(a_session("s-2"))
        await tx.ports.lease(a_lease(28000), NOW)
        await tx.ports.lease(a_lease(28000), NOW)
        await tx.ports.lease(a_lease(28000, protocol="tcp", port_name="control", game_port=80), NOW)
        with pytest.raises(Conflict):
            await tx.ports.lease(a_lease(28000, "s-2"), NOW)
        await tx.ports.lease(a_lease(28001, "s-2"), NOW)
    control = a_lease(28000, protocol="tcp", port_name="control", game_port=80)
    async with store.tx() as tx:
        assert await tx.ports.of_session("s-1") == [control, a_lease(28000)]
        assert await tx.ports.of_sessions(["s-2", "s-9"]) == {"s-2": [a_lease(28001, "s-2")]}
        await tx.ports.release(["s-1"], at(60))
        await tx.ports.release(["s-1"], at(90))
    async with store.tx() as tx:
        assert await tx.ports.taken("vm-1", "udp", at(59)) == {28000, 28001}
        assert await tx.ports.taken("vm-1", "udp", at(60)) == {28001}
        assert await tx.ports.taken("vm-2", "udp", at(59)) == frozenset()
        with pytest.raises(Conflict):
            await tx.ports.lease(a_lease(28000, "s-2"), at(59))
        await tx.ports.lease(a_lease(28000, "s-2"), at(60))
        assert await tx.ports.of_session("s-1") == [replace(control, free_at=at(60))]
        assert await tx.ports.of_session("s-2") == [a_lease(28000, "s-2"), a_lease(28001, "s-2")]


async def test_a_port_raced_for_goes_to_one(store: Store) -> None:
    await furnish(store)
    async with store.tx() as tx:
        for number in range(8):
            await tx.sessions.add(a_session(f"s-{number}"))

    async def take(session_id: str) -> bool:
        try:
            async with store.tx() as tx:
                await tx.ports.lease(a_lease(28000, session_id), NOW)
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(take(f"s-{number}") for number in range(8)))) == 1
