"""Binding a session to a VM, inside the caller's transaction; `settling` gives the VM back.

Lock order everywhere: host, then VM, then sessions and ports. Capacity, ports, session and events commit together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from controlplane.domain import subjects
from controlplane.domain.copying import copied
from controlplane.domain.events import EventDraft
from controlplane.domain.fallback import Wish
from controlplane.domain.game import MEDIA_PORT, Deployment, Picture, PortSpec
from controlplane.domain.host import Host
from controlplane.domain.placement import (
    Candidate,
    Choice,
    Held,
    Need,
    PassedOver,
    PortKey,
    assign_many,
    next_gpu,
    rank,
)
from controlplane.domain.ports import Berth, Lack, held, leases_for
from controlplane.domain.region import Law
from controlplane.domain.session import PortLease, Session, SessionState, SessionTrigger, Stages
from controlplane.domain.template import Preset
from controlplane.domain.vm import Vm
from controlplane.interfaces import RegionFigure, Tx
from controlplane.usecases.survey import Way, explained, in_words, ways, with_renting
from controlplane.usecases.world import Policy

# How many machines are looked at: most batches need few; when those are not enough, all there are.
NEAR, ALL = 16, 10_000
ROUNDS = 4


def ports_of(deployment: Deployment) -> tuple[PortSpec, ...]:
    """The host ports that a session needs: those of its game, and one for its stream."""
    streamed = deployment.picture is not Picture.NONE
    return (*deployment.ports, PortSpec(MEDIA_PORT, "udp")) if streamed else deployment.ports


def fixed(ports: Sequence[PortSpec]) -> tuple[PortKey, ...]:
    """Those that must have one number."""
    return tuple((port.protocol, port.host_port) for port in ports if port.host_port)


@dataclass(frozen=True)
class Ask:
    """A PENDING session, or one that is to be re-placed, and what it is to run, by what law."""

    session: Session
    deployment: Deployment
    preset: Preset
    law: Law

    @property
    def wish(self) -> Wish:
        session, settled = self.session, bool(self.session.vm_id)
        return Wish(session.region_id, session.coordinates, session.territory, self.law, settled)

    @property
    def ports(self) -> tuple[PortSpec, ...]:
        return ports_of(self.deployment)


@dataclass(frozen=True)
class Placement:
    """`bound` is the session on its VM, or None; `passed` is who was passed over and why. `contended`: another
    transaction holds what it may go to, so only a later one can tell."""

    bound: Session | None = None
    leases: tuple[PortLease, ...] = ()
    passed: tuple[PassedOver, ...] = ()
    contended: bool = False

    @property
    def hints(self) -> tuple[str, ...]:
        if self.bound is None:
            return ()
        return subjects.hint_plan(self.bound.vm_id), subjects.hint_session(self.bound.id)


async def surveyed(
    tx: Tx, asks: Sequence[Ask], found: Sequence[Way], now: datetime, limit: int = ALL
) -> tuple[Sequence[Need], Sequence[Candidate]]:
    """What each asks of a VM, and the VMs that take sessions where they may go, at most `limit`. Only reads."""
    placing = _Placing(tx, asks, found, now)
    return placing.needs, await placing.candidates(limit)


def needs_of(asks: Sequence[Ask], found: Sequence[Way]) -> list[Need]:
    """What each asks of a VM, by its way."""
    return [_need(ask, way) for ask, way in zip(asks, found, strict=True)]


async def place_many(tx: Tx, asks: Sequence[Ask], now: datetime, *, wait: bool = False) -> Sequence[Placement]:
    """Each session bound to the best VM that has room after those before it, or why not.

    The caller saves or adds the sessions; VMs, ports and events are written here. VMs that others hold are passed by,
    and what nothing else was found for is `contended`; with `wait` they are waited for, once and in sorted order, so
    that nobody waits for us meanwhile (no deadlock)."""
    placing = _Placing(tx, asks, ways(await tx.shapes.regions(), [ask.wish for ask in asks]), now)
    limit, skipped, sure, locking = NEAR, frozenset[str](), False, True
    for _ in range(ROUNDS):
        snapshot = await placing.candidates(limit)
        candidates = [candidate for candidate in snapshot if candidate.vm.id not in skipped]
        chosen = placing.assign(candidates)
        if not chosen and len(snapshot) < limit:
            sure = not skipped
            break
        if not chosen:
            limit = ALL
            continue
        if not locking:
            break
        locked = {vm.id: vm for vm in await tx.batch.lock_vms(sorted(chosen), wait=wait)}
        skipped |= chosen - locked.keys()
        await placing.bind([c for c in candidates if c.vm.id in locked], locked)
        if not placing.unplaced:
            break
        limit, locking = ALL, not wait
    return await placing.finish(contended=not sure)


async def place_on(tx: Tx, ask: Ask, candidate: Candidate, now: datetime) -> Placement:
    """The session bound to that VM, which the caller has locked, whatever its region; or why not."""
    placing = _Placing(tx, [ask], [Way((candidate.vm.region_id,), (), ())], now)
    chosen = placing.assign([candidate])
    if chosen:
        await placing.bind([candidate], {candidate.vm.id: candidate.vm})
        placing.assign([placing.again(candidate)])  # says why not, where a port was missing
    (placement,) = await placing.finish(contended=False)
    return placement


class _Placing:
    """What one transaction has placed so far."""

    def __init__(self, tx: Tx, asks: Sequence[Ask], found: Sequence[Way], now: datetime) -> None:
        self._tx = tx
        self._asks = asks
        self._ways = found
        self.needs = needs_of(asks, found)
        self._seen: dict[str, Candidate] = {}
        self._now = now
        self._done: dict[int, Placement] = {}
        self._vms: dict[str, Vm] = {}
        self._passed: dict[Need, tuple[PassedOver, ...]] = {}
        self._portless: set[str] = set()
        self._held: dict[str, dict[PortKey, Held]] = {}
        self._why: dict[tuple[Way, Need, str], tuple[PassedOver, ...]] = {}
        self._figures: dict[str, Sequence[RegionFigure]] = {}
        self._events: list[EventDraft] = []

    @property
    def unplaced(self) -> list[int]:
        return [index for index in range(len(self._asks)) if index not in self._done]

    async def candidates(self, limit: int) -> list[Candidate]:
        scopes = {(self.needs[i].project_id, self.needs[i].regions) for i in self.unplaced if self.needs[i].regions}
        found: dict[str, Candidate] = {}
        for project_id, regions in sorted(scopes):
            for vm, host in await self._tx.vms.placeable(project_id, regions, limit):
                found.setdefault(vm.id, Candidate(vm, host))
        await self._known(found)
        found = {vm_id: self.again(candidate) for vm_id, candidate in found.items()}
        self._seen |= found
        return list(found.values())

    def again(self, candidate: Candidate) -> Candidate:
        """With what this transaction has taken of it, or found missing."""
        vm = candidate.vm
        return Candidate(self._vms.get(vm.id, vm), candidate.host, vm.id in self._portless, self._held.get(vm.id, {}))

    async def _known(self, vm_ids: Iterable[str]) -> dict[str, dict[PortKey, PortLease]]:
        """What is known now of the fixed ports that are asked for, by VM."""
        known: dict[str, dict[PortKey, PortLease]] = {}
        ports = {key for index in self.unplaced for key in self.needs[index].fixed}
        for lease in await self._tx.batch.leases_at(sorted(vm_ids), ports) if ports else ():
            key = (lease.protocol, lease.host_port)
            known.setdefault(lease.vm_id, {})[key] = lease
            if (why := held(lease, self._now)) is not None:
                self._held.setdefault(lease.vm_id, {})[key] = why
        return known

    def assign(self, candidates: Sequence[Candidate]) -> frozenset[str]:
        """The VMs that those unplaced would go to."""
        return frozenset(choice.vm_id for choice in self._assign(candidates) if choice is not None)

    def _assign(self, candidates: Sequence[Candidate]) -> Sequence[Choice | None]:
        choices, passed = assign_many([self.needs[index] for index in self.unplaced], candidates)
        self._passed |= passed
        return choices

    async def bind(self, candidates: Sequence[Candidate], locked: Mapping[str, Vm]) -> None:
        """Places whom the locked VMs have room for, as they are now."""
        self._vms = {**locked, **self._vms}  # what an earlier round took is not written yet
        unplaced = self.unplaced
        choices = self._assign([replace(candidate, vm=self._vms[candidate.vm.id]) for candidate in candidates])
        with_ports = {c.vm_id for i, c in zip(unplaced, choices, strict=True) if c and self._asks[i].ports}
        taken = dict(await self._tx.batch.ports_taken(sorted(with_ports), self._now)) if with_ports else {}
        known = await self._known(with_ports)
        hosts = {candidate.vm.id: candidate.host for candidate in candidates}
        leased: list[PortLease] = []
        for index, choice in zip(unplaced, choices, strict=True):
            if choice is None:
                continue
            ask, vm = self._asks[index], self._vms[choice.vm_id]
            berth = Berth(vm, hosts[vm.id].inventory.ephemeral_ports, _of(vm, taken), known.get(vm.id, {}))
            leases = leases_for(ask.session, ask.ports, berth, self._now)
            if isinstance(leases, Lack):
                self._note(vm, leases)
                continue
            for lease in leases:
                key = (vm.id, lease.protocol)
                taken[key] = taken.get(key, frozenset()) | {lease.host_port}
                known.setdefault(vm.id, {})[lease.protocol, lease.host_port] = lease
            bound = self._take(ask, vm, choice, await self._gpu(ask, vm, hosts[vm.id]))
            self._done[index] = Placement(bound, leases)
            leased.extend(leases)
        await self._tx.batch.lease_ports(leased, self._now)

    async def _gpu(self, ask: Ask, vm: Vm, host: Host) -> int | None:
        """The card for a session whose container asks for one: that which fewest use."""
        container = ask.deployment.container
        if container is None or not container.gpu:
            return None
        before = [session.gpu_index for session in await self._tx.sessions.on_vm(vm.id)]
        now = [done.bound.gpu_index for done in self._done.values() if done.bound and done.bound.vm_id == vm.id]
        return next_gpu(host.inventory.gpus, [*before, *now], ask.preset)

    def _note(self, vm: Vm, lack: Lack) -> None:
        if lack.number:
            key = (lack.protocol, lack.number)
            self._held.setdefault(vm.id, {}).setdefault(key, Held("was given away a moment ago"))
        else:
            self._portless.add(vm.id)

    def _take(self, ask: Ask, vm: Vm, choice: Choice, gpu_index: int | None) -> Session:
        self._vms[vm.id], vm_events = vm.take(choice.units, self._now)
        berth: dict[str, Any] = {
            "vm_id": vm.id,
            "region_id": vm.region_id,
            "units": choice.units,
            "gpu_index": gpu_index,
        }
        if ask.session.state is SessionState.PENDING:
            bound, events = ask.session.on(
                SessionTrigger.ALLOCATED, self._now, stages=Stages(allocated_at=self._now), **berth
            )
        else:
            bound, events = replace(ask.session, **berth).replaced(self._now, f"vms/{ask.session.vm_id} was lost")
            bound = replace(bound, unreachable_at=None)
        self._events.extend((*vm_events, *events, bound.event("assigned")))
        return bound

    async def finish(self, *, contended: bool) -> Sequence[Placement]:
        placed = {placement.bound.vm_id for placement in self._done.values() if placement.bound}
        await self._tx.batch.save_vms([self._vms[vm_id] for vm_id in sorted(placed)])
        await self._tx.outbox.append(self._events)
        return [await self._told(index, contended) for index in range(len(self._asks))]

    async def _told(self, index: int, contended: bool) -> Placement:
        """The placement of an ask, with why it is not elsewhere."""
        need, way, done = self.needs[index], self._ways[index], self._done.get(index)
        if done is None or done.bound is None:
            return Placement(passed=await self._explain(way, need, ""), contended=contended)
        region_id = done.bound.region_id
        if region_id == way.regions[0] and not way.forbidden:
            return done if not done.bound.passed_over else replace(done, bound=replace(done.bound, passed_over=()))
        earlier = self._asks[index].session.passed_over
        before = way.regions[: way.regions.index(region_id)]
        tried = [entry for entry in earlier if entry.code and entry.region_id in before]
        passed = await self._explain(way, need, region_id)
        passed = with_renting(passed, tried) if tried else passed
        elsewhere = self._asks[index].session.region_id not in ("", region_id)
        detail = f"placed in {region_id}: {in_words(passed)}" if elsewhere else ""
        bound = copied(done.bound, passed_over=passed, reason_detail=detail)
        return Placement(bound, done.leases, passed)

    async def _explain(self, way: Way, need: Need, taken_region: str) -> tuple[PassedOver, ...]:
        """The same for all who need and got the same; `taken_region` is "" for those who got nothing."""
        key = (way, need, taken_region)
        if key not in self._why:
            if need.project_id not in self._figures:
                self._figures[need.project_id] = await self._tx.figures.regions(need.project_id)
            fleet = [replace(seen, vm=self._vms.get(vm_id, seen.vm)) for vm_id, seen in self._seen.items()]
            passed = rank(need, fleet)[1] if taken_region else self._passed.get(need, ())
            # Whom this batch has just filled was taken there, not passed over.
            filled = {placement.bound.vm_id for placement in self._done.values() if placement.bound}
            passed = tuple(entry for entry in passed if entry.region_id != taken_region or entry.vm_id not in filled)
            self._why[key] = explained(way, self._figures[need.project_id], passed, taken_region)
        return self._why[key]


def _of(vm: Vm, taken: Mapping[tuple[str, str], frozenset[int]]) -> dict[str, frozenset[int]]:
    """Those of one VM, by protocol."""
    return {protocol: ports for (vm_id, protocol), ports in taken.items() if vm_id == vm.id}


async def start_on_other_ports(
    tx: Tx, session: Session, detail: str, now: datetime, policy: Policy
) -> tuple[str, ...] | None:
    """Makes the session's next generation start on other ports of its VM; None when it has tried enough, there are
    none, or one of them is fixed. Those that others hold rest as long as those of a host that was lost. Returns hints
    to give."""
    host, vm = await tx.hosts.get(session.vm_id), await tx.vms.lock(session.vm_id)
    deployment = await tx.catalogue.deployment(session.project_id, session.game_id, session.deployment_number)
    if host is None or vm is None or deployment is None or session.generation >= policy.port_attempts:
        return None
    if fixed(deployment.ports):
        return None
    await tx.ports.release([session.id], now + timedelta(seconds=policy.lost_port_quarantine_s))
    taken = dict(await tx.batch.ports_taken([vm.id], now))
    berth = Berth(vm, host.inventory.ephemeral_ports, _of(vm, taken), {})
    leases = leases_for(session, ports_of(deployment), berth, now)
    if isinstance(leases, Lack):
        return None
    await tx.batch.lease_ports(leases, now)
    await tx.vms.save(vm.replanned(now))
    again, events = session.replaced(now, detail)
    await tx.sessions.save(again)
    await tx.outbox.append(events)
    return subjects.hint_session(session.id), subjects.hint_plan(vm.id)


def _need(ask: Ask, way: Way) -> Need:
    must_have, container = fixed(ask.ports), ask.deployment.container
    asked = (("nvidia", container.gpu), ("render", container.render)) if container is not None else ()
    return Need(
        ask.session.project_id,
        ask.preset,
        ask.deployment.picture,
        way.regions,
        ports=len(ask.ports) > len(must_have),
        contained=container is not None,
        graphics=tuple(word for word, wanted in asked if wanted),
        fixed=must_have,
        # Only these tell games apart: all others are placed alike.
        game_id=ask.session.game_id if must_have else "",
    )
