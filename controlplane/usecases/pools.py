"""Operators' verbs for pools and for the budget; and how full each pool is. What follows from them is decided by
`usecases.renting`, not here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from controlplane.domain import subjects
from controlplane.domain.errors import AlreadyExists, InvalidRequest, NotFound
from controlplane.domain.identity import Principal
from controlplane.domain.pool import Budget, Pool, Rented, checked, slots
from controlplane.domain.vm import STATIC
from controlplane.interfaces import AuditEntry, Tx
from controlplane.usecases.repeating import UNBORN, Create, once
from controlplane.usecases.world import World, operators_only


@dataclass(frozen=True)
class PoolView:
    """A pool and its machines."""

    pool: Pool
    machines: tuple[Rented, ...]

    @property
    def available(self) -> int:
        return sum(one.usable for one in self.machines)

    @property
    def coming(self) -> int:
        return sum(one.coming for one in self.machines)

    @property
    def leaving(self) -> int:
        return sum(one.leaving for one in self.machines)

    @property
    def free_slots(self) -> int:
        return sum(slots(one.vm.free_units) for one in self.machines if one.usable)

    @property
    def active_sessions(self) -> int:
        return sum(one.vm.active_sessions for one in self.machines)


@dataclass(frozen=True)
class BudgetView:
    """A budget, and what of it is spent by so many machines, an hour."""

    budget: Budget
    spent_micro_per_hour: int
    rented_vms: int


async def list_pools(world: World, who: Principal) -> Sequence[PoolView]:
    """The project's, by id."""
    operators_only(who)
    async with world.store.reading() as tx:
        return await _views(tx, await tx.pools.all(who.project_id))


async def get_pool(world: World, who: Principal, pool_id: str) -> PoolView:
    """Raises NotFound, for another project's pool too."""
    operators_only(who)
    async with world.store.reading() as tx:
        (view,) = await _views(tx, [await _owned(tx, who, pool_id)])
    return view


async def create_pool(world: World, who: Principal, wanted: Pool, request_id: str, client_token: str = "") -> PoolView:
    """One that exists with the same content is that one; so is what the same client token made, whatever has become of
    it since (I20). Raises AlreadyExists, InvalidRequest (provider, region, template, figures)."""
    operators_only(who)
    await _known(world, wanted)
    async with world.store.tx() as tx:

        async def find(name: str) -> Pool | None:
            return await tx.pools.get(name.removeprefix("pools/"))

        create = Create(who, "CreatePool", client_token, replace(wanted, created_at=UNBORN))
        pool = await once(tx, create, lambda: _add(tx, who, wanted, request_id), lambda made: made.name, find)
        (view,) = await _views(tx, [pool])
    await world.tell(subjects.RENTING)
    return view


async def _add(tx: Tx, who: Principal, wanted: Pool, request_id: str) -> Pool:
    earlier = await tx.pools.get(wanted.id)
    if earlier is not None:
        same = replace(
            wanted,
            project_id=who.project_id,
            created_at=earlier.created_at,
            blocked=earlier.blocked,
            version=earlier.version,
        )
        if same != earlier:
            raise AlreadyExists("POOL_EXISTS", f"there is another pool '{wanted.name}' already", field="pool_id")
        return earlier
    for other in await tx.pools.all(who.project_id):
        if replace(wanted, project_id=who.project_id).kind == other.kind:
            raise AlreadyExists("POOL_EXISTS", f"'{other.name}' is of the same machines: update it", field="pool")
    pool = checked(replace(wanted, project_id=who.project_id, created_at=await tx.now()))
    await tx.pools.add(pool)
    await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreatePool", pool.name, request_id))
    return pool


async def update_pool(
    world: World, who: Principal, pool_id: str, edit: Callable[[Pool], Pool], request_id: str
) -> PoolView:
    """What `edit` makes of it. Raises NotFound, InvalidRequest."""
    operators_only(who)
    async with world.store.tx() as tx:
        before = await _owned(tx, who, pool_id)
        after = checked(edit(before))
        if after.kind != before.kind:
            raise InvalidRequest(
                "POOL_KIND_FIXED", "provider, region and template of a pool never change: create another", field="pool"
            )
        if after != before:
            after = replace(after, version=before.version + 1)
            await tx.pools.save(after)
            await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "UpdatePool", after.name, request_id))
        (view,) = await _views(tx, [after])
    await world.tell(subjects.RENTING)
    return view


async def delete_pool(world: World, who: Principal, pool_id: str, request_id: str) -> None:
    """Its machines go, each when it has been empty for as long as any that was rented for demand. Raises NotFound."""
    operators_only(who)
    async with world.store.tx() as tx:
        pool = await _owned(tx, who, pool_id)
        await tx.pools.delete(pool.id)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "DeletePool", pool.name, request_id))


async def get_budget(world: World, who: Principal) -> BudgetView:
    """What the project may spend, and does; nothing to spend where nobody has said so."""
    operators_only(who)
    async with world.store.reading() as tx:
        return await _spent(tx, (await tx.renting.budgets()).get(who.project_id) or Budget(who.project_id))


async def update_budget(world: World, who: Principal, edit: Callable[[Budget], Budget], request_id: str) -> BudgetView:
    """What `edit` makes of it. Less than is spent ends nothing: it keeps more from being rented."""
    operators_only(who)
    async with world.store.tx() as tx:
        before = (await tx.renting.budgets()).get(who.project_id) or Budget(who.project_id)
        after = edit(before)
        if after != before:
            await tx.renting.put_budget(after)
            await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "UpdateBudget", "budget", request_id))
        view = await _spent(tx, after)
    await world.tell(subjects.RENTING)
    return view


async def _spent(tx: Tx, budget: Budget) -> BudgetView:
    fleet = await tx.renting.fleet(await tx.now())
    mine = [one for one in fleet if one.held and one.vm.project_id == budget.project_id]
    prices = [one.price for one in mine if one.price is not None and one.price.currency == budget.currency]
    return BudgetView(budget, sum(price.price_micro_per_hour for price in prices), len(mine))


async def _views(tx: Tx, pools: Sequence[Pool]) -> list[PoolView]:
    fleet = await tx.renting.fleet(await tx.now()) if pools else []
    return [PoolView(pool, tuple(one for one in fleet if one.held and one.kind == pool.kind)) for pool in pools]


async def _known(world: World, pool: Pool) -> None:
    async with world.store.reading() as tx:
        regions = {region.id for region in await tx.shapes.regions()}
        templates = {template.id for template in await tx.shapes.templates()}
    for kind, wanted, known in (
        ("provider", pool.provider, set(world.providers) - {STATIC}),
        ("region", pool.region_id, regions),
        ("template", pool.template_id, templates),
    ):
        if wanted not in known:
            raise InvalidRequest(
                f"{kind.upper()}_UNKNOWN",
                f"there is no {kind} '{wanted}'; known: {', '.join(sorted(known))}",
                field=f"pool.{kind}",
            )


async def _owned(tx: Tx, who: Principal, pool_id: str) -> Pool:
    pool = await tx.pools.get(pool_id)
    if pool is None or pool.project_id != who.project_id:
        raise NotFound("POOL_NOT_FOUND", f"there is no pool 'pools/{pool_id}'", field="name")
    return pool
