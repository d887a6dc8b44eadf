"""Who went silent, and which sessions their hosts lost. Decided by the domain, on the database's clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from controlplane.domain import subjects
from controlplane.domain.host import GONE, Host, HostTrigger
from controlplane.domain.reconcile import never_started, untaken
from controlplane.domain.session import SESSION_MACHINE, SessionReason, SessionTrigger
from controlplane.domain.silence import judge, listening, silence_s
from controlplane.interfaces import Tx
from controlplane.usecases.settling import settle
from controlplane.usecases.world import World


async def judge_hosts(world: World) -> int:
    """Declares hosts STALE or LOST that were silent for too long; returns how many changed. Kills nothing."""
    async with world.store.reading() as tx:
        verdicts = judge(tuple(await tx.hosts.watched()), await tx.feed.get(), await tx.now(), world.policy.silence)
    for host, trigger in verdicts:
        async with world.store.tx() as tx:
            hints = await _apply(tx, world, host, trigger)
        await world.tell(*hints)
    return len(verdicts)


async def _apply(tx: Tx, world: World, seen: Host, trigger: HostTrigger) -> tuple[str, ...]:
    host = await tx.hosts.lock(seen.id)
    now = await tx.now()
    if host is None or host.state is not seen.state or host.last_heartbeat_at != seen.last_heartbeat_at:
        return ()  # heard from since, or judged by another replica
    changed, events = host.on(trigger, now)
    await tx.hosts.save(changed)
    await tx.outbox.append(events)
    if trigger is not HostTrigger.SILENT:
        return ()
    return await mark_reachability(tx, host.id, now, reachable=False)


async def mark_reachability(tx: Tx, vm_id: str, now: datetime, *, reachable: bool) -> tuple[str, ...]:
    """Sets or clears the condition *unreachable* on every unfinished session of a VM; returns hints to give."""
    marked = [
        replace(session, unreachable_at=None if reachable else now, updated_at=now, version=session.version + 1)
        for session in await tx.sessions.on_vm(vm_id)
        if (session.unreachable_at is None) != reachable
    ]
    await tx.batch.save_sessions(marked)
    await tx.outbox.append([session.event("reachable" if reachable else "unreachable") for session in marked])
    return tuple(subjects.hint_session(session.id) for session in marked)


async def expire_unreachable(world: World) -> int:
    """Ends sessions whose LOST or departed host stayed away longer than their `lost_after`, though we listened for long
    enough to have heard it come back; returns how many."""
    limits = world.policy.silence
    async with world.store.reading() as tx:
        now, feed = await tx.now(), await tx.feed.get()
        if not listening(feed, now, limits):
            return 0
        overdue = [
            s
            for s in await tx.sessions.unreachable()
            if s.unreachable_at is not None
            and now - s.unreachable_at >= timedelta(seconds=s.lost_after_s)
            and silence_s(feed, s.unreachable_at, now, limits) >= min(s.lost_after_s, limits.lost_after_s)
        ]
    ended = 0
    for stale in overdue:
        async with world.store.tx() as tx:
            host = await tx.hosts.lock(stale.vm_id)
            await tx.vms.lock(stale.vm_id)
            session = await tx.sessions.get(stale.id)
            if session is None or session.unreachable_at != stale.unreachable_at or session.finished:
                continue
            if host is None or host.state not in GONE:
                continue
            if not SESSION_MACHINE.allows(session.state, SessionTrigger.HOST_GONE):
                continue
            now = await tx.now()
            detail = f"its host was away for longer than {session.lost_after_s:g} s"
            lost, events = session.on(SessionTrigger.HOST_GONE, now, SessionReason.HOST_LOST, detail)
            hints = await settle(tx, lost, events, now, world.policy, confirmed=False)
            ended += 1
        await world.tell(*hints)
    return ended


async def expire_untaken(world: World) -> int:
    """Ends sessions that their host, though it is there, has not begun with by the deadline: what was allocated to them
    is free again. Only time counts in which we heard what hosts say; returns how many."""
    deadline_s, limits = world.policy.start_deadline_s, world.policy.silence
    async with world.store.reading() as tx:
        now, feed = await tx.now(), await tx.feed.get()
        if not listening(feed, now, limits):
            return 0
        overdue = [
            session
            for session in await tx.sessions.starting(now - timedelta(seconds=deadline_s))
            if silence_s(feed, session.stages.allocated_at or now, now, limits) >= deadline_s
        ]
    ended = 0
    for stale in overdue:
        async with world.store.tx() as tx:
            host = await tx.hosts.lock(stale.vm_id)
            await tx.vms.lock(stale.vm_id)
            session = await tx.sessions.get(stale.id)
            now = await tx.now()
            if host is None or session is None or not untaken(session, host, now, deadline_s):
                continue
            over, events = never_started(session, now, deadline_s)
            # Its host may be about to begin: its ports rest as those of one that was lost.
            hints = await settle(tx, over, events, now, world.policy, confirmed=False)
            ended += 1
        await world.tell(*hints)
    return ended
