"""EventService: a project's events as a list, and as a stream that can be taken up again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from quarterdeck.v1 import events_pb2 as pb
from quarterdeck.v1 import events_pb2_grpc as rpc

from controlplane.api import identity, pages
from controlplane.api.mapping.accounts import event_message
from controlplane.domain.errors import InvalidRequest, NotFound
from controlplane.domain.events import EventFilter
from controlplane.usecases import events as usecases
from controlplane.usecases.world import World

RESUME_TOKEN = "resume_token"  # noqa: S105 - the name of a fact, not a secret
BOOKMARK_EVERY = 100


class EventServicer(rpc.EventServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def ListEvents(self, request: pb.ListEventsRequest, context: Any) -> pb.ListEventsResponse:
        wanted = _wanted(request)
        query = ("events", wanted, request.oldest_first)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found = await usecases.list_events(
            self._world, identity.principal(), wanted, page, oldest_first=request.oldest_first
        )
        kept, token = pages.split(page, found, lambda event: (event.at, event.id), *query)
        return pb.ListEventsResponse(events=[event_message(event) for event in kept], next_page_token=token)

    async def WatchEvents(self, request: pb.WatchEventsRequest, context: Any) -> AsyncIterator[pb.Event]:
        """Whatever ends it says where to go on, but for an error of the token itself."""
        bus, parting = self._world.bus, identity.parting()
        wanted, passed_over = _wanted(request), 0
        here = parting[RESUME_TOKEN] = request.resume_token or await bus.resume_token()
        try:
            async with aclosing(bus.events(identity.principal().project_id, here)) as events:
                if request.bookmarks:
                    yield pb.Event(resume_token=here)
                async for event, here in events:
                    # Told before it is sent: what has begun to be sent comes before the status.
                    parting[RESUME_TOKEN] = here
                    wished = wanted.takes(event.draft)
                    passed_over = 0 if wished else (passed_over + 1) % BOOKMARK_EVERY
                    if wished:
                        yield event_message(event, here)
                    elif request.bookmarks and not passed_over:
                        yield pb.Event(resume_token=here)
        except (InvalidRequest, NotFound):
            parting.clear()
            raise


def _wanted(request: pb.WatchEventsRequest | pb.ListEventsRequest) -> EventFilter:
    return EventFilter(tuple(request.types), tuple(request.subjects))
