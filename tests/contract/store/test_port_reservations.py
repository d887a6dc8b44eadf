"""Ports that an operator keeps: nobody else's, through any number of sessions, until they are given back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.domain.errors import Conflict
from controlplane.domain.session import PortLease
from controlplane.interfaces import Page, Store
from tests.contract.store.rows import NOW, PROJECT, a_lease, a_session, a_vm, at, furnish

KEPT = PortLease(
    "vm-1",
    "tcp",
    25565,
    purpose="the arena",
    game_id="orbit",
    project_id=PROJECT,
    client_token="t-1",
    reserved_at=NOW,
)


async def reserve(store: Store) -> None:
    await furnish(store, a_vm(), a_vm("vm-2"))
    async with store.tx() as tx:
        await tx.sessions.add(a_session("s-1"))
        await tx.sessions.add(a_session("s-2"))
        await tx.ports.lease(KEPT, NOW)


async def test_a_reservation_is_kept_whole_and_from_others(store: Store) -> None:
    await reserve(store)
    async with store.tx() as tx:
        assert await tx.ports.taken("vm-1", "tcp", at(9999)) == {25565}
        assert await tx.batch.ports_taken(["vm-1", "vm-2"], NOW) == {("vm-1", "tcp"): {25565}}
        assert await tx.batch.leases_at(["vm-1", "vm-2"], [("tcp", 25565), ("udp", 25565)]) == [KEPT]
        for lease in (a_lease(25565, protocol="tcp"), replace(KEPT, client_token="t-2", purpose="mine")):
            with pytest.raises(Conflict):
                await tx.ports.lease(lease, at(9999))
        with pytest.raises(Conflict):
            await tx.ports.lease(replace(KEPT, client_token=""), at(9999))


async def test_a_session_uses_it_and_leaves_it_reserved(store: Store) -> None:
    await reserve(store)
    used = replace(KEPT, session_id="s-1", port_name="game", game_port=80)
    async with store.tx() as tx:
        await tx.batch.lease_ports([used], NOW)
    async with store.tx() as tx:
        assert await tx.ports.of_session("s-1") == [used]
        with pytest.raises(Conflict):
            await tx.ports.lease(replace(used, session_id="s-2"), at(9999))
        await tx.ports.release(["s-1"], at(60))
    async with store.tx() as tx:
        assert await tx.ports.taken("vm-1", "tcp", at(61)) == {25565}
        with pytest.raises(Conflict):
            await tx.ports.lease(replace(used, session_id="s-2"), at(59))
        await tx.ports.lease(replace(used, session_id="s-2"), at(60))
        assert await tx.ports.of_session("s-2") == [replace(used, session_id="s-2")]


async def test_one_that_is_given_back_is_free_or_its_sessions(store: Store) -> None:
    await reserve(store)
    async with store.tx() as tx:
        await tx.ports.unreserve(KEPT)
        assert await tx.ports.taken("vm-1", "tcp", NOW) == frozenset()
        await tx.ports.lease(KEPT, NOW)
        used = replace(KEPT, session_id="s-1")
        await tx.ports.lease(used, NOW)
        await tx.ports.unreserve(used)
        plain = replace(used, purpose="", game_id="", project_id="", client_token="", reserved_at=None)
        assert await tx.ports.of_session("s-1") == [plain]
        await tx.ports.release(["s-1"], at(60))
        assert await tx.ports.taken("vm-1", "tcp", at(60)) == frozenset()
        await tx.ports.lease(KEPT, at(60))


async def test_a_token_reserves_one_port(store: Store) -> None:
    await reserve(store)
    with pytest.raises(Conflict):
        async with store.tx() as tx:
            await tx.ports.lease(replace(KEPT, vm_id="vm-2"), NOW)


async def test_a_lease_is_a_sessions_or_reserved(store: Store) -> None:
    await reserve(store)
    with pytest.raises(Conflict):
        async with store.tx() as tx:
            await tx.ports.lease(PortLease("vm-1", "udp", 28000), NOW)


async def test_the_list_is_by_protocol_and_number_without_what_rested(store: Store) -> None:
    await reserve(store)
    async with store.tx() as tx:
        await tx.ports.lease(a_lease(9000, "s-1"), NOW)
        await tx.ports.lease(a_lease(28001, "s-1"), NOW)
        await tx.ports.lease(a_lease(28000, "s-2"), NOW)
        await tx.ports.release(["s-2"], at(60))
        await tx.ports.lease(a_lease(28002, "s-2"), NOW)
    async with store.reading() as tx:
        listed = await tx.ports.of_vm("vm-1", Page(size=9), at(60))
        assert [(lease.protocol, lease.host_port) for lease in listed] == [
            ("tcp", 25565),
            ("udp", 9000),
            ("udp", 28001),
            ("udp", 28002),
        ]
        first = await tx.ports.of_vm("vm-1", Page(size=2), at(59))
        rest = await tx.ports.of_vm("vm-1", Page(size=9, after=(NOW, "udp-09000")), at(59))
        assert [lease.host_port for lease in (*first, *rest)] == [25565, 9000, 28000, 28001, 28002]
        assert await tx.ports.of_vm("vm-1", Page(size=9, after=(NOW, "zzz-nonsense")), at(59)) == []
        assert await tx.ports.of_vm("vm-2", Page(size=9), NOW) == []
