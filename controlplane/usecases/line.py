"""How long the placement queue may get (I18): one caller's flood is refused before others feel it."""

from __future__ import annotations

from collections import Counter

from controlplane.domain.errors import Exhausted
from controlplane.domain.queueing import Bounds
from controlplane.domain.session import Session
from controlplane.interfaces import Tx

RETRY_AFTER_S = 5


class Line:
    """The queue as it grows by one batch (I18). Other replicas count for themselves: each may add a batch beyond."""

    def __init__(self, tx: Tx, bounds: Bounds) -> None:
        self._tx = tx
        self._bounds = bounds
        self._waiting: dict[str, Counter[str]] = {}

    async def joined_by(self, session: Session) -> Session:
        """The same session. Raises Exhausted when as many of its project or subject wait as may."""
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
