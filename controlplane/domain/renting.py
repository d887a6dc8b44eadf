"""Decides which machines to rent and which to give back, from one snapshot. Pure.

Rented twice is nothing: what is under way counts as room to come. Nothing flaps: a pool grows below its minimum and
shrinks only above minimum and buffer. What failed is left alone for longer each time, and the next region tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from controlplane.domain.attempt import Offer
from controlplane.domain.placement import Candidate, Need, PassedOver, assign_many, rank
from controlplane.domain.pool import (
    BUDGET_SPENT,
    NO_OFFER,
    POOL_FULL,
    REGION_LIMIT,
    RENTING,
    RENTING_FAILS,
    Budget,
    Decision,
    Ending,
    Kind,
    Market,
    Pool,
    Rent,
    Rented,
    hourly,
    presumed,
    slots,
)
from controlplane.domain.setback import lot, setbacks
from controlplane.domain.template import fitting
from controlplane.domain.vm import Vm, VmState

# Orders go out a few at a time: what the first of them learn (sold out, a wrong price) is known to the next round.
RENTS_AT_ONCE = 20


def decide(
    needs: Sequence[Need],
    standing: Iterable[Candidate],
    rented: Sequence[Rented],
    pools: Sequence[Pool],
    market: Market,
    now: datetime,
) -> Decision:
    """What to rent and what to give back. `needs` of waiting sessions come in the order of their queue; `standing` are
    the VMs that take sessions now, of any owner; `rented` are all that are rented, over all projects, and those whose
    failure is recent."""
    deciding = _Deciding(rented, pools, market, now)
    told = deciding.serve(needs, list(standing))
    blocked = {pool.id: deciding.fill(pool) for pool in sorted(pools, key=lambda pool: pool.id)}
    return Decision(tuple(deciding.rents), tuple(deciding.let_go()), told, blocked)


def obstacle(project_id: str, offer: Offer, rented: Sequence[Rented], market: Market, now: datetime) -> str:
    """What keeps the house from renting this once more, whatever pools say; "" for nothing."""
    found = _Deciding(rented, (), market, now).obtain(project_id, offer.region_id, [offer])
    return found.told if isinstance(found, _Obstacle) else ""


@dataclass(frozen=True)
class _Obstacle:
    code: str
    why: str

    @property
    def told(self) -> str:
        return f"{self.code}: {self.why}"


class _Deciding:
    """What one decision has decided so far."""

    def __init__(self, rented: Sequence[Rented], pools: Sequence[Pool], market: Market, now: datetime) -> None:
        self._rented = rented
        self._pools = {pool.kind: pool for pool in pools}
        self._market = market
        self._now = now
        self._templates = {template.id: template for template in market.templates}
        held = [one for one in rented if one.held]
        self._in_region = Counter(one.vm.region_id for one in held)
        self._of_kind = Counter(one.kind for one in held)
        self._spent: Counter[tuple[str, str]] = Counter()
        for one in held:
            if one.price is not None:
                self._spent[one.vm.project_id, one.price.currency] += one.price.price_micro_per_hour
        self._setbacks = setbacks(rented, market.schedules)
        self._taken: Counter[str] = Counter()
        self._fresh: list[Candidate] = []
        self._why: dict[tuple[Need, str], tuple[PassedOver, ...]] = {}
        self._made = 0
        self.rents: list[Rent] = []

    def serve(self, needs: Sequence[Need], standing: list[Candidate]) -> tuple[tuple[PassedOver, ...] | None, ...]:
        """Finds each need its room: there, under way, or to be rented; returns what to tell it.

        After each rent all are placed anew, as the queue will place them and the next round will see them: so the same
        demand, seen again, rents nothing more."""
        there = [*standing, *self._coming()]
        refused: dict[Need, tuple[PassedOver, ...]] = {}
        while True:
            choices, _ = assign_many(needs, [*there, *self._fresh])
            unmet = dict.fromkeys(need for need, choice in zip(needs, choices, strict=True) if choice is None)
            wanting = next((need for need in unmet if need not in refused), None)
            if wanting is None or len(self.rents) >= RENTS_AT_ONCE:
                break
            told, offer = self._seek(wanting)
            if offer is None:
                refused[wanting] = told
            else:
                self._take(wanting.project_id, offer)
        for choice in choices:
            if choice is not None:
                self._taken[choice.vm_id] += choice.units
        self._drop_unused()
        on_their_way = {candidate.vm.id: candidate.vm.region_id for candidate in (*self._coming(), *self._fresh)}
        return tuple(
            refused.get(need) or None if choice is None else self._told(need, on_their_way.get(choice.vm_id))
            for need, choice in zip(needs, choices, strict=True)
        )

    def fill(self, pool: Pool) -> str:
        """Rents what the pool lacks; returns why it goes on lacking it, or ""."""
        while self._free(pool) < pool.min_free_slots and not self._quiet(pool):
            template = self._templates.get(pool.template_id)
            offers = [
                offer
                for offer in self._market.offers
                if (offer.provider, offer.region_id, offer.template_id) == pool.kind[1:]
            ]
            offers.sort(key=lambda offer: (offer.price_micro_per_hour, offer.key))
            found = self.obtain(pool.project_id, pool.region_id, offers)
            if isinstance(found, _Obstacle):
                return found.told
            if template is None or len(self.rents) >= RENTS_AT_ONCE:
                return ""
            self._take(pool.project_id, found)
        return ""

    def let_go(self) -> Iterable[Ending]:
        """Machines that nobody needs any more: those that failed, and those empty for long enough, longest first."""
        for one in self._rented:
            if one.failing and one.row.mandate and one.row.failure and not _ended(one):
                yield Ending(
                    one.vm.id, one.vm.version, f"renting failed: {one.row.failure.code}: {one.row.failure.message}"
                )
        empty = [(one, one.empty_for_s(self._now)) for one in self._rented if one.row.mandate is not None]
        idle = [(since_s, one) for one, since_s in empty if since_s is not None and not self._taken[one.vm.id]]
        free = {pool.kind: self._free(pool) for pool in self._pools.values()}
        # What leaves takes no sessions any more: whoever takes its place is not one too many.
        count = self._of_kind - Counter(one.kind for one in self._rented if one.held and one.leaving)
        for since_s, one in sorted(idle, key=lambda entry: (-entry[0], entry[1].vm.id)):
            pool = self._pools.get(one.kind)
            if since_s < (pool.idle_after_s if pool else self._market.idle_after_s):
                continue
            seats = slots(one.vm.free_units) if one.usable else 0
            if pool and seats and count[one.kind] <= pool.max_vms:
                keeps = 0 if self._quiet(pool) else pool.min_free_slots + pool.buffer_slots
                if free[one.kind] - seats < keeps:
                    continue
            free[one.kind] = free.get(one.kind, 0) - seats
            count[one.kind] -= 1
            yield Ending(one.vm.id, one.vm.version, f"empty for {since_s:.0f} s")

    def _coming(self) -> list[Candidate]:
        return [
            presumed(one.vm, self._templates.get(one.vm.template_id), self._market.known.get(_model(one.vm)), one)
            for one in self._rented
            if one.coming
        ]

    def _told(self, need: Need, region_id: str | None) -> tuple[PassedOver, ...] | None:
        """That a machine is on its way in this region, and why none is in those that come before it."""
        if region_id is None:
            return None
        if (need, region_id) not in self._why:
            passed, _ = self._seek(replace(need, regions=need.regions[: need.regions.index(region_id)]))
            coming = PassedOver("", "a machine is being rented here", region_id, code=RENTING)
            self._why[need, region_id] = (*passed, coming)
        return self._why[need, region_id]

    def _seek(self, need: Need) -> tuple[tuple[PassedOver, ...], Offer | None]:
        """The first offer on its way that may be taken, and why none is before that."""
        told: list[PassedOver] = []
        for region_id in need.regions:
            if region_id not in self._market.most:
                continue
            offers, unfit = self._fitting(need, region_id)
            found = self.obtain(need.project_id, region_id, offers, unfit)
            if isinstance(found, Offer):
                return tuple(told), found
            told.append(PassedOver("", found.why, region_id, code=found.code))
        return tuple(told), None

    def _fitting(self, need: Need, region_id: str) -> tuple[list[Offer], str]:
        """Offers of templates that carry it, cheapest first, but of machines that are known not to; and why those
        would not."""
        here = [offer for offer in self._market.offers if offer.region_id == region_id]
        here.sort(key=lambda offer: (offer.price_micro_per_hour, offer.key))
        prices: dict[str, int] = {}
        for offer in here:
            prices.setdefault(offer.template_id, offer.price_micro_per_hour)
        order = [template.id for template in fitting(self._market.templates, need.preset, prices)]
        able = [offer for offer in here if offer.template_id in order]
        able.sort(key=lambda offer: (offer.price_micro_per_hour, order.index(offer.template_id), offer.key))
        found, unfit = [], ""
        for offer in able:
            choices, passed = rank(need, [self._candidate(need.project_id, offer, "vm")])
            if choices:
                found.append(offer)
            elif not unfit:
                unfit = f"the last machine of this kind would not do: {passed[0].why}"
        return found, unfit

    def obtain(self, project_id: str, region_id: str, offers: Sequence[Offer], unfit: str = "") -> Offer | _Obstacle:
        """The first of these offers that may be taken, or what keeps from it: where there are none, `unfit`."""
        most = self._market.most.get(region_id, 0)
        if not most:  # nobody was asked for offers here
            return _Obstacle(REGION_LIMIT, f"{self._in_region[region_id]} of 0 machines are rented here: set its limit")
        if not offers:
            silent = "".join(f"; {name} does not answer" for name in sorted(self._market.away))
            return _Obstacle(NO_OFFER, f"{unfit or 'nobody offers a fitting machine here'}{silent}")
        resting = {key: setback for key, setback in self._setbacks.items() if self._now < setback.again_at}
        sound = [offer for offer in offers if lot(offer) not in resting]
        if not sound:
            first = min((resting[lot(offer)] for offer in offers), key=lambda setback: setback.again_at)
            return _Obstacle(RENTING_FAILS, f"renting failed lately: {first.told}")
        if self._in_region[region_id] >= most:
            return _Obstacle(REGION_LIMIT, f"{self._in_region[region_id]} of {most} machines are rented here")
        roomy = [offer for offer in sound if not self._pool_full((project_id, *_what(offer)))]
        if not roomy:
            return _Obstacle(POOL_FULL, "the pool of these machines has all that it may have")
        budget = self._market.budgets.get(project_id) or Budget(project_id)
        spent = self._spent[project_id, budget.currency]
        for offer in roomy:
            price = offer.price_micro_per_hour
            if price == 0 or (offer.currency == budget.currency and spent + price <= budget.micro_per_hour):
                return offer
        least = hourly(roomy[0].price_micro_per_hour, roomy[0].currency)
        of = hourly(budget.micro_per_hour, budget.currency)
        used = hourly(spent, budget.currency).removesuffix(f" {budget.currency} an hour")
        return _Obstacle(BUDGET_SPENT, f"the cheapest machine is {least}; {used} of {of} are spent")

    def _take(self, project_id: str, offer: Offer) -> None:
        self._fresh.append(self._candidate(project_id, offer, f"fresh-{self._made:02d}"))
        self._made += 1
        earlier = self._setbacks.get(lot(offer))
        self.rents.append(Rent(project_id, offer, earlier.tries + 1 if earlier else 1))
        self._count(self.rents[-1], 1)

    def _drop_unused(self) -> None:
        """Machines that were to be rented, and that nobody goes to now that all are placed."""
        pairs = list(zip(self._fresh, self.rents, strict=True))
        for candidate, rent in pairs:
            if not self._taken[candidate.vm.id]:
                self._count(rent, -1)
        used = [pair for pair in pairs if self._taken[pair[0].vm.id]]
        self._fresh, self.rents = [pair[0] for pair in used], [pair[1] for pair in used]

    def _count(self, rent: Rent, number: int) -> None:
        self._in_region[rent.offer.region_id] += number
        self._of_kind[(rent.project_id, *_what(rent.offer))] += number
        self._spent[rent.project_id, rent.offer.currency] += number * rent.offer.price_micro_per_hour

    def _candidate(self, project_id: str, offer: Offer, vm_id: str) -> Candidate:
        template = self._templates.get(offer.template_id)
        vm = Vm(
            id=vm_id,
            project_id=project_id,
            provider=offer.provider,
            region_id=offer.region_id,
            template_id=offer.template_id,
            state=VmState.READY,
            capacity_units=template.capacity_units if template else 0,
            created_at=self._now,
            updated_at=self._now,
        )
        return presumed(vm, template, self._market.known.get(_model(vm)))

    def _free(self, pool: Pool) -> int:
        """Slots of the pool that are free, or will be when what is under way has come."""
        mine = [one.vm for one in self._rented if one.kind == pool.kind and (one.usable or one.coming)]
        fresh = [c.vm for c in self._fresh if (c.vm.project_id, *_what(c.vm)) == pool.kind]
        return sum(slots(vm.free_units - self._taken[vm.id]) for vm in (*mine, *fresh))

    def _quiet(self, pool: Pool) -> bool:
        """Whether it is to be left empty: it may be, and nobody has played on it for as long as a machine idles."""
        if not pool.scale_to_zero:
            return False
        mine = [one for one in self._rented if one.kind == pool.kind and one.held and not one.leaving]
        fresh = any((c.vm.project_id, *_what(c.vm)) == pool.kind for c in self._fresh)
        return not fresh and all(not self._taken[one.vm.id] and self._rests(one, pool.idle_after_s) for one in mine)

    def _rests(self, one: Rented, idle_after_s: float) -> bool:
        since_s = one.empty_for_s(self._now)
        settled = one.failing or one.vm.state in (VmState.STOPPED, VmState.ERROR)
        return settled or (since_s is not None and since_s >= idle_after_s)

    def _pool_full(self, kind: Kind) -> bool:
        pool = self._pools.get(kind)
        return pool is not None and self._of_kind[kind] >= pool.max_vms


def _ended(one: Rented) -> bool:
    return one.vm.state is VmState.TERMINATED or one.vm.terminate_requested_at is not None


def _what(thing: Offer | Vm) -> tuple[str, str, str]:
    return thing.provider, thing.region_id, thing.template_id


def _model(vm: Vm) -> tuple[str, str]:
    return vm.provider, vm.template_id
