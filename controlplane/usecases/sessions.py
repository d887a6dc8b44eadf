"""Players' verbs: create, get, list, stop and watch sessions."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from controlplane.domain import subjects
from controlplane.domain.errors import AlreadyExists, Exhausted, InvalidRequest, NotFound
from controlplane.domain.game import Deployment, Game, Picture
from controlplane.domain.identity import Principal
from controlplane.domain.placement import PassedOver
from controlplane.domain.session import (
    Limits,
    PortLease,
    Session,
    SessionReason,
    SessionState,
    SessionTrigger,
    Video,
)
from controlplane.domain.template import Preset
from controlplane.interfaces import AuditEntry, Page, Tx
from controlplane.usecases.allocation import place, settle
from controlplane.usecases.world import World, woken

QUEUE_SCAN = 1000


@dataclass(frozen=True)
class SessionRequest:
    """What a caller asks for; None means the default of the control plane. Times in seconds."""

    game_id: str
    preset_id: str = ""
    region_id: str = ""
    client_token: str = ""
    idle_timeout_s: float | None = None
    disconnect_timeout_s: float | None = None
    max_duration_s: float | None = None
    lost_after_s: float | None = None
    queue_timeout_s: float | None = None

    def digest(self) -> str:
        """What makes two requests the same, whatever their token."""
        facts = sorted((name, value) for name, value in asdict(self).items() if name != "client_token")
        return hashlib.sha256(repr(facts).encode()).hexdigest()


@dataclass(frozen=True)
class SessionView:
    """A session as a caller sees it at `now`. `queue_position` counts from 1; 0 when not queued."""

    session: Session
    ports: tuple[PortLease, ...]
    queue_position: int
    now: datetime


async def create_session(world: World, who: Principal, request: SessionRequest, request_id: str) -> SessionView:
    """Places a session, or queues it until its deadline.

    The same client token gives the same session; with another request it is refused (I20). Raises NotFound (game),
    InvalidRequest (preset, region, no deployment), Exhausted (no room, and the caller would not wait)."""
    try:
        view, hints = await _create_once(world, who, request, request_id)
    except AlreadyExists:  # the same token won the race between our look-up and our insert
        view, hints = await _create_once(world, who, request, request_id)
    await world.tell(*hints)
    return view


async def _create_once(
    world: World, who: Principal, request: SessionRequest, request_id: str
) -> tuple[SessionView, tuple[str, ...]]:
    async with world.store.tx() as tx:
        if request.client_token:
            earlier = await tx.sessions.by_client_token(who.project_id, request.client_token)
            if earlier is not None:
                return await _same(tx, earlier, request), ()
        now = await tx.now()
        game, deployment, preset = await _resolve(tx, world, who, request)
        session = _new_session(world, who, request, game, deployment, preset, now)
        await tx.sessions.add(session)  # before its port leases, which refer to it
        bound, passed, hints = await place(tx, session, deployment, preset, now)
        if bound is None:
            bound = _queued(session, request, passed, now, world.policy.queue_timeout_s)
            await tx.outbox.append([bound.event("pending")])
            hints = (subjects.SLOTS,)
        await tx.sessions.save(bound)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreateSession", bound.name, request_id))
        return await _view(tx, bound), hints


async def _same(tx: Tx, earlier: Session, request: SessionRequest) -> SessionView:
    if earlier.request_sha256 != request.digest():
        raise AlreadyExists(
            "CLIENT_TOKEN_MISMATCH",
            f"this client_token created {earlier.name} with other parameters; use a new token for a new session",
            field="client_token",
            session=earlier.name,
        )
    return await _view(tx, earlier)


async def _resolve(tx: Tx, world: World, who: Principal, request: SessionRequest) -> tuple[Game, Deployment, Preset]:
    game = await tx.catalogue.game(who.project_id, request.game_id)
    if game is None:
        raise NotFound("GAME_NOT_FOUND", f"there is no game 'games/{request.game_id}'", field="game")
    deployment = await tx.catalogue.deployment(who.project_id, game.id, game.current_deployment)
    if deployment is None:
        raise InvalidRequest("GAME_NOT_DEPLOYED", f"{game.name} has no deployment yet", field="game")
    preset_id = request.preset_id or game.default_preset_id or world.policy.default_preset_id
    preset = await tx.shapes.preset(preset_id)
    if preset is None:
        known = ", ".join(p.id for p in await tx.shapes.presets())
        raise InvalidRequest("PRESET_UNKNOWN", f"there is no preset '{preset_id}'; known: {known}", field="preset")
    if request.region_id and await tx.shapes.region(request.region_id) is None:
        known = ", ".join(r.id for r in await tx.shapes.regions())
        raise InvalidRequest(
            "REGION_UNKNOWN", f"there is no region '{request.region_id}'; known: {known}", field="region"
        )
    return game, deployment, preset


def _new_session(
    world: World,
    who: Principal,
    request: SessionRequest,
    game: Game,
    deployment: Deployment,
    preset: Preset,
    now: datetime,
) -> Session:
    policy, streamed = world.policy, deployment.picture is not Picture.NONE

    def given(value: float | None, default: float) -> float:
        return default if value is None else value

    # Nobody connects to a game without a picture, and no input passes us: only its length is limited by default.
    limits = Limits(
        idle_timeout_s=given(request.idle_timeout_s, policy.limits.idle_timeout_s if streamed else 0.0),
        disconnect_timeout_s=given(
            request.disconnect_timeout_s, policy.limits.disconnect_timeout_s if streamed else 0.0
        ),
        max_duration_s=given(request.max_duration_s, policy.limits.max_duration_s),
    )
    return Session(
        id=world.ids.new("s"),
        project_id=who.project_id,
        game_id=game.id,
        deployment_number=deployment.number,
        preset_id=preset.id,
        state=SessionState.PENDING,
        created_at=now,
        updated_at=now,
        region_id=request.region_id,
        limits=limits,
        lost_after_s=given(request.lost_after_s, policy.lost_after_s),
        streamed=streamed,
        video=_video(preset) if streamed else None,
        client_token=request.client_token,
        request_sha256=request.digest(),
        created_by=who.subject,
        version=1,
    )


def _video(preset: Preset) -> Video:
    return Video(
        preset.width,
        preset.height,
        preset.fps,
        preset.bitrate_kbps,
        preset.min_bitrate_kbps,
        preset.max_bitrate_kbps,
        preset.encoder_preset,
    )


def _queued(
    session: Session, request: SessionRequest, passed: Sequence[PassedOver], now: datetime, default_s: float
) -> Session:
    wait_s = default_s if request.queue_timeout_s is None else request.queue_timeout_s
    why = "; ".join(f"vms/{p.vm_id} {p.why}" for p in passed[:10]) or "no VM is ready"
    if wait_s <= 0:
        raise Exhausted(
            "NO_CAPACITY", f"no VM has room for this session: {why}. Set queue_timeout to wait for one.", why=why
        )
    return replace(
        session,
        queue_deadline_at=now + timedelta(seconds=wait_s),
        reason_detail=f"waits for a slot: {why}",
        version=session.version + 1,
    )


async def get_session(world: World, who: Principal, session_id: str) -> SessionView:
    """Raises NotFound, for another project's session too (I21)."""
    async with world.store.reading() as tx:
        return await _view(tx, await owned(tx, who, session_id))


