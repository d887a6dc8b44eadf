"""SessionService: players' verbs, translated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from quarterdeck.v1 import games_pb2
from quarterdeck.v1 import sessions_pb2 as pb
from quarterdeck.v1 import sessions_pb2_grpc as rpc

from controlplane.api import identity, pages, waiting
from controlplane.api.mapping.configuration import configuration_message
from controlplane.api.mapping.sessions import request_of, session_message, states_of
from controlplane.api.mapping.values import last_part
from controlplane.api.metrics import Metrics
from controlplane.usecases import assignment, configuration, creation, sessions
from controlplane.usecases.world import World


class SessionServicer(rpc.SessionServiceServicer):
    def __init__(self, world: World, metrics: Metrics) -> None:
        self._world = world
        self._metrics = metrics

    async def CreateSession(self, request: pb.CreateSessionRequest, context: Any) -> pb.Session:
        who = identity.principal()
        if request.wait_until_playable:
            waiting.reserve()
        creating = creation.create_session(self._world, who, request_of(request), identity.request_id())
        view = await self._metrics.allocation(creating)
        if request.wait_until_playable:
            view = await waiting.playable(self._world, view.session)
        return session_message(view)

    async def GetSession(self, request: pb.GetSessionRequest, context: Any) -> pb.Session:
        return session_message(await sessions.get_session(self._world, identity.principal(), last_part(request.name)))

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Any) -> pb.ListSessionsResponse:
        who = identity.principal()
        states, vm_id = states_of(request), last_part(request.vm)
        query = ("sessions", who.project_id, states, vm_id)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found = await sessions.list_sessions(self._world, who, states, vm_id, page)
        kept, token = pages.split(page, found, lambda view: (view.session.created_at, view.session.id), *query)
        return pb.ListSessionsResponse(sessions=map(session_message, kept), next_page_token=token)

    async def WatchSession(self, request: pb.WatchSessionRequest, context: Any) -> AsyncIterator[pb.Session]:
        async for view in sessions.watch_session(self._world, identity.principal(), last_part(request.name)):
            yield session_message(view)

    async def AssignSession(self, request: pb.AssignSessionRequest, context: Any) -> pb.Session:
        session_id, vm_id = last_part(request.name), last_part(request.vm)
        who = identity.principal()
        view = await assignment.assign_session(self._world, who, session_id, vm_id, identity.request_id())
        return session_message(view)

    async def ReleaseSession(self, request: pb.ReleaseSessionRequest, context: Any) -> pb.Session:
        session_id, vm_id = last_part(request.name), last_part(request.vm)
        who = identity.principal()
        view = await assignment.release_session(self._world, who, vm_id, session_id, identity.request_id())
        return session_message(view)

    async def StopSession(self, request: pb.StopSessionRequest, context: Any) -> pb.Session:
        who, session_id = identity.principal(), last_part(request.name)
        view = await sessions.stop_session(self._world, who, session_id, identity.request_id())
        if request.wait:
            view = await sessions.wait_until(self._world, who, session_id, lambda session: session.finished)
        return session_message(view)

    async def GetSessionConfiguration(
        self, request: pb.GetSessionConfigurationRequest, context: Any
    ) -> games_pb2.Configuration:
        who, session_id = identity.principal(), last_part(request.name)
        return configuration_message(await configuration.configuration_of(self._world, who, session_id))
