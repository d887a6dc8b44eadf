"""What providers ask: of all at once, of each for several templates at once, and whatever one of them answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store.memory import MemoryStore
from controlplane.domain.attempt import Offer
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.usecases.assignment import VmWish, find_vm
from controlplane.usecases.offers import AT_ONCE, OfferBook, Quoted
from controlplane.usecases.world import Policy, World
from tests.contract.store.rows import furnish

OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
REGIONS, TEMPLATES = ["local"], ["a", "b", "c"]


@dataclass
class Shop:
    """Answers when it has been asked for so many templates; or with `fault`."""

    name: str
    fault: Exception | None = None
    needed: int = 1
    asked: list[str] = field(default_factory=list)
    _all: asyncio.Event = field(default_factory=asyncio.Event)

    async def offers(self, region_ids: Sequence[str], template_id: str) -> Sequence[Offer]:
        self.asked.append(template_id)
        if len(self.asked) >= self.needed:
            self._all.set()
        await self._all.wait()
        if self.fault is not None:
            raise self.fault
        return [Offer(self.name, region_id, "m", template_id, 1) for region_id in region_ids]


def book(shops: Sequence[Shop]) -> tuple[OfferBook, dict[str, Shop]]:
    return OfferBook(clock_s=lambda: 0.0), {shop.name: shop for shop in shops}


async def test_a_provider_is_asked_for_several_templates_at_once() -> None:
    offers, shops = book([Shop("slow", needed=len(TEMPLATES))])
    async with asyncio.timeout(5):
        quoted = await offers.quoted(shops, REGIONS, TEMPLATES)  # type: ignore[arg-type] - not all of a provider
    assert [offer.template_id for offer in quoted.offers] == TEMPLATES


async def test_a_provider_with_many_templates_has_only_a_few_questions_before_it_at_a_time() -> None:
    @dataclass
    class Limited(Shop):
        open: int = 0

        async def offers(self, region_ids: Sequence[str], template_id: str) -> Sequence[Offer]:
            self.open += 1
            assert self.open <= AT_ONCE, "429"
            await asyncio.sleep(0)
            self.open -= 1
            return await super().offers(region_ids, template_id)

    offers, shops = book([Limited("limited")])
    templates = sorted(f"t{number}" for number in range(30))
    quoted = await offers.quoted(shops, REGIONS, templates)  # type: ignore[arg-type]
    assert (quoted.away, [offer.template_id for offer in quoted.offers]) == (frozenset(), templates)


async def test_a_provider_that_takes_its_time_for_each_of_many_templates_is_not_away(
    ahead: Callable[[float], None],
) -> None:
    class Slow(Shop):
        async def offers(self, region_ids: Sequence[str], template_id: str) -> Sequence[Offer]:
            ahead(2.0)
            await asyncio.sleep(0.001)
            return await super().offers(region_ids, template_id)

    offers, shops = book([Slow("slow")])
    templates = sorted(f"t{number}" for number in range(30))
    quoted = await offers.quoted(shops, REGIONS, templates)  # type: ignore[arg-type]
    assert (quoted.away, len(quoted.offers)) == (frozenset(), 30)


@pytest.mark.parametrize(
    ("answer", "unforeseen"), [(KeyError("price"), True), (ConnectionError(), False), (TimeoutError(), False)]
)
async def test_a_provider_that_answers_nonsense_is_away_and_who_asked_is_told_why(
    answer: Exception, unforeseen: bool
) -> None:
    offers, shops = book([Shop("odd", answer), Shop("good")])
    quoted, again = [await offers.quoted(shops, REGIONS, TEMPLATES) for _ in range(2)]  # type: ignore[arg-type]
    assert quoted.faults == ((answer,) if unforeseen else ())
    assert again == Quoted(quoted.offers, frozenset({"odd"}))
    assert {(offer.provider, offer.template_id) for offer in again.offers} == {("good", name) for name in TEMPLATES}


async def test_who_finds_no_vm_is_told_what_to_make_by_known_prices_and_waits_for_no_provider() -> None:
    store = MemoryStore()
    await furnish(store)
    never, cheap = Shop("never", needed=99), Shop("cheap")
    world = World(store, MemoryBus(MemoryBroker()), RandomIds(), None, None, None, Policy())  # type: ignore[arg-type]
    world = replace(world, providers={"never": never})  # type: ignore[dict-item]
    wish = VmWish("orbit", region_id="local")
    async with asyncio.timeout(5):
        smallest = await find_vm(world, OPERATOR, wish)
        await world.offers.quoted({"cheap": cheap}, REGIONS, ["L4-90"])  # type: ignore[dict-item]
        cheapest = await find_vm(world, OPERATOR, wish)
    assert (smallest.vm, smallest.template_id != "L4-90", cheapest.template_id) == (None, True, "L4-90")
    assert never.asked == []
