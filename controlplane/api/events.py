"""EventService: a project's events as a stream that can be taken up again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from quarterdeck.v1 import events_pb2 as pb
from quarterdeck.v1 import events_pb2_grpc as rpc

from controlplane.api import identity
from controlplane.api.mapping.accounts import event_message
from controlplane.usecases.world import World


class EventServicer(rpc.EventServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def WatchEvents(self, request: pb.WatchEventsRequest, context: Any) -> AsyncIterator[pb.Event]:
        wanted = tuple(request.types)
        project_id = identity.principal().project_id
        async for event, resume_token in self._world.bus.events(project_id, request.resume_token):
            if matches(event.draft.type, wanted):
                yield event_message(event, resume_token)


def matches(event_type: str, prefixes: Sequence[str]) -> bool:
    """Whole words only: quarterdeck.vm is no prefix of quarterdeck.vmware.x. No prefixes match everything."""
    return not prefixes or any(f"{event_type}.".startswith(f"{prefix.rstrip('.')}.") for prefix in prefixes)
