"""Rented VMs' rows: whole, leased to one worker at a time, guarded by lease and version; and every VM's history."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from controlplane.adapters.store import open_store
from controlplane.domain.attempt import Attempt, Failure, Offer, Outcome, Purpose
from controlplane.domain.errors import AlreadyExists, Conflict, NotFound
from controlplane.domain.provisioning import Phase, Provisioning
from controlplane.domain.retry import FailureKind, Remedy
from controlplane.domain.save import STORED_WITHIN_S, Save
from controlplane.domain.session import SessionReason, SessionState
from controlplane.domain.vm import Vm, VmState, VmTrigger
from controlplane.interfaces import Page, Store
from tests.contract.store.rows import NOW, PROJECT, TOKYO, a_session, a_vm, at, furnish, next_of


def a_provisioning(vm_id: str = "vm-1", **fields: Any) -> Provisioning:
    values: dict[str, Any] = {
        "id": vm_id,
        "project_id": PROJECT,
        "provider": "local",
        "tag": f"qd-1-{vm_id}",
        "phase": Phase.WANTED,
        "region_ids": ("local", "eu-west-1"),
        "template_id": "local",
        "created_at": NOW,
    }
    return Provisioning(**{**values, **fields})


async def rented(store: Store, *rows: Provisioning) -> None:
    await furnish(store, *(a_vm(row.id, provider="local", terminate_requested_at=None) for row in rows))
    async with store.tx() as tx:
        for row in rows:
            await tx.provisionings.add(row)


async def claim(store: Store, token: str, limit: int = 10, apart_from: Collection[str] = ()) -> list[str]:
    async with store.tx() as tx:
        return [row.id for row in await tx.provisionings.claim(limit, 30, token, apart_from)]


async def test_every_field_comes_back(store: Store) -> None:
    full = a_provisioning(
        phase=Phase.BOOTING,
        offer=Offer("local", "local", "small", "local", 2**40, "EUR"),
        instance_id="i-1",
        address="192.0.2.7",
        attempt=3,
        next_attempt_at=at(1),
        again_at=at(2).astimezone(TOKYO),
        deadline_at=at(3),
        buying_since=at(4),
        absences=2,
        refused=frozenset({"local/local/small", "a/b/c"}),
        failure=Failure(FailureKind.BOOT, "BOOT_TIMEOUT", "grüße", Remedy.RETRY),
        release_for_good=True,
        version=7,
        mandate=Offer("local", "local", "big", "local", 2**41, "EUR"),
    )
    await rented(store, full)
    async with store.reading() as tx:
        assert await tx.provisionings.get("vm-1") == full
        assert await tx.provisionings.of_vms(["vm-1", "vm-2"]) == {"vm-1": full}
        assert await tx.provisionings.wanted("local") == [full]
        assert await tx.provisionings.wanted("other") == []
        assert await tx.provisionings.get("vm-2") is None


async def test_a_tag_is_given_once_and_only_to_a_vm_that_exists(store: Store) -> None:
    await rented(store, a_provisioning())
    async with store.tx() as tx:
        await tx.vms.add(a_vm("vm-2"))
        with pytest.raises(AlreadyExists):
            await tx.provisionings.add(a_provisioning("vm-2", tag="qd-1-vm-1"))
    with pytest.raises(NotFound):
        async with store.tx() as tx:
            await tx.provisionings.add(a_provisioning("vm-3"))


async def test_only_rows_with_something_to_do_are_claimed_and_by_one_worker(store: Store) -> None:
    rows = [
        a_provisioning("vm-a"),
        a_provisioning("vm-b", phase=Phase.BUYING, next_attempt_at=at(-(10**7))),
        a_provisioning("vm-c", phase=Phase.RELEASING),
        a_provisioning("vm-later", next_attempt_at=at(10**9)),
        a_provisioning("vm-held", phase=Phase.HELD),
        a_provisioning("vm-parked", phase=Phase.PARKED),
        a_provisioning("vm-released", phase=Phase.RELEASED),
    ]
    await rented(store, *rows)
    first = await claim(store, "one", limit=2)
    second = await claim(store, "two")
    assert sorted(first + second) == ["vm-a", "vm-b", "vm-c"]
    assert len(first) == 2
    assert await claim(store, "three") == []
    async with store.tx() as tx:
        await tx.provisionings.lease("one", 0)
    assert await claim(store, "three") == sorted(first)


async def test_rows_of_a_provider_that_has_its_hands_full_are_left_alone(store: Store) -> None:
    await rented(store, a_provisioning("vm-1", provider="slow"), a_provisioning("vm-2", provider="other"))
    assert await claim(store, "one", apart_from={"slow", "none"}) == ["vm-2"]
    assert await claim(store, "two") == ["vm-1"]


async def test_a_vm_to_be_terminated_is_due_once_it_is_empty_whatever_its_phase(store: Store) -> None:
    await rented(store, a_provisioning("vm-1", phase=Phase.HELD), a_provisioning("vm-2", next_attempt_at=at(10**9)))

    async def change(vm_id: str, **fields: Any) -> None:
        async with store.tx() as tx:
            await tx.vms.save(next_of(await tx.vms.lock(vm_id), **fields))

    await change("vm-1", terminate_requested_at=NOW, active_sessions=1)
    await change("vm-2", terminate_requested_at=NOW)
    assert await claim(store, "one") == ["vm-2"]
    await change("vm-1", active_sessions=0)
    assert await claim(store, "two") == ["vm-1"]


async def test_a_machine_that_has_a_save_to_store_is_waited_for_but_not_for_ever(store_url: str) -> None:
    clock = [at(100)]
    store = open_store(store_url, clock=lambda: clock[0])
    await rented(store, a_provisioning("vm-1", phase=Phase.HELD))
    ended = a_session("s-1", vm_id="vm-1", state=SessionState.STOPPED, reason=SessionReason.IDLE, ended_at=at(90))
    save = Save("mine", PROJECT, "orbit", NOW, NOW, session_id="s-1")
    async with store.tx() as tx:
        await tx.vms.save(next_of(await tx.vms.lock("vm-1"), terminate_requested_at=NOW))
        await tx.sessions.add(ended)
        await tx.saves.add(save)
    assert await claim(store, "one") == []
    async with store.tx() as tx:
        await tx.saves.save(save.released(NOW))
    assert await claim(store, "two") == ["vm-1"]
    async with store.tx() as tx:
        await tx.provisionings.lease("two", 0)
        await tx.saves.save(save.released(NOW).held_by("s-1", NOW))
    assert await claim(store, "three") == []
    clock[0] = at(90 + STORED_WITHIN_S)
    assert await claim(store, "four") == ["vm-1"]
    await store.close()


async def test_a_lapsed_lease_passes_on_and_its_worker_is_too_late(store_url: str) -> None:
    clock = [NOW]
    store = open_store(store_url, clock=lambda: clock[0])
    await rented(store, a_provisioning())
    assert await claim(store, "one") == ["vm-1"]
    clock[0] = at(31)
    assert await claim(store, "two") == ["vm-1"]
    for token, allowed in (("one", False), ("two", True), ("two", False)):
        try:
            async with store.tx() as tx:
                row = await tx.provisionings.get("vm-1")
                assert row is not None
                await tx.provisionings.apply(next_of(row, absences=row.absences + 1), token)
        except Conflict:
            assert not allowed
        else:
            assert allowed
    async with store.reading() as tx:
        row = await tx.provisionings.get("vm-1")
    assert row is not None
    assert row.absences == 1
    await store.close()


async def test_a_kept_lease_goes_on(store: Store) -> None:
    await rented(store, a_provisioning())
    assert await claim(store, "one") == ["vm-1"]
    for _ in range(2):
        async with store.tx() as tx:
            row = await tx.provisionings.get("vm-1")
            assert row is not None
            await tx.provisionings.apply(next_of(row), "one", keep=True)
    assert await claim(store, "two") == []


async def test_a_lease_is_renewed_by_who_has_it_and_passes_on_once_it_is_not(store_url: str) -> None:
    clock = [NOW]
    store = open_store(store_url, clock=lambda: clock[0])
    await rented(store, a_provisioning("vm-1"), a_provisioning("vm-2"))
    assert await claim(store, "one", limit=1) == ["vm-1"]
    clock[0] = at(29)
    async with store.tx() as tx:
        await tx.provisionings.lease("one", 30)
        await tx.provisionings.lease("nobody's", 30)
    clock[0] = at(58)
    assert await claim(store, "two") == ["vm-2"]
    clock[0] = at(60)
    assert await claim(store, "three") == ["vm-1"]
    async with store.tx() as tx:
        await tx.provisionings.lease("one", 30)
    clock[0] = at(89)
    assert await claim(store, "four") == ["vm-2"]
    await store.close()


async def test_an_operators_save_makes_a_worker_too_late(store: Store) -> None:
    await rented(store, a_provisioning())
    assert await claim(store, "one") == ["vm-1"]
    async with store.tx() as tx:
        seen = await tx.provisionings.get("vm-1")
        assert seen is not None
        await tx.provisionings.save(next_of(seen, release_for_good=True))
    async with store.tx() as tx:
        await tx.provisionings.get("vm-1")
        with pytest.raises(Conflict):
            await tx.provisionings.apply(next_of(seen), "one")


async def test_every_change_of_a_vms_state_is_in_its_history(store: Store) -> None:
    await furnish(store, a_vm(state=VmState.PROVISIONING), a_vm("vm-2"))
    triggers = [VmTrigger.PROVISIONED, VmTrigger.AGENT_HEALTHY, VmTrigger.SESSION_ASSIGNED, VmTrigger.SESSION_ASSIGNED]
    for trigger in triggers:
        async with store.tx() as tx:
            vm: Vm | None = await tx.vms.lock("vm-1")
            assert vm is not None
            changed, events = vm.on(trigger, await tx.now(), "why")
            await tx.vms.save(changed)
            await tx.outbox.append(events)
    async with store.reading() as tx:
        first = await tx.transitions.of_vm("vm-1", Page(2))
        rest = await tx.transitions.of_vm("vm-1", Page(2, (first[-1].at, str(first[-1].version))))
        assert await tx.transitions.of_vm("vm-2", Page()) == []
    told = [(entry.previous, entry.state, entry.trigger, entry.detail) for entry in [*first, *rest]]
    assert told == [
        ("READY", "IN_USE", "session_assigned", "why"),
        ("BOOTING", "READY", "agent_healthy", "why"),
        ("PROVISIONING", "BOOTING", "provisioned", "why"),
    ]


async def test_every_attempt_is_kept_beside_its_row_and_stays_once_it_has_ended(store: Store) -> None:
    offer = Offer("local", "eu-west-1", "small", "local", 2**40, "EUR")
    failure = Failure(FailureKind.NETWORK, "NO_REPLY", "grüße", Remedy.ANOTHER_OFFER)
    one = Attempt(1, Purpose.RENT, at(1).astimezone(TOKYO), offer)
    ended = replace(
        one, instance_id="i-1", outcome=Outcome.FAILED, ended_at=at(2), failure=failure, next_attempt_at=at(9)
    )
    two = Attempt(2, Purpose.STOP, at(3), None, "i-2", Outcome.SUCCEEDED, at(4))
    await rented(store, a_provisioning(), a_provisioning("vm-2"))

    async def known(page: Page = Page()) -> list[Attempt]:  # noqa: B008 - it is frozen
        async with store.reading() as tx:
            assert await tx.attempts.of_vm("vm-2", page) == []
            return list(await tx.attempts.of_vm("vm-1", page))

    assert await claim(store, "one", 1) == ["vm-1"]
    for last, expected in ((None, []), (one, [one]), (ended, [ended]), (one, [ended]), (two, [two, ended])):
        async with store.tx() as tx:
            row = next_of(await tx.provisionings.get("vm-1"), last=last, trying_since=at(5))
            await (tx.provisionings.save(row) if last is ended else tx.provisionings.apply(row, "one", keep=True))
        assert await known() == expected
        async with store.reading() as tx:
            assert await tx.provisionings.get("vm-1") == row
    assert await known(Page(1)) == [two]
    assert await known(Page(1, (two.started_at, "2"))) == [ended]
