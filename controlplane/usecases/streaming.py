"""Stream tokens: each opens one signalling channel to one session, once, within a minute."""

from __future__ import annotations

from datetime import datetime, timedelta

from controlplane.domain.errors import Unauthenticated, WrongState
from controlplane.domain.identity import Principal
from controlplane.domain.session import Session
from controlplane.usecases.sessions import owned
from controlplane.usecases.world import World


async def create_stream_token(world: World, who: Principal, session_id: str, role: str) -> tuple[str, datetime]:
    """(token, end). `role` is PLAYER or VIEWER. Raises NotFound, WrongState (finished, or nothing to see)."""
    async with world.store.reading() as tx:
        session = await owned(tx, who, session_id)
        now = await tx.now()
    _streamable(session)
    ends_at = now + timedelta(seconds=world.policy.stream_token_ttl_s)
    return world.stream_tokens.sign(session.id, role, ends_at, world.ids.new("t")), ends_at


async def redeem(world: World, token: str) -> tuple[Session, str]:
    """(session, role) for a token that was never redeemed before. Raises Unauthenticated, WrongState."""
    async with world.store.tx() as tx:
        now = await tx.now()
        session_id, role, jti, ends_at = world.stream_tokens.verify(token, now)
        if not await tx.credentials.spend(jti, ends_at, now):
            raise Unauthenticated("STREAM_TOKEN_SPENT", "this stream token was used before; ask for a new one")
        session = await tx.sessions.get(session_id)
    if session is None:
        raise Unauthenticated("STREAM_TOKEN_INVALID", "this stream token is of a session that does not exist")
    _streamable(session)
    return session, role


def _streamable(session: Session) -> None:
    if session.finished:
        raise WrongState("SESSION_FINISHED", f"{session.name} has ended ({session.reason}); start a new one")
    if not session.streamed:
        raise WrongState("SESSION_WITHOUT_PICTURE", f"{session.name} has no picture to stream")
