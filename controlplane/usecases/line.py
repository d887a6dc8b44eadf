"""Who joins the placement queue: behind whom, and how long it may get (I18)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from controlplane.domain.errors import Exhausted
from controlplane.domain.placement import Need, PassedOver
from controlplane.domain.queueing import Bounds
from controlplane.domain.session import Session
from controlplane.interfaces import Tx
from controlplane.usecases.allocation import Ask, needs_of
from controlplane.usecases.queue import asks_of
from controlplane.usecases.survey import ways

RETRY_AFTER_S = 5
BEHIND = (PassedOver("", "others wait for the same"),)


class Line:
    """The queue as it grows by one batch."""

    def __init__(self, tx: Tx, bounds: Bounds) -> None:
        self._tx = tx
        self._bounds = bounds
        self._waiting: dict[str, Counter[str]] = {}

    async def behind(self, asks: Mapping[int, Ask]) -> frozenset[int]:
        """Those of `asks` who could be given nothing that somebody who waits already could not be given."""
        projects = {ask.session.project_id for ask in asks.values()}
        first = await asks_of(self._tx, await self._tx.queue.firsts(sorted(projects)) if projects else ())
        if not first:
            return frozenset()
        everyone = [*first, *asks.values()]
        needs = needs_of(everyone, ways(await self._tx.shapes.regions(), [ask.wish for ask in everyone]))
        ahead: dict[Need, set[frozenset[str]]] = {}
        for need in needs[: len(first)]:
            ahead.setdefault(_anywhere(need), set()).add(frozenset(need.regions))
        return frozenset(
            index
            for index, need in zip(asks, needs[len(first) :], strict=True)
            if need.regions and any(regions.issuperset(need.regions) for regions in ahead.get(_anywhere(need), ()))
        )

    async def joined_by(self, session: Session) -> Session:
        """The same session. Raises Exhausted when as many of its project or subject wait as may (I18): one caller's
        flood is refused before others feel it. Other replicas count for themselves, and each may add a batch beyond."""
        if session.project_id not in self._waiting:
            self._waiting[session.project_id] = Counter(await self._tx.queue.waiting(session.project_id))
        waiting = self._waiting[session.project_id]
        for who, count, bound in (
            ("the project", waiting.total(), self._bounds.per_project),
            (f"'{session.created_by}'", waiting[session.created_by], self._bounds.per_subject),
        ):
            if bound and count >= bound:
                raise Exhausted(
                    "QUEUE_FULL",
                    f"{count} sessions of {who} wait already, and no more may: try again when some of them play",
                    retry_after_s=f"{RETRY_AFTER_S}",
                )
        waiting[session.created_by] += 1
        return session


def _anywhere(need: Need) -> Need:
    """What is asked of a VM, wherever it is."""
    return replace(need, regions=())
