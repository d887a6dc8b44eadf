"""Calls that return when a session is playable: whoever waited too long learns its name, and who left holds nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from quarterdeck.compat.v1 import sessions_pb2 as compat_pb2
from quarterdeck.compat.v1 import sessions_pb2_grpc as compat_rpc
from quarterdeck.v1 import sessions_pb2

from controlplane.adapters.bus.memory import MemoryBroker
from controlplane.api.interceptors import Limits
from controlplane.domain import subjects
from controlplane.domain.session import Session, SessionReason, SessionState
from controlplane.interfaces import Page
from controlplane.usecases import sessions
from tests.component.api.plane import OPERATOR, WITHIN_S, Caller, Plane, calling, make_game
from tests.component.api.refusals import Refusal, refused
from tests.component.api.test_streams import narrow

HOUR = Duration(seconds=3600)


async def all_sessions(api: Plane) -> list[Session]:
    async with api.world.store.reading() as tx:
        return list(await tx.sessions.list(OPERATOR.project_id, [], "", Page()))


def names_its_session(refusal: Refusal, session: Session) -> None:
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert refusal.metadata == {"session": session.name}
    assert f"{session.name} goes on, ask for it again" in refusal.message
    assert session.state is SessionState.PENDING


async def test_our_limit_names_the_session_that_goes_on(tmp_path: Path, broker: MemoryBroker) -> None:
    async with (
        narrow(tmp_path, broker, Limits(unary_s=0.3)) as running,
        calling(running, running.operator) as caller,
        running.channel(running.player) as channel,
    ):
        await make_game(caller)
        request = sessions_pb2.CreateSessionRequest(game="games/demo", wait_until_playable=True, queue_timeout=HOUR)
        refusal = await refused(caller.sessions.CreateSession(request))
        (session,) = await all_sessions(running)
        names_its_session(refusal, session)
        stub = compat_rpc.SessionFlowServiceStub(channel)
        refusal = await refused(stub.StartSession(compat_pb2.StartSessionRequest(game_id="demo")))
        names_its_session(refusal, next(one for one in await all_sessions(running) if one.id != session.id))


async def test_a_callers_own_limit_is_answered_while_it_still_listens(api: Plane, operator: Caller) -> None:
    await make_game(operator)
    request = sessions_pb2.CreateSessionRequest(game="games/demo", wait_until_playable=True, queue_timeout=HOUR)
    refusal = await refused(operator.sessions.CreateSession(request, timeout=2.0))
    (session,) = await all_sessions(api)
    names_its_session(refusal, session)


@pytest.mark.parametrize("seeds", [True, False])
async def test_what_nobody_can_claim_is_stopped(api: Plane, operator: Caller, seeds: bool) -> None:
    await make_game(operator)
    async with api.channel(api.player) as channel:
        flow = compat_rpc.SessionFlowServiceStub(channel)

        async def left(client_token: str) -> Session:
            """What a call had begun whose caller then left."""
            before = {one.id for one in await all_sessions(api)}
            async with api.world.wakes(subjects.OUTBOX) as commits:
                if seeds:
                    call = flow.StartSession(compat_pb2.StartSessionRequest(game_id="demo", client_token=client_token))
                else:
                    wanted = sessions_pb2.CreateSessionRequest(
                        game="games/demo", client_token=client_token, wait_until_playable=True, queue_timeout=HOUR
                    )
                    call = operator.sessions.CreateSession(wanted)
                waiting = asyncio.ensure_future(call)
                await anext(commits)
                (session,) = [one for one in await all_sessions(api) if one.id not in before]
                waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            return session

        kept, unknown = await left("t"), await left("")
        async with asyncio.timeout(WITHIN_S):
            over = await sessions.wait_until(api.world, OPERATOR, unknown.id, lambda _: False)
    assert over.session.reason is SessionReason.CANCELLED
    # Whoever has a token may come back for it.
    assert (await sessions.get_session(api.world, OPERATOR, kept.id)).session.state is SessionState.PENDING
