"""Creates sessions: concurrent requests are placed together, as many as come, in one transaction.

A transaction for each would be bound by the database's round trips and commits, and they would queue for the same
VMs and for the project's audit chain; a batch does each of these once.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from controlplane.domain import subjects
from controlplane.domain.choice import Choice
from controlplane.domain.configuration import accepted
from controlplane.domain.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    InvalidRequest,
    NotFound,
    QuarterdeckError,
    Unavailable,
)
from controlplane.domain.game import Deployment, Game, Picture
from controlplane.domain.identity import Principal
from controlplane.domain.placement import PassedOver
from controlplane.domain.session import Limits, Session, SessionState, Video
from controlplane.domain.template import Preset
from controlplane.interfaces import AuditEntry, Tx
from controlplane.usecases import saves
from controlplane.usecases.allocation import Ask, Placement, place_many
from controlplane.usecases.line import BEHIND, Line
from controlplane.usecases.repeating import mismatch
from controlplane.usecases.sessions import SessionView, view_of
from controlplane.usecases.survey import in_words, known_preset, known_region, places_of, queue_estimate_s
from controlplane.usecases.world import World, operators_only

TRIES = 12
FIRST_PAUSE_S = 0.005


@dataclass(frozen=True)
class SessionRequest:
    """What a caller asks for; None means the default of the control plane. Times in seconds; coordinates in degrees;
    `territory` is the player's (ISO 3166-1 alpha-2)."""

    game_id: str
    preset_id: str = ""
    region_id: str = ""
    coordinates: tuple[float, float] | None = None
    territory: str = ""
    client_token: str = ""
    idle_timeout_s: float | None = None
    disconnect_timeout_s: float | None = None
    max_duration_s: float | None = None
    lost_after_s: float | None = None
    queue_timeout_s: float | None = None
    choice: Choice = field(default_factory=Choice, repr=False)
    save_id: str = ""

    def digest(self) -> str:
        """What makes two requests the same, whatever their token."""
        # Fields that came later count where they are given: so a release beside this one finds the same.
        apart = {"client_token"} | {name for name in ("choice", "save_id") if not getattr(self, name)}
        said = vars(self) | {"choice": asdict(self.choice)}
        facts = sorted((name, value) for name, value in said.items() if name not in apart)
        return hashlib.sha256(repr(facts).encode()).hexdigest()


@dataclass(frozen=True)
class _Order:
    """One caller's request on its way through a batch."""

    who: Principal
    request: SessionRequest
    request_id: str

    @property
    def apart(self) -> str:
        """What the token is kept as where the session that has it this caller may not see; none can be given so."""
        return f"{self.request.client_token}/{self.who.subject}"

    def same_as(self, other: _Order) -> bool:
        return (self.who.subject, self.request) == (other.who.subject, other.request)

    @property
    def writes(self) -> tuple[str, str]:
        return self.who.project_id, self.request.save_id

    @property
    def shape(self) -> tuple[str, str, SessionRequest]:
        """Orders of one shape run the same and are placed alike; with a save it matters who asks."""
        plain = replace(self.request, client_token="") if self.request.client_token else self.request
        return self.who.project_id, self.who.sees_only if self.request.save_id else "", plain


Answers = dict[int, SessionView | Exception]
Orders = Mapping[int, _Order]


async def create_session(world: World, who: Principal, request: SessionRequest, request_id: str) -> SessionView:
    """Places a session, or queues it until its deadline; behind those that wait for the same.

    The same client token gives the same session; with another request it is refused (I20). What another player does
    with the same token is nothing to this caller. Raises NotFound (game),
    InvalidRequest (preset, region, parameters, no deployment), Forbidden (file patches are for operators), Exhausted
    (no room, and the caller would not wait; too many wait; or too many requests at once), Unavailable. Never Conflict:
    who loses a race tries again in here."""
    if request.choice.file_patches:
        operators_only(who)
    return await world.creating.join(_Order(who, request, request_id), partial(_create_all, world))


async def _create_all(world: World, orders: Sequence[_Order]) -> Sequence[SessionView | Exception]:
    answers: Answers = {}
    wait = False
    for tries in range(1, TRIES + 1):
        left = {index: order for index, order in enumerate(orders) if index not in answers}
        if not left:
            break
        try:
            batch = _Batch(world, left)
            answered = await batch.run(wait=wait)
        except (Conflict, AlreadyExists):  # somebody else was faster between our reading and our writing
            await asyncio.sleep(random.uniform(0, FIRST_PAUSE_S * 2**tries))  # noqa: S311 - not a secret
            continue
        answers |= answered
        wait = batch.contended
        await world.tell(*batch.hints)
    busy = Unavailable("ALLOCATION_BUSY", "others were faster each time; nothing was created: try again")
    return [answers.get(index, busy) for index in range(len(orders))]


