"""Replaces rented VMs one by one: the successor is ready before the old one is drained, and no session is ended.

Each step commits before the next begins; a row left by a crash goes on from where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from controlplane.domain import subjects
from controlplane.domain.errors import Conflict, NotFound, Unavailable, WrongState, as_one
from controlplane.domain.identity import Principal, Role
from controlplane.domain.pool import Market
from controlplane.domain.provisioning import Phase, Provisioning
from controlplane.domain.renting import obstacle
from controlplane.domain.request import named_by
from controlplane.domain.succession import Replacement, ReplacementState, ReplacementTrigger
from controlplane.domain.vm import PLACEABLE, Vm, VmState
from controlplane.interfaces import AuditEntry, Page, Tx
from controlplane.usecases.renting import HOUSE
from controlplane.usecases.repeating import Create, mismatch, once
from controlplane.usecases.vms import VmRequest, add_vm, owned, towards_termination
from controlplane.usecases.world import World, operators_only

S, T = ReplacementState, ReplacementTrigger


async def replace_vms(
    world: World, who: Principal, scope: str, client_token: str, request_id: str
) -> Sequence[Replacement]:
    """Queues the replacement of one VM ("vms/…"), or of all VMs that take sessions of a pool ("pools/…") or template
    ("templates/…"), as one series. The same client token gives the same series.

    Raises NotFound; WrongState for a VM that is owned, or takes no sessions; AlreadyExists (token of another scope)."""
    operators_only(who)
    series_id = named_by("r", who.project_id, client_token) or world.ids.new("r")
    async with world.store.tx() as tx:
        create = Create(who, "ReplaceVms", client_token, scope)
        return await once(
            tx,
            create,
            lambda: _line_up(tx, who, series_id, scope, request_id),
            lambda _: series_id,
            tx.replacements.of_series,
        )


async def _line_up(tx: Tx, who: Principal, series_id: str, scope: str, request_id: str) -> Sequence[Replacement]:
    # One at a time: no two series may take up the same VM.
    await tx.renting.take_turn()
    earlier = await tx.replacements.of_series(series_id)
    if earlier:  # by the last release, which knew a repeat by the series itself
        if earlier[0].scope != scope:
            raise mismatch(earlier[0].scope)
        return earlier
    under_way = {row.vm_id for row in await tx.replacements.unfinished()}
    now = await tx.now()
    rows = [
        Replacement(f"{series_id}-{number:03d}", who.project_id, series_id, scope, vm.id, S.QUEUED, now, now)
        for number, vm in enumerate(await _in_scope(tx, who, scope))
        if vm.id not in under_way
    ]
    for row in rows:
        await tx.replacements.add(row)
    if rows:
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "ReplaceVms", scope, request_id))
    return rows


async def list_replacements(world: World, who: Principal, page: Page) -> Sequence[Replacement]:
    """Newest first."""
    operators_only(who)
    async with world.store.reading() as tx:
        return await tx.replacements.list(who.project_id, page)


async def cancel_series(world: World, who: Principal, replacement_id: str, request_id: str) -> Sequence[Replacement]:
    """Calls off what has not begun of the series that this one is of; what is under way goes on. Raises NotFound."""
    operators_only(who)
    async with world.store.tx() as tx:
        row = await tx.replacements.get(replacement_id)
        if row is None or row.project_id != who.project_id:
            raise NotFound(
                "REPLACEMENT_NOT_FOUND", f"there is no replacement 'replacements/{replacement_id}'", field="name"
            )
        await _call_off(tx, row.series_id, await tx.now(), f"called off by {who.subject}")
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CancelReplacements", row.name, request_id))
        return await tx.replacements.of_series(row.series_id)


async def advance(world: World) -> int:
    """One step for each series that has something to do; returns how many rows changed. Any number of replicas may.

    Raises Unavailable; an ExceptionGroup where something was not foreseen, when all other series have had their step.
    """
    async with world.store.reading() as tx:
        unfinished = await tx.replacements.unfinished()
    series: dict[str, Replacement] = {}
    for row in unfinished:  # what is under way goes before what waits
        first = series.get(row.series_id)
        if first is None or (first.state is S.QUEUED and row.state is not S.QUEUED):
            series[row.series_id] = row
    changed, broken = 0, list[Exception]()
    for row in series.values():
        try:
            changed += await _step(world, row)
        except Conflict:  # another replica was faster
            continue
        except Exception as error:  # noqa: BLE001 - raised below
            broken.append(error)
            if isinstance(error, Unavailable):
                break
    if broken:
        raise as_one("succession", broken)
    return changed


async def _step(world: World, seen: Replacement) -> bool:
    async with world.store.tx() as tx:
        await tx.renting.take_turn()
        row, vm = await tx.replacements.get(seen.id), await tx.vms.lock(seen.vm_id)
        if row is None or vm is None or row.version != seen.version:
            return False
        now = await tx.now()
        after = await _next(tx, world, row, vm, now)
        if after == row:
            return False
        await tx.replacements.save(after)
        if after.state is S.FAILED:
            await _call_off(tx, after.series_id, now, f"vms/{after.vm_id} could not be replaced")
    await world.tell(subjects.RENTING)
    return True


async def _next(tx: Tx, world: World, row: Replacement, vm: Vm, now: datetime) -> Replacement:
    if vm.state is VmState.TERMINATED:
        return row.on(T.GONE, now)
    if row.state is S.QUEUED:
        return await _begin(tx, world, row, vm, now)
    if row.state is S.DRAINING:
        called_off = vm.terminate_requested_at is None and vm.state in PLACEABLE
        return row.on(T.CANCEL, now, f"{vm.name} was put into service again") if called_off else row
    successor, purchase = await tx.vms.get(row.successor_id), await tx.provisionings.get(row.successor_id)
    if successor is None or purchase is None or _failed(successor, purchase):
        failure = purchase.failure if purchase else None
        why = f"{failure.code}: {failure.message}" if failure else "it was given up"
        return row.on(T.SUCCESSOR_FAILED, now, f"its successor vms/{row.successor_id} failed: {why}")
    if successor.state not in PLACEABLE:
        return row
    if vm.terminate_requested_at is None:
        await towards_termination(tx, vm, True, now, f"replaced by {successor.name}")
        await tx.outbox.audit(AuditEntry(vm.project_id, HOUSE, "DrainVm", vm.name, ""))
    return row.on(T.SUCCESSOR_READY, now)


async def _begin(tx: Tx, world: World, row: Replacement, vm: Vm, now: datetime) -> Replacement:
    purchase = await tx.provisionings.get(vm.id)
    if purchase is None or vm.terminate_requested_at is not None:
        return row.on(T.GONE, now, f"{vm.name} goes without a successor")
    why = await _held_back(tx, purchase, now)
    if why:
        return row if row.detail == why else row.waiting(now, why)
    request = VmRequest(
        vm_id="",
        region_id=vm.region_id,
        template_id=vm.template_id,
        client_token=f"replacement-{row.id}",
        provider=vm.provider,
        fallback_region_ids=tuple(other for other in purchase.region_ids if other != vm.region_id),
        mandate=purchase.mandate,
    )
    successor = await add_vm(tx, world, Principal(vm.project_id, HOUSE, Role.OPERATOR), request, "")
    return replace(row.on(T.RENT, now), successor_id=successor.id)


async def _held_back(tx: Tx, purchase: Provisioning, now: datetime) -> str:
    """Why a machine that the house rents by itself may not have a successor beside it now; "" for operators' own."""
    if purchase.mandate is None:
        return ""
    most = {region.id: region.max_rented_vms for region in await tx.shapes.regions()}
    market = Market(offers=(), templates=(), most=most, budgets=await tx.renting.budgets(), known={})
    return obstacle(purchase.project_id, purchase.mandate, await tx.renting.fleet(now), market, now)


