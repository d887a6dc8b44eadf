"""What providers ask for which machines, asked at most twice a minute: prices for choosing, not for buying.

Who buys asks again, and pays no more than what was decided by these.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controlplane.domain.attempt import Offer
from controlplane.domain.errors import Unavailable
from controlplane.domain.instance import ProviderRefused
from controlplane.interfaces import Provider

FRESH_S = 30.0
ANSWER_S = 10.0
# Questions that one provider has before it at a time: many more at once are over the rate that most of them allow.
AT_ONCE = 4
AWAY = (ProviderRefused, TimeoutError, OSError, Unavailable)

Question = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Quoted:
    """`away` are the providers that did not answer. `faults` are those of their answers that nobody had foreseen: who
    asked is told, and not those who share the answer later."""

    offers: tuple[Offer, ...] = ()
    away: frozenset[str] = frozenset()
    faults: tuple[Exception, ...] = ()


@dataclass
class OfferBook:
    """Remembers the answers by its own clock; those who ask at once wait for one answer."""

    clock_s: Callable[[], float] = time.monotonic
    _known: dict[Question, tuple[float, Quoted]] = field(default_factory=dict)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def quoted(
        self, providers: Mapping[str, Provider], region_ids: Sequence[str], template_ids: Sequence[str]
    ) -> Quoted:
        """What every provider asks in these regions for these templates, if it answers each time within ten seconds."""
        question = tuple(sorted(region_ids)), tuple(sorted(template_ids))
        async with self._asking:
            now_s = self.clock_s()
            self._known = {asked: kept for asked, kept in self._known.items() if now_s - kept[0] < FRESH_S}
            if question in self._known:
                return self._known[question][1]
            answers = await asyncio.gather(*(_of(provider, *question) for provider in providers.values()))
            failed = {name: a for name, a in zip(providers, answers, strict=True) if isinstance(a, Exception)}
            offers = tuple(offer for answer in answers if not isinstance(answer, Exception) for offer in answer)
            quoted = Quoted(offers, frozenset(failed))
            self._known[question] = self.clock_s(), quoted
            return replace(quoted, faults=tuple(fault for fault in failed.values() if not isinstance(fault, AWAY)))

    @property
    def remembered(self) -> Sequence[Offer]:
        """What was answered last, for whoever has no time to ask: nothing, where nobody in this process has asked."""
        return [offer for _, quoted in self._known.values() for offer in quoted.offers]


def cheapest(offers: Sequence[Offer]) -> Mapping[str, int]:
    """What each template costs an hour where it costs least, in micro-units. Currencies are not told apart: this is for
    an order to look at things in, not for spending."""
    dearest_first = sorted(offers, key=lambda offer: offer.price_micro_per_hour, reverse=True)
    return {offer.template_id: offer.price_micro_per_hour for offer in dearest_first}


async def _of(
    provider: Provider, region_ids: tuple[str, ...], template_ids: tuple[str, ...]
) -> Sequence[Offer] | Exception:
    """For several templates at once; or the first of what went wrong, for one is no answer without the others."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def offers(template_id: str) -> Sequence[Offer]:
        async with turns, asyncio.timeout(ANSWER_S):
            return tuple(await provider.offers(region_ids, template_id))

    try:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(offers(template_id)) for template_id in template_ids]
        return [offer for task in asked for offer in task.result()]
    except ExceptionGroup as several:
        return several.exceptions[0]