async def list_sessions(
    world: World, who: Principal, states: Sequence[SessionState], vm_id: str, page: Page
) -> Sequence[SessionView]:
    """Newest first."""
    async with world.store.reading() as tx:
        now = await tx.now()
        sessions = await tx.sessions.list(who.project_id, states, vm_id, page)
        ports = await tx.ports.of_sessions([s.id for s in sessions])
        queue = await _queue_positions(tx) if any(s.state is SessionState.PENDING for s in sessions) else {}
        return [SessionView(s, _held(ports.get(s.id, ())), queue.get(s.id, 0), now) for s in sessions]


async def stop_session(world: World, who: Principal, session_id: str, request_id: str) -> SessionView:
    """Asks the game to stop; a session still in the queue ends at once; stopping a finished one changes nothing."""
    async with world.store.tx() as tx:
        session = await owned(tx, who, session_id)
        if session.vm_id:
            await tx.vms.lock(session.vm_id)
            session = await owned(tx, who, session_id)
        if session.finished or session.state is SessionState.STOPPING:
            return await _view(tx, session)
        now = await tx.now()
        hints = await request_stop(tx, world, session, SessionReason.STOP_REQUESTED, now)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "StopSession", session.name, request_id))
        view = await _view(tx, await owned(tx, who, session_id))
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
    """The session now and after every change; ends after its final state."""
    async with world.wakes(subjects.hint_session(session_id)) as hints:
        told: tuple[int, int] | None = None
        while True:
            view = await get_session(world, who, session_id)
            if told != (view.session.version, view.queue_position):
                told = (view.session.version, view.queue_position)
                yield view
            if view.session.finished:
                return
            await woken(hints, world.policy.poll_s)


async def wait_until(world: World, who: Principal, session_id: str, done: Callable[[Session], bool]) -> SessionView:
    """Returns when `done` holds or the session has finished; the caller's deadline is the only other limit."""
    async with world.wakes(subjects.hint_session(session_id)) as hints:
        while True:
            view = await get_session(world, who, session_id)
            if view.session.finished or done(view.session):
                return view
            await woken(hints, world.policy.poll_s)


async def owned(tx: Tx, who: Principal, session_id: str) -> Session:
    session = await tx.sessions.get(session_id)
    if session is None or session.project_id != who.project_id:
        raise NotFound("SESSION_NOT_FOUND", f"there is no session 'sessions/{session_id}'", field="name")
    return session


async def _view(tx: Tx, session: Session) -> SessionView:
    position = (await _queue_positions(tx)).get(session.id, 0) if session.state is SessionState.PENDING else 0
    return SessionView(session, _held(await tx.ports.of_session(session.id)), position, await tx.now())


def _held(leases: Sequence[PortLease]) -> tuple[PortLease, ...]:
    return tuple(lease for lease in leases if lease.free_at is None)


async def _queue_positions(tx: Tx) -> dict[str, int]:
    return {s.id: place for place, s in enumerate(await tx.sessions.queue(QUEUE_SCAN), start=1)}