class _Batch:
    """One transaction for many orders. What it leaves unanswered is for the next one."""

    def __init__(self, world: World, orders: Orders) -> None:
        self._world = world
        self._orders = orders
        self._answers: Answers = {}
        # Whose token somebody has, or has come with in this batch before, whose sessions they may not see.
        self._kept_apart: set[int] = set()
        self._known_apart: frozenset[int] = frozenset()
        self.hints: list[str] = []
        self.contended = False

    async def run(self, *, wait: bool) -> Answers:
        async with self._world.store.tx() as tx:
            now = await tx.now()
            new = await self._without_known(tx)
            asks = await self._asks(tx, new, now)
            line = Line(tx, self._world.policy.queue_bounds)
            behind = await line.behind(asks)
            to_place = [index for index in asks if index not in behind]
            placements = dict.fromkeys(behind, Placement(passed=BEHIND))
            if to_place:
                placed = await place_many(tx, [asks[index] for index in to_place], now, wait=wait)
                placements |= zip(to_place, placed, strict=True)
            await self._write(tx, line, asks, placements, now)
        firsts = self._firsts()
        for index, order in self._orders.items():  # those who asked for the very same, with the same token
            first = firsts.get(self._key(index))
            if first in self._answers and order.same_as(self._orders[first]):
                self._answers[index] = self._answers[first]
        return self._answers

    def _key(self, index: int) -> tuple[str, str]:
        """What an order is told by, of those with a token: "" in it says that it has none."""
        order = self._orders[index]
        return order.who.project_id, order.apart if index in self._kept_apart else order.request.client_token

    def _firsts(self) -> dict[tuple[str, str], int]:
        """For each client token the order that came first with it."""
        firsts: dict[tuple[str, str], int] = {}
        for index, order in self._orders.items():
            if order.request.client_token:
                firsts.setdefault(self._key(index), index)
        return firsts

    async def _without_known(self, tx: Tx) -> list[int]:
        """Answers those whose client token is known (I20); returns the first of each of the others."""
        orders = {index: order for index, order in self._orders.items() if order.request.client_token}
        for project_id in sorted({order.who.project_id for order in orders.values()}):
            mine = {index: order for index, order in orders.items() if order.who.project_id == project_id}
            tokens = {token for order in mine.values() for token in (order.request.client_token, order.apart)}
            known = await tx.batch.by_client_tokens(project_id, sorted(tokens))
            for index, order in mine.items():
                earlier = known.get(order.apart) or known.get(order.request.client_token)
                if earlier is not None and not order.who.sees(earlier.created_by):
                    self._kept_apart.add(index)
                elif earlier is not None:
                    self._answers[index] = _same(await view_of(tx, earlier), order)
        self._known_apart = frozenset(self._kept_apart)
        firsts = self._firsts()
        for index, order in orders.items():
            if not order.who.sees(self._orders[firsts[self._key(index)]].who.subject):
                self._kept_apart.add(index)
        firsts = self._firsts()
        news = [index for index in self._orders if firsts.get(self._key(index), index) == index]
        return [index for index in news if index not in self._answers]

    async def _asks(self, tx: Tx, new: Sequence[int], now: datetime) -> dict[int, Ask]:
        resolved: dict[tuple[str, str, SessionRequest], _Resolved | QuarterdeckError] = {}
        asks: dict[int, Ask] = {}
        room = saves.Room(tx, self._world.policy.saves_each)
        for index in new:
            order = self._orders[index]
            if order.request.save_id and any(self._orders[other].writes == order.writes for other in asks):
                continue  # for the next batch, which knows who has the save then
            shape = order.shape
            if shape not in resolved:
                try:
                    resolved[shape] = await _resolve(tx, self._world, order.who, order.request)
                except QuarterdeckError as refusal:
                    resolved[shape] = refusal
            found = resolved[shape]
            if isinstance(found, QuarterdeckError):
                self._answers[index] = found
                continue
            if order.request.save_id:
                try:
                    await room.take(order.who, order.request.save_id)
                except Exhausted as refusal:
                    self._answers[index] = refusal
                    continue
            session = _new_session(self._world, order.who, order.request, found, now)
            asks[index] = Ask(session, found.deployment, found.preset, found.game.law)
        return asks

    async def _write(
        self, tx: Tx, line: Line, asks: Mapping[int, Ask], placements: Mapping[int, Placement], now: datetime
    ) -> None:
        created: dict[int, SessionView] = {}
        given: set[tuple[str, str]] = set()
        for index, ask in asks.items():
            placement, session = placements[index], placements[index].bound
            if session is None and placement.contended:
                self.contended = True
                continue
            try:
                session = session or await line.joined_by(
                    _queued(
                        ask.session,
                        self._orders[index].request,
                        placement.passed,
                        now,
                        self._world.policy.queue_timeout_s,
                    )
                )
            except Exhausted as refusal:
                self._answers[index] = refusal
                continue
            order = self._orders[index]
            token = order.who.project_id, order.request.client_token
            if index in self._known_apart or (index in self._kept_apart and token in given):
                session = replace(session, client_token=order.apart)
            given.add(token)  # who was refused leaves it to the next: none is kept apart from nobody
            created[index] = SessionView(session, placement.leases, 0, now)
            # Of the session itself nobody can know yet, and so wait for it.
            self.hints.append(subjects.hint_plan(session.vm_id) if session.vm_id else subjects.SLOTS)
        await tx.batch.add_sessions([view.session for view in created.values()])
        for index, view in created.items():
            if view.session.save_id:
                await saves.hold(tx, self._orders[index].who, view.session, now)
        queued = [view.session for view in created.values() if view.session.state is SessionState.PENDING]
        await tx.outbox.append([session.event("pending") for session in queued])
        places = await places_of(tx, queued)
        for index, view in created.items():
            order = self._orders[index]
            place = places.get(view.session.id, 0)
            estimate_s = await queue_estimate_s(tx, view.session, place, now) if place else None
            told = replace(view, queue_position=place, queue_estimate_s=estimate_s) if place else view
            self._answers[index] = told
            entry = AuditEntry(
                order.who.project_id, order.who.subject, "CreateSession", view.session.name, order.request_id
            )
            await tx.outbox.audit(entry)


