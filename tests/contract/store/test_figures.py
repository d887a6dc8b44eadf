"""What is counted over all projects: events that wait, the fleet, sessions and hosts; and who tells it."""

from __future__ import annotations

from datetime import timedelta

from controlplane.domain.events import EventDraft
from controlplane.domain.host import HostState
from controlplane.domain.session import SessionState
from controlplane.domain.vm import VmState
from controlplane.interfaces import Backlog, Counts, Store
from tests.contract.store.rows import NOW, a_deployment, a_game, a_host, a_session, a_vm


async def test_an_empty_house_counts_nothing(store: Store) -> None:
    async with store.reading() as tx:
        assert await tx.figures.backlog() == Backlog(0, None)
        assert await tx.figures.regions("") == []
        assert await tx.figures.counts() == Counts()


async def test_events_wait_until_they_are_published_leased_or_not(store: Store) -> None:
    draft = EventDraft("quarterdeck.vm.ready", "default", "vms/vm-1", 1)
    async with store.tx() as tx:
        first_at = await tx.now()
        await tx.outbox.append([draft, draft])
    async with store.tx() as tx:
        await tx.outbox.append([draft])
        leased = await tx.outbox.claim(2, 60)
    async with store.reading() as tx:
        assert await tx.figures.backlog() == Backlog(3, first_at)
    async with store.tx() as tx:
        await tx.outbox.published([event.id for event in leased])
    async with store.reading() as tx:
        backlog = await tx.figures.backlog()
    assert backlog.events == 1
    assert backlog.oldest_at is not None
    assert backlog.oldest_at >= first_at


async def test_all_projects_are_counted_together(store: Store) -> None:
    async with store.tx() as tx:
        await tx.vms.add(a_vm("vm-1", used_units=12, state=VmState.IN_USE))
        await tx.vms.add(a_vm("vm-2", used_units=3, state=VmState.IN_USE))
        await tx.vms.add(a_vm("vm-3", state=VmState.READY))
        await tx.vms.add(a_vm("vm-4", state=VmState.TERMINATED))
    async with store.reading() as tx:
        every, of_one = await tx.figures.regions(""), await tx.figures.regions("default")
        flow = await tx.figures.flow("", NOW)
    assert every == of_one
    assert [(figure.state, figure.vms, figure.capacity_units, figure.used_units) for figure in every] == [
        (VmState.IN_USE, 2, 48, 15),
        (VmState.READY, 1, 24, 0),
    ]
    assert flow == []


async def test_the_machines_of_each_project_are_counted_at_once(store: Store) -> None:
    async with store.tx() as tx:
        await tx.credentials.put_project("other")
        await tx.credentials.put_project("without")
        for number, project_id in enumerate(("other", "default", "other")):
            await tx.vms.add(a_vm(f"vm-{number}", project_id=project_id))
    async with store.reading() as tx:
        of_each = await tx.figures.regions_of_each()
        assert of_each == {name: await tx.figures.regions(name) for name in ("default", "other")}
    assert [figure.vms for figure in of_each["other"]] == [2]


async def test_unfinished_sessions_hosts_and_dead_letters_are_counted(store: Store) -> None:
    async with store.tx() as tx:
        await tx.vms.add(a_vm("vm-1", used_units=12, active_sessions=1, state=VmState.IN_USE))
        await tx.hosts.add(a_host("vm-1"))
        await tx.catalogue.add_game(a_game())
        await tx.catalogue.add_deployment(a_deployment())
        await tx.sessions.add(a_session("s-1", created_at=NOW))
        await tx.sessions.add(a_session("s-2", created_at=NOW - timedelta(seconds=5)))
        await tx.sessions.add(a_session("s-3", state=SessionState.STARTING, vm_id="vm-1", units=12))
        await tx.sessions.add(a_session("s-4", state=SessionState.STOPPED, ended_at=NOW))
        await tx.outbox.bury("reports", "e-1", b"", "broken")
    async with store.reading() as tx:
        counts = await tx.figures.counts()
    assert counts == Counts(
        sessions={SessionState.PENDING: 2, SessionState.STARTING: 1},
        hosts={HostState.ONLINE: 1},
        waiting_since=NOW - timedelta(seconds=5),
        dead_letters=1,
    )


async def test_one_holder_leads_until_its_lease_has_ended(store: Store) -> None:
    async with store.tx() as tx:
        assert await tx.figures.lead("figures", "one", 60)
        assert await tx.figures.lead("other", "two", 60)
    async with store.tx() as tx:
        assert not await tx.figures.lead("figures", "two", 60)
        assert await tx.figures.lead("figures", "one", -1)
    async with store.tx() as tx:
        assert await tx.figures.lead("figures", "two", 60)
        assert not await tx.figures.lead("figures", "one", 60)
