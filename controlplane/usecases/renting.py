"""Rents for demand and for pools, and gives back what nobody needs: decided from one snapshot, in one transaction.

One replica decides, and takes its turn with whoever else rents: what one has wished for is under way for the next.
Prices are asked for before; who buys asks again and pays no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controlplane.domain import subjects
from controlplane.domain.host import HostState
from controlplane.domain.identity import Principal, Role
from controlplane.domain.placement import Candidate, Need, PassedOver
from controlplane.domain.pool import RENTING, Decision, Ending, Market, Pool, Rent, Rented
from controlplane.domain.region import Region
from controlplane.domain.renting import decide
from controlplane.domain.session import Session, SessionState
from controlplane.interfaces import AuditEntry, Tx
from controlplane.usecases.allocation import Ask, surveyed
from controlplane.usecases.offers import Quoted
from controlplane.usecases.queue import BATCH, asks_of
from controlplane.usecases.replacement import lapsed
from controlplane.usecases.survey import in_words, ways, with_renting
from controlplane.usecases.vms import VmRequest, add_vm, may_have_machine, towards_termination
from controlplane.usecases.world import World

HOUSE = "house"
# What a machine had is remembered for so long after it was rented.
KNOWN_DAYS = 30
# Who decides goes on doing so; another takes over so long after its last round.
TENDING, TENDING_LEASE_S = "renting", 10.0
# Before the session of a host that took its leave goes elsewhere: in about so long a machine comes.
AHEAD_S = 180.0


@dataclass(frozen=True)
class _Snapshot:
    needs: Sequence[Need]
    standing: Sequence[Candidate]
    rented: Sequence[Rented]
    pools: Sequence[Pool]
    market: Market
    now: datetime


async def tend(world: World, holder: str) -> Decision:
    """One round; returns what was done. Any number of replicas may, each as a `holder` of its own: while one does, the
    others leave it to that one. Raises Conflict, Unavailable."""
    async with world.store.reading() as tx:
        now, pools, templates = await tx.now(), await tx.pools.all(), await tx.shapes.templates()
        most = _most(await tx.shapes.regions())
        demand = bool(most and (await tx.queue.wanted() or await _stranded(tx, world, now)))
        if not demand and not pools and all(one.row.mandate is None for one in await tx.renting.fleet(now)):
            return Decision()
    async with world.store.tx() as tx:
        if not await tx.figures.lead(TENDING, holder, TENDING_LEASE_S):
            return Decision()
    quoted = Quoted()
    if most and (demand or pools):
        quoted = await world.offers.quoted(world.providers, list(most), [template.id for template in templates])
    async with world.store.tx() as tx:
        # Before the turn: the queue may be long, and whoever waits for the turn waits for no more than he must.
        asks = await _waiting(tx, world) if demand else []
        await tx.renting.take_turn()
        # Who was given a place since then needs no machine: the fleet, which is looked at now, has his seat taken.
        still = await tx.queue.still([ask.session.id for ask in asks]) if asks else {}
        asks = [ask for ask in asks if still.get(ask.session.id) == ask.session.generation]
        snapshot = await _snapshot(tx, world, quoted, asks)
        decision = decide(
            snapshot.needs, snapshot.standing, snapshot.rented, snapshot.pools, snapshot.market, snapshot.now
        )
        for rent in decision.rents:
            await _rent(tx, world, rent)
        ended = [ending for ending in decision.endings if await _end(tx, ending)]
        for pool in snapshot.pools:
            if pool.blocked != decision.blocked[pool.id]:
                changed = replace(pool, blocked=decision.blocked[pool.id], version=pool.version + 1)
                await tx.pools.save(changed)
    if decision.rents or ended:
        await world.tell(subjects.RENTING)
    await _tell(world, asks, decision.told)
    return replace(decision, endings=tuple(ended), faults=quoted.faults)


async def _snapshot(tx: Tx, world: World, quoted: Quoted, asks: Sequence[Ask]) -> _Snapshot:
    now, renting = await tx.now(), world.policy.renting
    regions = await tx.shapes.regions()
    rented = await tx.renting.fleet(now - timedelta(seconds=renting.patience.remembered_s))
    needs, standing = await surveyed(tx, asks, ways(regions, [ask.wish for ask in asks]), now)
    market = Market(
        offers=quoted.offers,
        away=quoted.away,
        templates=await tx.shapes.templates(),
        most=_most(regions),
        budgets=await tx.renting.budgets(),
        known=await tx.renting.models(now - timedelta(days=KNOWN_DAYS)) if needs else {},
        idle_after_s=renting.idle_after_s,
        schedules=renting.patience.schedules,
    )
    return _Snapshot(needs, standing, rented, await tx.pools.all(), market, now)


def _most(regions: Sequence[Region]) -> Mapping[str, int]:
    return {region.id: region.max_rented_vms for region in regions if region.max_rented_vms}


async def _stranded(tx: Tx, world: World, now: datetime) -> list[Session]:
    """Those who lost their host and start afresh elsewhere, so that a machine comes for them while their lease runs
    out. A host that took its leave is waited for: it comes back as soon as its agent has been exchanged."""
    since = now - timedelta(seconds=world.policy.silence.lost_after_s)
    lost = await tx.queue.stranded(since, (HostState.LOST,))
    left, soon = await tx.queue.stranded(since, (HostState.OFFLINE,)), now + timedelta(seconds=AHEAD_S)
    return [*lost, *(session for session in left if lapsed(session, soon, world.policy))]


async def _waiting(tx: Tx, world: World) -> list[Ask]:
    """The stranded, and all who wait, oldest first: those who may go nowhere else must not hide those behind them."""
    sessions = await _stranded(tx, world, await tx.now())
    last = None
    while True:
        batch = await tx.queue.after(last, BATCH)
        sessions.extend(batch)
        if len(batch) < BATCH:
            return await asks_of(tx, sessions)
        last = (batch[-1].created_at, batch[-1].id)


async def _rent(tx: Tx, world: World, rent: Rent) -> None:
    offer = rent.offer
    request = VmRequest(
        vm_id="",
        region_id=offer.region_id,
        template_id=offer.template_id,
        provider=offer.provider,
        mandate=offer,
        attempt=rent.attempt,
    )
    await add_vm(tx, world, Principal(rent.project_id, HOUSE, Role.OPERATOR), request, "")


async def _end(tx: Tx, ending: Ending) -> bool:
    """Only what is still empty and stands as it was seen: whoever was placed there meanwhile plays on (I14)."""
    vm = await tx.vms.lock(ending.vm_id)
    if vm is None or vm.active_sessions or vm.version != ending.version or vm.terminate_requested_at is not None:
        return False
    await towards_termination(tx, vm, await may_have_machine(tx, vm), await tx.now(), ending.why)
    await tx.outbox.audit(AuditEntry(vm.project_id, HOUSE, "TerminateVm", vm.name, ""))
    return True


async def _tell(world: World, asks: Sequence[Ask], told: Sequence[tuple[PassedOver, ...] | None]) -> None:
    """Lets those who wait know what is done for them, or why nothing is; who has a machine on its way is given the time
    that it takes. Whom another transaction holds, the next round tells: those beside it are told now."""
    wait_s = world.policy.rented_queue_timeout_s
    news = {
        ask.session.id: entries
        for ask, entries in zip(asks, told, strict=True)
        if entries is not None and _informed(ask.session, entries, wait_s) != ask.session
    }
    stale = list(news)
    for first in range(0, len(stale), BATCH):
        async with world.store.tx() as tx:
            waiting = await tx.queue.lock(stale[first : first + BATCH])
            informed = [_informed(session, news[session.id], wait_s) for session in waiting]
            await tx.batch.save_sessions([replace(session, version=session.version + 1) for session in informed])
        await world.tell(*(subjects.hint_session(session.id) for session in waiting))


def _informed(session: Session, news: Sequence[PassedOver], wait_s: float) -> Session:
    if session.state is not SessionState.PENDING:
        return session
    passed = with_renting(session.passed_over, news)
    if any(entry.code == RENTING for entry in news):
        session = session.patient(wait_s)
    if passed == session.passed_over:
        return session
    return replace(session, passed_over=passed, reason_detail=f"waits for a slot: {in_words(passed)}")
