"""`quarterdeck audit`: silent where all is well, and each broken invariant told by its number and subject."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from controlplane.adapters.store import open_store
from controlplane.adapters.store.audit import violations
from controlplane.domain.attempt import Attempt, Purpose
from controlplane.domain.events import EventDraft
from controlplane.domain.provisioning import Phase
from controlplane.domain.session import SessionReason, SessionState, SessionTrigger
from controlplane.domain.template import UNITS_PER_SEAT
from controlplane.interfaces import AuditEntry
from tests.contract.store.rows import NOW, a_deployment, a_lease, a_session, a_vm, furnish, synchronous
from tests.contract.store.test_provisionings import a_provisioning


@pytest.fixture
async def sound(database_url: str) -> str:
    """A database where a session plays on vm-1, as use cases would have left it."""
    from controlplane.adapters.store import schema

    schema.migrate(database_url)
    store = open_store(database_url)
    await furnish(store, a_vm(terminate_requested_at=None))
    async with store.tx() as tx:
        vm = await tx.vms.lock("vm-1")
        assert vm is not None
        lately = datetime.now(UTC)  # the audit asks for events of the last week only
        taken, events = vm.take(UNITS_PER_SEAT, lately)
        await tx.vms.save(taken)
        session, told = a_session(vm_id="vm-1", units=UNITS_PER_SEAT).on(SessionTrigger.ALLOCATED, lately)
        await tx.sessions.add(session)
        await tx.ports.lease(a_lease(), NOW)
        made = EventDraft(
            "quarterdeck.vm.provisioned", "default", vm.name, 0, {"state": "PROVISIONING", "previous": ""}
        )
        await tx.outbox.append([made, *events, *told])
        await tx.outbox.published([event.id for event in await tx.outbox.claim(10, 1)])
    await store.close()
    return database_url


def change(url: str, *statements: str) -> None:
    with synchronous(url).begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def test_a_sound_database_is_found_sound(sound: str) -> None:
    assert violations(sound) == []


async def test_a_current_deployment_that_hosts_refuse_by_now_is_told_and_an_earlier_one_is_not(sound: str) -> None:
    store = open_store(sound)
    async with store.tx() as tx:
        for _ in range(2):
            refused = a_deployment(environment={"LD_PRELOAD": "/hook.so", "LEVEL": "3"}, disk_bytes=1 << 30)
            await tx.catalogue.add_deployment(refused)
    assert [line.partition(";")[0] for line in violations(sound)] == [
        "games/orbit/deployments/3 of default: hosts refuse its variable LD_PRELOAD",
        "games/orbit/deployments/3 of default: hosts refuse its writable_root beside disk_bytes",
    ]
    async with store.tx() as tx:
        await tx.catalogue.add_deployment(a_deployment())
    await store.close()
    assert violations(sound) == []


BREAKS = {
    "I1 vms/vm-1": "UPDATE vms SET used_units = used_units + 1",
    "I3 vms/vm-1 udp 28000": "UPDATE sessions SET state = 'CRASHED', reason = 'GAME_CRASHED', ended_at = updated_at",
    "I3 vms/vm-1 udp 28000: reserved for games/other": "UPDATE port_leases SET purpose = 'x', game_id = 'other'",
    "I3 sessions/s-1": "UPDATE port_leases SET free_at = (SELECT updated_at FROM vms)",
    "I4 sessions/s-1": "DELETE FROM outbox WHERE type = 'quarterdeck.session.starting'",
    "I6 sessions/s-1": "UPDATE sessions SET state = 'STOPPED', reason = ''",
}


@pytest.mark.parametrize(("told", "statement"), BREAKS.items(), ids=BREAKS)
def test_each_break_is_told(sound: str, told: str, statement: str) -> None:
    change(sound, statement)
    assert [line for line in violations(sound) if line.startswith(told)], violations(sound)


async def test_a_step_that_no_table_allows_is_told(sound: str) -> None:
    store = open_store(sound)
    ended = a_session("s-9", state=SessionState.RUNNING, reason=SessionReason.NONE)
    async with store.tx() as tx:
        await tx.outbox.append([ended.event("running", previous="STOPPED")])
    await store.close()
    assert "I6 sessions/s-9: went from STOPPED to RUNNING" in violations(sound)


OPEN = """INSERT INTO vm_attempts (vm_id, number, purpose, started_at, instance_id, outcome)
    SELECT id, 2, 'STOP', created_at, '', 'OPEN' FROM provisionings"""
MACHINES = {
    "is rented, but no row wants its machine": ("DELETE FROM vm_attempts", "DELETE FROM provisionings"),
    "is TERMINATED, but its machine is HELD": ("UPDATE vms SET state = 'TERMINATED' WHERE id = 'vm-2'",),
    "is READY without a machine, which is RELEASED": ("UPDATE provisionings SET phase = 'RELEASED'",),
    "has more than one attempt under way": (OPEN,),
}


@pytest.mark.parametrize(("told", "statements"), MACHINES.items(), ids=MACHINES)
async def test_a_rented_vm_and_its_purchase_tell_the_same(sound: str, told: str, statements: tuple[str, ...]) -> None:
    store = open_store(sound)
    async with store.tx() as tx:
        await tx.vms.add(a_vm("vm-2", provider="local", terminate_requested_at=None))
        await tx.provisionings.add(a_provisioning("vm-2"))
        row = await tx.provisionings.get("vm-2")
        assert row is not None
        held = replace(row, phase=Phase.HELD, last=Attempt(1, Purpose.RENT, NOW), version=row.version + 1)
        await tx.provisionings.save(held)
    await store.close()
    assert violations(sound) == []
    change(sound, *statements)
    assert violations(sound) == [f"I10 vms/vm-2: {told}"]


TRAILS = {
    "was changed at record 2": "UPDATE audit SET subject = 'bob' WHERE sequence = 2",
    "was changed at record 1": "DELETE FROM audit WHERE sequence = 1",
    "ends at record 2 of 3": "DELETE FROM audit WHERE sequence = 3",
    "ends at record 0 of 3": "DELETE FROM audit",
}


@pytest.mark.parametrize(("told", "statement"), TRAILS.items(), ids=TRAILS)
async def test_a_trail_that_somebody_changed_is_told(sound: str, told: str, statement: str) -> None:
    store = open_store(sound)
    for number in range(3):
        async with store.tx() as tx:
            await tx.outbox.audit(AuditEntry("default", "alice", "StopSession", f"sessions/s-{number}", "r"))
    await store.close()
    assert violations(sound) == []
    change(sound, statement)
    assert violations(sound) == [f"I22 projects/default: its audit trail {told}"]
