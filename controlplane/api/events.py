"""EventService: a project's events as a stream that can be taken up again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from quarterdeck.v1 import events_pb2 as pb
from quarterdeck.v1 import events_pb2_grpc as rpc

from controlplane.api import identity
from controlplane.api.mapping.accounts import event_message
from controlplane.domain.errors import InvalidRequest, NotFound
from controlplane.domain.events import EventDraft
from controlplane.usecases.world import World

RESUME_TOKEN = "resume_token"  # noqa: S105 - the name of a fact, not a secret
BOOKMARK_EVERY = 100


class EventServicer(rpc.EventServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def WatchEvents(self, request: pb.WatchEventsRequest, context: Any) -> AsyncIterator[pb.Event]:
        """Whatever ends it says where to go on, but for an error of the token itself."""
        bus, parting = self._world.bus, identity.parting()
        passed_over = 0
        here = parting[RESUME_TOKEN] = request.resume_token or await bus.resume_token()
        try:
            async with aclosing(bus.events(identity.principal().project_id, here)) as events:
                if request.bookmarks:
                    yield pb.Event(resume_token=here)
                async for event, here in events:
                    # Told before it is sent: what has begun to be sent comes before the status.
                    parting[RESUME_TOKEN] = here
                    wished = wanted(event.draft, request)
                    passed_over = 0 if wished else (passed_over + 1) % BOOKMARK_EVERY
                    if wished:
                        yield event_message(event, here)
                    elif request.bookmarks and not passed_over:
                        yield pb.Event(resume_token=here)
        except (InvalidRequest, NotFound):
            parting.clear()
            raise


def wanted(draft: EventDraft, request: pb.WatchEventsRequest) -> bool:
    """Of one of the types and one of the subjects that are asked for; none asked for means any."""
    of_type = not request.types or any(begins(draft.type, prefix, ".") for prefix in request.types)
    return of_type and (not request.subjects or any(begins(draft.subject, name, "/") for name in request.subjects))


def begins(text: str, prefix: str, separator: str) -> bool:
    """Whole words only: quarterdeck.vm is no beginning of quarterdeck.vmware.x."""
    return f"{text}{separator}".startswith(prefix.removesuffix(separator) + separator)
