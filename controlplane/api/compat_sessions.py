"""The session service flow of seed 001 in one call: a VM is found or waited for, the game starts, its URLs follow."""

from __future__ import annotations

from typing import Any

from quarterdeck.compat.v1 import sessions_pb2 as pb
from quarterdeck.compat.v1 import sessions_pb2_grpc as rpc

from controlplane.api import identity, waiting
from controlplane.api.compat_streaming import StreamUrls
from controlplane.api.mapping.compat import started_session
from controlplane.api.mapping.placement import coordinates_of
from controlplane.api.metrics import Metrics
from controlplane.domain.errors import Exhausted, WrongState
from controlplane.domain.session import Session, SessionState
from controlplane.usecases import creation, vms
from controlplane.usecases.world import World


class SessionFlowServicer(rpc.SessionFlowServiceServicer):
    def __init__(self, world: World, urls: StreamUrls, metrics: Metrics) -> None:
        self._world = world
        self._metrics = metrics
        self._urls = urls

    async def StartSession(self, request: pb.StartSessionRequest, context: Any) -> pb.StartedSession:
        """Raises Exhausted when no slot became free in time or too many wait, WrongState when the game did not
        start: for good, as far as this client token is concerned."""
        who = identity.principal()
        waiting.reserve()
        wanted = creation.SessionRequest(
            game_id=request.game_id,
            preset_id=request.preset,
            region_id=request.region,
            client_token=request.client_token,
            coordinates=coordinates_of(request),
            territory=request.territory,
        )
        creating = creation.create_session(self._world, who, wanted, identity.request_id())
        view = await self._metrics.allocation(creating)
        view = await waiting.playable(self._world, view.session)
        session = view.session
        if session.state is SessionState.REJECTED:
            detail = f"{session.name}: {session.reason_detail}; {_another(session)}"
            raise Exhausted("SESSION_REJECTED", detail, session=session.id, remedy=_another(session))
        if session.finished:
            detail = "; ".join(filter(None, (session.reason_detail, _another(session))))
            raise WrongState(
                "SESSION_FINISHED",
                f"{session.name} has ended ({session.reason}): {detail}",
                session=session.id,
                remedy=_another(session),
            )
        vm = await vms.get_vm(self._world, who, session.vm_id)
        return started_session(session, vm, await self._urls.of(session.id, context) if session.streamed else None)


def _another(session: Session) -> str:
    """How to come by another one: the same client token gives this one for ever (I20)."""
    return "ask with a new clientToken" if session.client_token else "ask again"
