"""Players' verbs on sessions that there are: get, list, stop and watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.domain import subjects
from controlplane.domain.errors import NotFound
from controlplane.domain.identity import Principal
from controlplane.domain.session import (
    PortLease,
    Session,
    SessionReason,
    SessionState,
    SessionTrigger,
)
from controlplane.interfaces import AuditEntry, Page, Tx
from controlplane.usecases.settling import settle
from controlplane.usecases.survey import places_of, queue_estimate_s
from controlplane.usecases.world import World, woken


@dataclass(frozen=True)
class SessionView:
    """A session as a caller sees it at `now`. `queue_position` counts from 1; 0 when not queued. `queue_estimate_s` is
    reckoned from the slots freed lately; None when there were too few."""

    session: Session
    ports: tuple[PortLease, ...]
    queue_position: int
    now: datetime
    queue_estimate_s: float | None = None


async def get_session(world: World, who: Principal, session_id: str) -> SessionView:
    """Raises NotFound, for another project's session too, and for a player for another's (I21)."""
    async with world.store.reading() as tx:
        return await view_of(tx, await owned(tx, who, session_id))


async def list_sessions(
    world: World, who: Principal, states: Sequence[SessionState], vm_id: str, page: Page
) -> Sequence[SessionView]:
    """Newest first; of a player his own."""
    async with world.store.reading() as tx:
        now = await tx.now()
        sessions = await tx.sessions.list(who.project_id, states, vm_id, page, who.sees_only)
        ports = await tx.ports.of_sessions([s.id for s in sessions])
        queue = await places_of(tx, sessions)
        return [SessionView(s, _held(ports.get(s.id, ())), queue.get(s.id, 0), now) for s in sessions]


async def stop_session(world: World, who: Principal, session_id: str, request_id: str) -> SessionView:
    """Asks the game to stop; a session still in the queue ends at once; stopping a finished one changes nothing."""
    async with world.store.tx() as tx:
        session = await owned(tx, who, session_id)
        if session.vm_id:
            await tx.vms.lock(session.vm_id)
            session = await owned(tx, who, session_id)
        if session.finished or session.state is SessionState.STOPPING:
            return await view_of(tx, session)
        now = await tx.now()
        hints = await request_stop(tx, world, session, SessionReason.STOP_REQUESTED, now)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "StopSession", session.name, request_id))
        view = await view_of(tx, await owned(tx, who, session_id))
    await world.tell(*hints)
    return view


async def request_stop(tx: Tx, world: World, session: Session, reason: SessionReason, now: datetime) -> tuple[str, ...]:
    """Moves an unfinished session towards its end, inside the caller's transaction; returns hints to give."""
    pending = session.state is SessionState.PENDING
    stopped, events = session.on(SessionTrigger.STOP, now, SessionReason.CANCELLED if pending else reason)
    hints = await settle(tx, stopped, events, now, world.policy)
    if not pending:
        vm = await tx.vms.lock(session.vm_id)
        if vm is not None:
            await tx.vms.save(vm.replanned(now))
            hints = (*hints, subjects.hint_plan(vm.id))
    return hints


async def watch_session(world: World, who: Principal, session_id: str) -> AsyncIterator[SessionView]:
    """The session now and after every change, its place in the queue every few seconds; ends after its final state."""
    clock_s = asyncio.get_running_loop().time
    async with world.wakes(subjects.hint_session(session_id)) as hints:
        told, place_at = (0, 0), 0.0
        while True:
            async with world.store.reading() as tx:
                session = await owned(tx, who, session_id)
                # To find a place the queue is gone through: not for each watcher at each poll.
                looked = session.version != told[0] or (session.state is SessionState.PENDING and clock_s() >= place_at)
                view = await view_of(tx, session) if looked else None
            if view is not None:
                place_at = clock_s() + world.policy.place_s
                news = (session.version, view.queue_position)
                if told != news:
                    told = news
                    yield view
            if session.finished:
                return
            await woken(hints, world.policy.poll_s)


async def wait_until(world: World, who: Principal, session_id: str, done: Callable[[Session], bool]) -> SessionView:
    """Returns when `done` holds or the session has finished; the caller's deadline is the only other limit."""
    async with world.wakes(subjects.hint_session(session_id)) as hints:
        while True:
            async with world.store.reading() as tx:
                session = await owned(tx, who, session_id)
                if session.finished or done(session):
                    return await view_of(tx, session)
            await woken(hints, world.policy.poll_s)


async def owned(tx: Tx, who: Principal, session_id: str) -> Session:
    session = await tx.sessions.get(session_id)
    if session is None or session.project_id != who.project_id or not who.sees(session.created_by):
        raise NotFound("SESSION_NOT_FOUND", f"there is no session 'sessions/{session_id}'", field="name")
    return session


async def view_of(tx: Tx, session: Session) -> SessionView:
    held, now = _held(await tx.ports.of_session(session.id)), await tx.now()
    if session.state is not SessionState.PENDING:
        return SessionView(session, held, 0, now)
    position = (await places_of(tx, [session])).get(session.id, 0)
    return SessionView(session, held, position, now, await queue_estimate_s(tx, session, position, now))


def _held(leases: Sequence[PortLease]) -> tuple[PortLease, ...]:
    return tuple(lease for lease in leases if lease.free_at is None)
