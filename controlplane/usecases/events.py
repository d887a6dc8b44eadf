"""What has happened, as far back as it is kept."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.events import Event, EventFilter
from controlplane.domain.identity import Principal
from controlplane.interfaces import Page
from controlplane.usecases.world import World


async def list_events(
    world: World, who: Principal, wanted: EventFilter, page: Page, *, oldest_first: bool
) -> Sequence[Event]:
    """Newest first, or oldest first; of a player what happened to his own sessions (I21)."""
    async with world.store.reading() as tx:
        return await tx.outbox.history(
            who.project_id, wanted, page, oldest_first=oldest_first, created_by=who.sees_only
        )