def _failed(successor: Vm, purchase: Provisioning) -> bool:
    gone = successor.state is VmState.TERMINATED or successor.terminate_requested_at is not None
    return gone or (successor.state is VmState.ERROR and purchase.phase is Phase.RELEASED)


async def _call_off(tx: Tx, series_id: str, now: datetime, why: str) -> None:
    for row in await tx.replacements.of_series(series_id):
        if row.state is S.QUEUED:
            await tx.replacements.save(row.on(T.CANCEL, now, why))


async def _in_scope(tx: Tx, who: Principal, scope: str) -> Sequence[Vm]:
    collection, _, name = scope.partition("/")
    if collection == "vms":
        vm = owned(await tx.vms.get(name), who, name)
        if not vm.rented:
            raise WrongState("VM_OWNED", f"{vm.name} is an owned machine: only rented ones can be replaced")
        if vm.state not in PLACEABLE:
            raise WrongState("VM_NOT_IN_SERVICE", f"{vm.name} is {vm.state}: only one that takes sessions is replaced")
        return [vm]
    fleet = await tx.renting.fleet(await tx.now())
    mine = [one for one in fleet if one.vm.project_id == who.project_id and one.vm.state in PLACEABLE]
    if collection == "pools":
        pool = await tx.pools.get(name)
        if pool is None or pool.project_id != who.project_id:
            raise NotFound("POOL_NOT_FOUND", f"there is no pool '{scope}'", field="pool")
        return [one.vm for one in mine if one.kind == pool.kind]
    if await tx.shapes.template(name) is None:
        raise NotFound("TEMPLATE_NOT_FOUND", f"there is no template '{scope}'", field="template")
    return [one.vm for one in mine if one.vm.template_id == name]
