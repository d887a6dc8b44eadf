"""Calls that return when a session is playable: their callers learn its name whatever happens, or it ends."""

from __future__ import annotations

import structlog

from controlplane.api import identity
from controlplane.domain.session import Session, SessionState
from controlplane.usecases import sessions
from controlplane.usecases.sessions import SessionView
from controlplane.usecases.world import World

log = structlog.get_logger(__name__)


def reserve() -> None:
    """A place to wait in, before anything is made that nobody could wait for. Raises Exhausted."""
    identity.patience().reserve()


async def playable(world: World, session: Session) -> SessionView:
    """The session when it plays or is over. Of a call that ends before that, the error names it. Who leaves meanwhile
    and has given no client token can never learn of it: nobody claims that session, and it is stopped."""
    who, request_id = identity.principal(), identity.request_id()

    async def stop() -> None:
        await sessions.stop_session(world, who, session.id, request_id)
        log.info("session.unclaimed", session=session.name)

    identity.parting()["session"] = session.name
    if not session.client_token:
        identity.when_forsaken(stop)
    async with identity.patience().waiting():
        return await sessions.wait_until(world, who, session.id, _plays)


def _plays(session: Session) -> bool:
    return session.state is SessionState.RUNNING
