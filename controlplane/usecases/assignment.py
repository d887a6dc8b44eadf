"""The seeds' three verbs beside CreateSession: find a VM, assign a session to it, release it again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from controlplane.domain import template as templates
from controlplane.domain.errors import Exhausted, NotFound, WrongState
from controlplane.domain.fallback import forbidden
from controlplane.domain.game import Deployment, Picture
from controlplane.domain.identity import Principal
from controlplane.domain.placement import Candidate, PassedOver, rank
from controlplane.domain.region import Law
from controlplane.domain.session import Session, SessionState
from controlplane.domain.vm import Vm
from controlplane.interfaces import AuditEntry, Tx
from controlplane.usecases.allocation import ALL, NEAR, Ask, place_on, surveyed
from controlplane.usecases.line import BEHIND, Line
from controlplane.usecases.offers import cheapest
from controlplane.usecases.queue import asks_of
from controlplane.usecases.sessions import SessionView, owned, stop_session, view_of
from controlplane.usecases.survey import explained, in_words, known_preset, known_region, ways
from controlplane.usecases.vms import owned as owned_vm
from controlplane.usecases.world import World, operators_only


@dataclass(frozen=True)
class VmWish:
    """What a VM is sought for. Without a game: for any that has a picture, with the default preset."""

    game_id: str = ""
    preset_id: str = ""
    region_id: str = ""
    coordinates: tuple[float, float] | None = None
    territory: str = ""


@dataclass(frozen=True)
class VmFound:
    """`vm` None: none has room now, or others wait for it already; then `template_id` is what to make one of, the
    cheapest by the prices known here that carries the preset, or "". `units` is what a session would take of the VM."""

    vm: Vm | None
    units: int
    passed_over: tuple[PassedOver, ...]
    preset_id: str
    template_id: str = ""


async def find_vm(world: World, who: Principal, wish: VmWish) -> VmFound:
    """The VM that a session would get now (seed 001). Answers and reserves nothing: it may be full a moment later.

    Raises NotFound (game), InvalidRequest (preset, region)."""
    operators_only(who)
    async with world.store.reading() as tx:
        now = await tx.now()
        law, default_preset_id, deployment = await _game(tx, who, wish.game_id, now)
        preset_id = wish.preset_id or default_preset_id or world.policy.default_preset_id
        preset = await known_preset(tx, who.project_id, wish.game_id, preset_id)
        await known_region(tx, wish.region_id)
        session = Session(
            id="",
            project_id=who.project_id,
            game_id=wish.game_id,
            deployment_number=deployment.number,
            preset_id=preset.id,
            state=SessionState.PENDING,
            created_at=now,
            updated_at=now,
            region_id=wish.region_id,
            coordinates=wish.coordinates,
            territory=wish.territory,
        )
        ask = Ask(session, deployment, preset, law)
        regions, known = await tx.shapes.regions(), await tx.shapes.templates()
        found = ways(regions, [ask.wish])
        behind = await Line(tx, world.policy.queue_bounds).behind({0: ask})
        for limit in (NEAR, ALL):  # most fleets have room on one of the first few
            (need,), candidates = await surveyed(tx, [ask], found, now, limit)
            choices, passed = rank(need, candidates)
            if choices or len(candidates) < limit:
                break
        best = choices[0] if choices and not behind else None
        vm = next((candidate.vm for candidate in candidates if best and candidate.vm.id == best.vm_id), None)
        figures = await tx.figures.regions(who.project_id)
        told = BEHIND if behind else explained(found[0], figures, passed, vm.region_id if vm else "")
    if vm is not None and best is not None:
        return VmFound(vm, best.units, told, preset.id)
    prices = cheapest([offer for offer in world.offers.remembered if offer.region_id in found[0].regions])
    template_id = next((template.id for template in templates.fitting(known, preset, prices)), "")
    return VmFound(None, 0, told, preset.id, template_id)


async def _game(tx: Tx, who: Principal, game_id: str, now: datetime) -> tuple[Law, str, Deployment]:
    """Its law, its preset, and what it runs; of none, or of one that runs nothing yet, what any with a picture does."""
    anything = Deployment(game_id, who.project_id, 0, (), Picture.FRAMES, now)
    if not game_id:
        return Law(), "", anything
    found = await tx.catalogue.current(who.project_id, game_id)
    if found is None:
        raise NotFound("GAME_NOT_FOUND", f"there is no game 'games/{game_id}'", field="game")
    game, deployment = found
    return game.law, game.default_preset_id, deployment or anything


async def assign_session(world: World, who: Principal, session_id: str, vm_id: str, request_id: str) -> SessionView:
    """Binds a PENDING session to that VM in one transaction; one that is bound to it already stays as it is.

    Raises NotFound; WrongState when the session is elsewhere or over, when the VM does not fit, or when the law
    forbids its region; Exhausted when it is full."""
    operators_only(who)
    async with world.store.tx() as tx:
        vm = owned_vm(await tx.vms.lock(vm_id), who, vm_id)
        session = await owned(tx, who, session_id)
        if session.vm_id == vm.id and not session.finished:
            return await view_of(tx, session)
        if session.state is not SessionState.PENDING:
            where = f" on vms/{session.vm_id}" if session.vm_id else ""
            raise WrongState(
                "SESSION_NOT_PENDING", f"{session.name} is {session.state}{where}: only a waiting one can be assigned"
            )
        bound, hints = await _bound(tx, session, vm)
        await tx.sessions.save(bound)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "AssignSession", bound.name, request_id))
        view = await view_of(tx, bound)
    await world.tell(*hints)
    return view


async def _bound(tx: Tx, session: Session, vm: Vm) -> tuple[Session, tuple[str, ...]]:
    (ask,) = await asks_of(tx, [session])
    host, region = await tx.hosts.get(vm.id), await tx.shapes.region(vm.region_id)
    if host is None or region is None:
        raise WrongState("VM_WITHOUT_HOST", f"no agent has enrolled for {vm.name} yet")
    why = forbidden(ask.wish, region)
    if why:
        raise WrongState("REGION_FORBIDDEN", f"{session.name} may not go to {region.name}: {why}")
    placement = await place_on(tx, ask, Candidate(vm, host), await tx.now())
    if placement.bound is None:
        full = any(entry.full for entry in placement.passed)
        told = in_words(placement.passed)
        raise Exhausted("NO_CAPACITY", told) if full else WrongState("VM_UNFIT", told)
    return placement.bound, placement.hints


async def release_session(world: World, who: Principal, vm_id: str, session_id: str, request_id: str) -> SessionView:
    """Ends the session's binding to that VM: its game is asked to stop, and its slot is free when it has. One that is
    over already changes nothing. Raises NotFound; WrongState when it is not on that VM."""
    operators_only(who)
    async with world.store.reading() as tx:
        owned_vm(await tx.vms.get(vm_id), who, vm_id)
        session = await owned(tx, who, session_id)
        if session.vm_id != vm_id:
            raise WrongState("SESSION_NOT_THERE", f"{session.name} is not on vms/{vm_id}")
    return await stop_session(world, who, session_id, request_id)