def _same(view: SessionView, order: _Order) -> SessionView | AlreadyExists:
    if view.session.request_sha256 == order.request.digest():
        return view
    return mismatch(view.session.name)


@dataclass(frozen=True)
class _Resolved:
    """What orders of one shape run."""

    game: Game
    deployment: Deployment
    preset: Preset
    request_sha256: str


async def _resolve(tx: Tx, world: World, who: Principal, request: SessionRequest) -> _Resolved:
    found = await tx.catalogue.current(who.project_id, request.game_id)
    if found is None:
        raise NotFound("GAME_NOT_FOUND", f"there is no game 'games/{request.game_id}'", field="game")
    game, deployment = found
    if deployment is None:
        raise InvalidRequest("GAME_NOT_DEPLOYED", f"{game.name} has no deployment yet", field="game")
    accepted(deployment, request.choice)
    if request.save_id:
        await saves.check_takeable(tx, who, request.save_id, deployment)
    preset_id = request.preset_id or game.default_preset_id or world.policy.default_preset_id
    preset = await known_preset(tx, who.project_id, game.id, preset_id)
    await known_region(tx, request.region_id)
    return _Resolved(game, deployment, preset, request.digest())


def _new_session(world: World, who: Principal, request: SessionRequest, found: _Resolved, now: datetime) -> Session:
    game, deployment, preset = found.game, found.deployment, found.preset
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
        lost_after_s=given(request.lost_after_s, policy.session_lost_after_s),
        streamed=streamed,
        video=_video(preset) if streamed else None,
        client_token=request.client_token,
        request_sha256=found.request_sha256,
        created_by=who.subject,
        coordinates=request.coordinates,
        territory=request.territory,
        lease_s=policy.session_lease_s if deployment.replaceable else 0.0,
        version=1,
        choice=request.choice,
        save_id=request.save_id,
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
    why = in_words(passed) or "no VM is ready"
    if wait_s <= 0:
        raise Exhausted(
            "NO_CAPACITY", f"no VM has room for this session: {why}. Set queue_timeout to wait for one.", why=why
        )
    return replace(
        session,
        queue_timeout_s=request.queue_timeout_s,
        queue_deadline_at=now + timedelta(seconds=wait_s),
        reason_detail=f"waits for a slot: {why}",
        passed_over=tuple(passed),
        version=session.version + 1,
    )
