"""Who may see and use a game's console. Operators only: what is typed there rules the game."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from controlplane.domain.configuration import action_lines
from controlplane.domain.errors import WrongState
from controlplane.domain.identity import Principal
from controlplane.domain.session import ON_HOST, Session, SessionState
from controlplane.interfaces import AuditEntry
from controlplane.usecases.configuration import configured, ports_of
from controlplane.usecases.world import World, operators_only

ENDING_S = 3.0
POLL_S = 0.2


async def readable(world: World, who: Principal, session_id: str) -> Session:
    """Raises NotFound, WrongState unless its game is on a host."""
    operators_only(who)
    async with world.store.reading() as tx:
        session, _, _ = await configured(tx, who, session_id)
    return _on_host(session)


async def typing(world: World, who: Principal, session_id: str, action: str, request_id: str) -> Session:
    """The session, once the audit has it that its game was typed to; what, is not kept. Raises as `readable`."""
    operators_only(who)
    async with world.store.tx() as tx:
        session, _, _ = await configured(tx, who, session_id)
        _on_host(session)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, action, session.name, request_id))
    return session


async def action(
    world: World, who: Principal, session_id: str, name: str, given: Mapping[str, str], request_id: str
) -> tuple[Session, tuple[str, ...]]:
    """The lines that an action of the session's deployment types. Raises NotFound, InvalidRequest, WrongState."""
    operators_only(who)
    async with world.store.tx() as tx:
        session, deployment, leases = await configured(tx, who, session_id)
        _on_host(session)
        ports = ports_of(deployment, leases)
        lines = action_lines(deployment, name, given, session.choice.values(), ports, session.id)
        resource = f"{session.name}/actions/{name}"
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "ExecuteAction", resource, request_id))
    return session, lines


async def ending(world: World, session: Session) -> bool:
    """Whether the session is over, stopping, or becomes so within a moment: its game's end travels another way."""
    for _ in range(round(ENDING_S / POLL_S)):
        async with world.store.reading() as tx:
            now = await tx.sessions.get(session.id)
        if now is None or now.state is SessionState.STOPPING or now.finished:
            return True
        await asyncio.sleep(POLL_S)
    return False


def _on_host(session: Session) -> Session:
    if session.finished:
        raise WrongState("SESSION_FINISHED", f"{session.name} has ended ({session.reason})")
    if session.state not in ON_HOST:
        raise WrongState("SESSION_NOT_STARTED", f"{session.name} still waits for a slot; it has no console yet")
    return session
