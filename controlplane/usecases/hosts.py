"""What agents do: enrol, say hello, beat, report, leave; and what operators see of hosts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controlplane.domain import subjects
from controlplane.domain.errors import Forbidden, NotFound, Unauthenticated, WrongState
from controlplane.domain.events import EventDraft
from controlplane.domain.game import Deployment
from controlplane.domain.host import Host, HostState, HostTrigger, Inventory
from controlplane.domain.identity import CredentialKind, Principal
from controlplane.domain.reconcile import (
    Report,
    Workload,
    newer,
    observe,
    plan_entry,
    vanished,
    wants_other_ports,
)
from controlplane.domain.session import PortLease, Session
from controlplane.domain.silence import feed_after_batch
from controlplane.domain.template import UNITS_PER_SEAT
from controlplane.domain.usage import total
from controlplane.domain.vm import VM_MACHINE, Vm, VmState, VmTrigger
from controlplane.interfaces import AuditEntry, Page, Tx
from controlplane.usecases import saves
from controlplane.usecases.allocation import start_on_other_ports
from controlplane.usecases.settling import Changed, settle_all
from controlplane.usecases.watch import mark_reachability
from controlplane.usecases.world import World, operators_only

LOCAL_TEMPLATE = "local"


@dataclass(frozen=True)
class Enrolment:
    host_id: str
    certificate_pem: str
    ca_pem: str


@dataclass(frozen=True)
class PlanEntry:
    """`want_run` False: stop it. `lease_s` None: it plays on through any outage. `backup_id`: one is to be made."""

    session: Session
    deployment: Deployment
    ports: tuple[PortLease, ...]
    want_run: bool
    lease_s: float | None = None
    backup_id: str = ""


@dataclass(frozen=True)
class HostPlan:
    """The desired state of a host, whole, as of `version`."""

    version: int
    vm: Vm
    entries: tuple[PlanEntry, ...]


async def enrol(world: World, join_token: str, certificate_request_der: bytes) -> Enrolment:
    """Trades a single-use join token for a client certificate. Of two that present the same token exactly one wins.

    Raises Unauthenticated (unknown, used or expired token), InvalidRequest (not a PKCS #10 request)."""
    refused = Unauthenticated(
        "JOIN_TOKEN_INVALID", "this join token is unknown, used or expired; create a new one for this VM"
    )
    async with world.store.tx() as tx:
        secret = hashlib.sha256(join_token.encode()).hexdigest()
        credential = await tx.credentials.by_secret(CredentialKind.JOIN, secret)
        now = await tx.now()
        if credential is None or not credential.valid(now):
            raise refused
        certificate, serial, ends_at = world.authority.issue_host_certificate(credential.vm_id, certificate_request_der)
        # Before the token: whoever orders another machine for this VM holds it, and revokes the tokens of the last.
        host = await tx.hosts.lock(credential.vm_id)
        vm = await tx.vms.lock(credential.vm_id)
        if vm is None or vm.state is VmState.TERMINATED or not await tx.credentials.use(credential.id, now):
            raise refused
        if VM_MACHINE.allows(vm.state, VmTrigger.PROVISIONED):
            booting, events = vm.on(VmTrigger.PROVISIONED, now)
            await tx.vms.save(booting)
            await tx.outbox.append(events)
        await _remember_certificate(tx, host, vm, serial, ends_at)
        await tx.outbox.audit(AuditEntry(vm.project_id, f"hosts/{vm.id}", "Enrol", f"hosts/{vm.id}", ""))
    await world.tell()
    return Enrolment(vm.id, certificate, world.authority.ca_pem)


async def _remember_certificate(tx: Tx, host: Host | None, vm: Vm, serial: str, ends_at: datetime) -> None:
    if host is None:
        new = Host(vm.id, vm.project_id, HostState.OFFLINE, certificate_serial=serial, certificate_expires_at=ends_at)
        await tx.hosts.add(new)
        return
    # Enrolling anew is how an operator lets a revoked machine back in: it took a fresh join token.
    renewed = replace(
        host, certificate_serial=serial, certificate_expires_at=ends_at, revoked_at=None, version=host.version + 1
    )
    await tx.hosts.save(renewed)


async def renew(world: World, host_id: str, certificate_request_der: bytes) -> tuple[str, str]:
    """(certificate, CA), PEM, for a host that is known and not revoked. Raises Forbidden."""
    certificate, serial, ends_at = world.authority.issue_host_certificate(host_id, certificate_request_der)
    async with world.store.tx() as tx:
        host = await _admitted(tx, host_id)
        await tx.hosts.save(
            replace(host, certificate_serial=serial, certificate_expires_at=ends_at, version=host.version + 1)
        )
    return certificate, world.authority.ca_pem


async def _admitted(tx: Tx, host_id: str) -> Host:
    host = await tx.hosts.lock(host_id)
    if host is None or host.revoked_at is not None:
        raise Forbidden("HOST_REVOKED", "this host is unknown or revoked; enrol it again with a new join token")
    return host


async def hello(
    world: World,
    host_id: str,
    start_id: str,
    inventory: Inventory,
    addresses: Sequence[str],
    replica_id: str,
    link_token: str,
) -> Host:
    """A link opens: the newest wins. A new agent start gets the next epoch, a reconnecting one keeps its own.

    The VM becomes READY with its first healthy agent; `local` machines get their capacity from their inventory."""
    async with world.store.tx() as tx:
        host = await _admitted(tx, host_id)
        now = await tx.now()
        if host.start_id != start_id:
            host = replace(host, start_id=start_id, epoch=host.epoch + 1, report_sequence=0, observed_plan_version=0)
        host = replace(
            host, inventory=inventory, addresses=tuple(addresses), link_replica=replica_id, link_token=link_token
        )
        host, events = host.on(HostTrigger.HEARD, now)
        await tx.hosts.save(host)
        await tx.hosts.beat([host_id], now)
        await tx.outbox.append([*events, *await _vm_healthy(tx, host, now)])
        hints = await mark_reachability(tx, host_id, now, reachable=True)
    await world.tell(*hints, subjects.SLOTS, subjects.RENTING)
    return host


async def _vm_healthy(tx: Tx, host: Host, now: datetime) -> tuple[EventDraft, ...]:
    vm = await tx.vms.lock(host.id)
    if vm is None:
        raise WrongState("VM_MISSING", f"{host.name} has no VM")
    events: tuple[EventDraft, ...] = ()
    healthy = vm
    if vm.terminate_requested_at is None and VM_MACHINE.allows(vm.state, VmTrigger.AGENT_HEALTHY):
        healthy, events = vm.on(VmTrigger.AGENT_HEALTHY, now)
    if healthy.template_id == LOCAL_TEMPLATE:
        units = max(local_units(host.inventory), healthy.used_units)
        healthy = replace(healthy, capacity_units=units)
    if not healthy.advertised_address and host.addresses:
        healthy = replace(healthy, advertised_address=host.addresses[0])
    if healthy != vm:
        await tx.vms.save(replace(healthy, version=vm.version + 1, updated_at=now))
    return events


def local_units(inventory: Inventory) -> int:
    """The capacity of a machine that fits no template: what its encoders carry at once, one seat each; without an
    encoder one seat for each two cores, for games without a picture."""
    seats = sum(encoder.slots for encoder in inventory.encoders) or max(1, inventory.cpu_count // 2)
    return seats * UNITS_PER_SEAT


async def goodbye(world: World, host_id: str, epoch: int) -> None:
    """The agent leaves on purpose: the host is OFFLINE at once; its sessions stay, unreachable."""
    async with world.store.tx() as tx:
        host = await tx.hosts.lock(host_id)
        if host is None or host.epoch != epoch or host.state not in (HostState.ONLINE, HostState.STALE):
            return
        now = await tx.now()
        host, events = host.on(HostTrigger.DEPARTED, now)
        await tx.hosts.save(host)
        await tx.outbox.append(events)
        hints = await mark_reachability(tx, host_id, now, reachable=False)
    await world.tell(*hints)


async def beat(world: World, host_ids: Sequence[str]) -> None:
    """Writes one batch of heartbeats, and brings back those who had gone silent. An empty batch still shows that the
    feed flows: silence only counts while it does."""
    async with world.store.tx() as tx:
        now = await tx.now()
        hints = await _heard_from(tx, host_ids, now) if host_ids else []
        # Last, so that no other batch waits for its row while this one waits for a host's.
        feed = feed_after_batch(await tx.feed.lock(), now, world.policy.silence, world.policy.remembered_s)
        await tx.feed.save(feed)
    if hints:
        await world.tell(*hints)


async def _heard_from(tx: Tx, host_ids: Sequence[str], now: datetime) -> list[str]:
    """Returns hints to give."""
    hints: list[str] = []
    await tx.hosts.beat(host_ids, now)
    for host_id in await tx.hosts.silent_among(host_ids):
        host = await tx.hosts.lock(host_id)
        if host is None or host.state not in (HostState.STALE, HostState.LOST):
            continue
        back, events = host.on(HostTrigger.HEARD, now)
        await tx.hosts.save(back)
        await tx.outbox.append(events)
        hints.extend(await mark_reachability(tx, host_id, now, reachable=True))
    return hints


async def accept_report(world: World, host_id: str, report: Report) -> bool:
    """Applies a whole report in one transaction. False when it is of an older epoch than the host's: fenced (I8).

    A report not newer than the last accepted one changes nothing and is True: it was accepted before (I7)."""
    async with world.store.tx() as tx:
        host = await tx.hosts.lock(host_id)
        if host is None or report.epoch != host.epoch:
            return False
        if not newer(report.epoch, report.sequence, host.epoch, host.report_sequence):
            return True
        now = await tx.now()
        hints = await _apply_report(tx, world, host_id, report, now)
        await tx.hosts.save(
            replace(
                host,
                report_sequence=report.sequence,
                observed_plan_version=report.observed_plan_version,
                workloads=len(report.workloads),
                usage=total(workload.usage for workload in report.workloads),
                version=host.version + 1,
            )
        )
    await world.tell(*hints)
    return True


async def _apply_report(tx: Tx, world: World, host_id: str, report: Report, now: datetime) -> tuple[str, ...]:
    vm = await tx.vms.lock(host_id)
    if vm is None:
        raise WrongState("VM_MISSING", f"hosts/{host_id} has no VM")
    seen: dict[str, Workload] = {workload.session_id: workload for workload in report.workloads}
    current = report.observed_plan_version >= vm.plan_version
    hints: list[str] = []
    settled: list[Changed] = []
    for session in await tx.sessions.on_vm(host_id):
        workload = seen.get(session.id)
        if workload is not None and wants_other_ports(session, workload):
            again = await start_on_other_ports(tx, session, workload.reason_detail, now, world.policy)
            if again is not None:
                hints.extend(again)
                continue
        if workload is not None and workload.generation == session.generation:
            changed, events = observe(session, workload, now)
        elif current and _old_enough(session, now, world.policy.vanish_after_s):
            changed, events = vanished(session, now)
        else:
            continue
        if changed != session:
            settled.append((changed, events))
    hints.extend(await settle_all(tx, settled, now, world.policy))
    await saves.keep_track(tx, host_id, report, now)
    return tuple(hints)


def _old_enough(session: Session, now: datetime, after_s: float) -> bool:
    allocated_at = session.stages.allocated_at
    return allocated_at is not None and now - allocated_at > timedelta(seconds=after_s)


async def plan_of(world: World, host_id: str) -> HostPlan:
    """The whole plan of a host, derived from rows. Raises NotFound."""
    async with world.store.reading() as tx:
        vm = await tx.vms.get(host_id)
        if vm is None:
            raise NotFound("VM_NOT_FOUND", f"there is no VM 'vms/{host_id}'")
        sessions = await tx.sessions.on_vm(host_id)
        ports = await tx.ports.of_sessions([session.id for session in sessions])
        unfinished = await tx.backups.unfinished([session.id for session in sessions]) if sessions else ()
        wanted = {backup.session_id: backup.id for backup in unfinished}
        entries: list[PlanEntry] = []
        deployments: dict[tuple[str, str, int], Deployment | None] = {}
        for session in sessions:
            want_run = plan_entry(session)
            key = (session.project_id, session.game_id, session.deployment_number)
            if key not in deployments:
                deployments[key] = await tx.catalogue.deployment(*key)
            deployment = deployments[key]
            if want_run is None or deployment is None:
                continue
            held = tuple(lease for lease in ports.get(session.id, ()) if lease.free_at is None)
            backup_id = wanted.get(session.id, "")
            entries.append(PlanEntry(session, deployment, held, want_run, session.lease_s or None, backup_id))
        return HostPlan(vm.plan_version, vm, tuple(entries))


async def get_host(world: World, who: Principal, host_id: str) -> tuple[Host, Vm]:
    """Raises NotFound, for another project's host too."""
    async with world.store.reading() as tx:
        host, vm = await tx.hosts.get(host_id), await tx.vms.get(host_id)
        if host is None or vm is None or host.project_id != who.project_id:
            raise NotFound("HOST_NOT_FOUND", f"there is no host 'hosts/{host_id}'", field="name")
        return host, vm


async def list_hosts(world: World, who: Principal, page: Page) -> Sequence[tuple[Host, int]]:
    """(host, plan_version of its VM)."""
    async with world.store.reading() as tx:
        hosts = await tx.hosts.list(who.project_id, page)
        links = await tx.vms.links([host.id for host in hosts])
        return [(host, links[host.id].plan_version) for host in hosts]


async def revoke_host(world: World, who: Principal, host_id: str, request_id: str) -> Host:
    """Refuses the host's certificates from now on; its link is cut. Its sessions play on, unreachable, until lost."""
    operators_only(who)
    async with world.store.tx() as tx:
        host = await tx.hosts.lock(host_id)
        if host is None or host.project_id != who.project_id:
            raise NotFound("HOST_NOT_FOUND", f"there is no host 'hosts/{host_id}'", field="name")
        now = await tx.now()
        host = replace(host, revoked_at=host.revoked_at or now, version=host.version + 1)
        await tx.hosts.save(host)
        await tx.outbox.append([EventDraft("quarterdeck.host.revoked", host.project_id, host.name, host.version)])
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "RevokeHost", host.name, request_id))
    await world.tell(subjects.hint_plan(host_id))
    return host
