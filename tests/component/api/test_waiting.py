"""Calls that return when a session is playable: whoever waited too long learns its name, and who left holds nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from quarterdeck.compat.v1 import sessions_pb2 as compat_pb2
from quarterdeck.compat.v1 import sessions_pb2_grpc as compat_rpc
from quarterdeck.v1 import accounts_pb2, sessions_pb2

from controlplane.adapters.bus.memory import MemoryBroker
from controlplane.api.interceptors import PARTING_S, Limits
from controlplane.domain.identity import Principal, Role
from controlplane.domain.session import Session, SessionReason, SessionState, SessionTrigger
from controlplane.interfaces import Page
from controlplane.usecases import accounts, creation, sessions
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


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[str]:
    """The ids of sessions, each when its call has begun to wait for it."""
    ids: asyncio.Queue[str] = asyncio.Queue()
    wait_until = sessions.wait_until

    async def told(world: Any, who: Any, session_id: str, enough: Any) -> sessions.SessionView:
        ids.put_nowait(session_id)
        return await wait_until(world, who, session_id, enough)

    monkeypatch.setattr(sessions, "wait_until", told)
    return ids


def wanted(client_token: str = "") -> sessions_pb2.CreateSessionRequest:
    return sessions_pb2.CreateSessionRequest(
        game="games/demo", client_token=client_token, wait_until_playable=True, queue_timeout=HOUR
    )


async def test_our_limit_names_the_session_that_goes_on(
    api: Plane, operator: Caller, begun: asyncio.Queue[str], ahead: Callable[[float], None]
) -> None:
    await make_game(operator)
    async with api.channel(api.player) as channel:
        flow = compat_rpc.SessionFlowServiceStub(channel)
        for begin in (
            lambda: operator.sessions.CreateSession(wanted()),
            lambda: flow.StartSession(compat_pb2.StartSessionRequest(game_id="demo")),
        ):
            call = begin()
            session_id = await begun.get()
            ahead(300.0)
            refusal = await refused(call)
            names_its_session(refusal, next(one for one in await all_sessions(api) if one.id == session_id))
            assert "within 300 s" in refusal.message


async def test_a_callers_own_limit_is_answered_while_it_still_listens(
    api: Plane, operator: Caller, begun: asyncio.Queue[str], ahead: Callable[[float], None]
) -> None:
    await make_game(operator)
    call = operator.sessions.CreateSession(wanted(), timeout=200.0)
    await begun.get()
    ahead(200.0 - PARTING_S)
    refusal = await refused(call)
    (session,) = await all_sessions(api)
    names_its_session(refusal, session)


async def test_who_waits_keeps_nobody_out(tmp_path: Path, broker: MemoryBroker, begun: asyncio.Queue[str]) -> None:
    async with (
        narrow(tmp_path, broker, Limits(unary_in_flight=1, waiting=3, waiting_each=2)) as running,
        calling(running, running.operator) as caller,
        running.channel(running.player) as channel,
    ):
        await make_game(caller)
        flow = compat_rpc.SessionFlowServiceStub(channel)
        start = compat_pb2.StartSessionRequest(game_id="demo", client_token="p")

        async def waits(call: Any) -> Any:
            await begun.get()
            return call

        open_calls = [await waits(caller.sessions.CreateSession(wanted(f"t-{i}"))) for i in range(2)]
        # The operator has his share, and no session is made that he could not wait for.
        refusal = await refused(caller.sessions.CreateSession(wanted("t-2")))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")
        assert len(await all_sessions(running)) == 2
        # Neither he nor anybody else is kept from what does not wait, nor others from waiting.
        await caller.accounts.GetAccount(accounts_pb2.GetAccountRequest())
        open_calls.append(await waits(flow.StartSession(start)))
        assert (await refused(flow.StartSession(start))).reason == "TOO_MANY_REQUESTS"
        for call in open_calls:
            call.cancel()
        await asyncio.gather(*open_calls, return_exceptions=True)


async def test_who_may_not_wait_any_more_is_told(api: Plane, operator: Caller, begun: asyncio.Queue[str]) -> None:
    await make_game(operator)
    token, credential = await accounts.create_token(api.world, OPERATOR, "leaves", Role.OPERATOR, None, "")
    async with calling(api, token) as caller:
        call = caller.sessions.CreateSession(wanted())
        await begun.get()
        await accounts.revoke_token(api.world, OPERATOR, credential.id, "")
        refusal = await refused(call)
    assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
    (session,) = await all_sessions(api)
    assert refusal.metadata["session"] == session.name
    assert session.state is SessionState.PENDING


async def test_a_server_that_stops_sends_who_waits_elsewhere_and_ends_no_session(
    api: Plane, operator: Caller, begun: asyncio.Queue[str]
) -> None:
    await make_game(operator)
    call = operator.sessions.CreateSession(wanted())
    await begun.get()
    async with asyncio.timeout(WITHIN_S):
        await api.server.stop(600.0)
    refusal = await refused(call)
    (session,) = await all_sessions(api)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")
    assert refusal.metadata["session"] == session.name
    assert session.state is SessionState.PENDING


@pytest.mark.parametrize("seeds", [True, False])
async def test_what_nobody_can_claim_is_stopped(
    api: Plane, operator: Caller, seeds: bool, begun: asyncio.Queue[str]
) -> None:
    await make_game(operator)
    async with api.channel(api.player) as channel:
        flow = compat_rpc.SessionFlowServiceStub(channel)

        async def left(client_token: str) -> str:
            """What a call had begun whose caller then left."""
            if seeds:
                call = flow.StartSession(compat_pb2.StartSessionRequest(game_id="demo", client_token=client_token))
            else:
                call = operator.sessions.CreateSession(wanted(client_token))
            session_id = await begun.get()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            return session_id

        kept, unknown = await left("t"), await left("")
        async with asyncio.timeout(WITHIN_S):
            over = await sessions.wait_until(api.world, OPERATOR, unknown, lambda _: False)
    assert over.session.reason is SessionReason.CANCELLED
    # Whoever has a token may come back for it.
    assert (await sessions.get_session(api.world, OPERATOR, kept)).session.state is SessionState.PENDING


async def test_a_repeat_of_the_seeds_call_that_found_no_slot_is_told_to_take_a_new_token(
    api: Plane, operator: Caller
) -> None:
    await make_game(operator)
    who = Principal(OPERATOR.project_id, "player", Role.PLAYER)
    wish = creation.SessionRequest("demo", client_token="t")
    session = (await creation.create_session(api.world, who, wish, "")).session
    async with api.world.store.tx() as tx:
        waiting = await tx.sessions.get(session.id)
        assert waiting is not None
        rejected, _ = waiting.on(SessionTrigger.DEADLINE, waiting.updated_at, SessionReason.QUEUE_DEADLINE, "too late")
        await tx.sessions.save(rejected)
    async with api.channel(api.player) as channel:
        flow = compat_rpc.SessionFlowServiceStub(channel)
        refusal = await refused(flow.StartSession(compat_pb2.StartSessionRequest(game_id="demo", client_token="t")))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSION_REJECTED")
    assert refusal.message == f"{session.name}: too late; ask with a new clientToken"
    assert refusal.metadata == {"session": session.id, "remedy": "ask with a new clientToken"}
