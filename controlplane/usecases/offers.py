"""What providers ask for which machines, asked at most twice a minute: prices for choosing, not for buying.

Who buys asks again, and pays no more than what was decided by these.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.domain.attempt import Offer
from controlplane.domain.errors import Unavailable
from controlplane.domain.instance import ProviderRefused
from controlplane.interfaces import Provider

FRESH_S = 30.0
ANSWER_S = 10.0

Question = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Quoted:
    """`away` are the providers that did not answer."""

    offers: tuple[Offer, ...] = ()
    away: frozenset[str] = frozenset()


@dataclass
class OfferBook:
    """Remembers the answers by its own clock; those who ask at once wait for one answer."""

    clock_s: Callable[[], float] = time.monotonic
    _known: dict[Question, tuple[float, Quoted]] = field(default_factory=dict)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def quoted(
        self, providers: Mapping[str, Provider], region_ids: Sequence[str], template_ids: Sequence[str]
    ) -> Quoted:
        """What every provider asks, if it answers within ten seconds, in these regions for these templates."""
        question = tuple(sorted(region_ids)), tuple(sorted(template_ids))
        async with self._asking:
            now_s = self.clock_s()
            self._known = {asked: kept for asked, kept in self._known.items() if now_s - kept[0] < FRESH_S}
            if question not in self._known:
                answers = await asyncio.gather(*(_of(provider, *question) for provider in providers.values()))
                offers = tuple(offer for answer in answers for offer in answer or ())
                away = (name for name, answer in zip(providers, answers, strict=True) if answer is None)
                self._known[question] = self.clock_s(), Quoted(offers, frozenset(away))
            return self._known[question][1]


def cheapest(offers: Sequence[Offer]) -> Mapping[str, int]:
    """What each template costs an hour where it costs least, in micro-units. Currencies are not told apart: this is for
    an order to look at things in, not for spending."""
    dearest_first = sorted(offers, key=lambda offer: offer.price_micro_per_hour, reverse=True)
    return {offer.template_id: offer.price_micro_per_hour for offer in dearest_first}


async def _of(
    provider: Provider, region_ids: tuple[str, ...], template_ids: tuple[str, ...]
) -> tuple[Offer, ...] | None:
    found: list[Offer] = []
    try:
        async with asyncio.timeout(ANSWER_S):
            for template_id in template_ids:
                found.extend(await provider.offers(region_ids, template_id))
    except (ProviderRefused, TimeoutError, OSError, Unavailable):
        return None
    return tuple(found)
