"""Shapes are data: regions, presets and templates are listed, and edited by operators. Those of the house serve every
project, and only the operators of the default project change them; a game's own presets are its project's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from controlplane.domain import region as regions
from controlplane.domain import template as templates
from controlplane.domain.errors import AlreadyExists, Forbidden, InvalidRequest, NotFound
from controlplane.domain.identity import DEFAULT_PROJECT, Principal
from controlplane.domain.region import Region
from controlplane.domain.template import Preset, Template
from controlplane.interfaces import AuditEntry, Tx
from controlplane.usecases.offers import cheapest
from controlplane.usecases.repeating import Create, once
from controlplane.usecases.world import World, operators_only

S = TypeVar("S", Region, Preset, Template)
Find = Callable[[Tx, str], Awaitable[S | None]]


async def find_region(tx: Tx, region_id: str) -> Region | None:
    return await tx.shapes.region(region_id)


async def find_preset(tx: Tx, preset_id: str) -> Preset | None:
    return await tx.shapes.preset(preset_id)


async def find_template(tx: Tx, template_id: str) -> Template | None:
    return await tx.shapes.template(template_id)


async def list_presets(world: World, who: Principal) -> Sequence[Preset]:
    """Those of the house, and those of the games of the caller's project."""
    async with world.store.reading() as tx:
        return [preset for preset in await tx.shapes.presets() if preset.project_id in ("", who.project_id)]


async def list_regions(world: World) -> Sequence[Region]:
    async with world.store.reading() as tx:
        return await tx.shapes.regions()


async def list_templates(world: World, who: Principal, preset_id: str) -> Sequence[Template]:
    """All, by id; or with a preset those that fit it, cheapest first by what providers ask now anywhere, the smallest
    before others that nobody offers. Raises NotFound (preset)."""
    operators_only(who)
    async with world.store.reading() as tx:
        known = await tx.shapes.templates()
        if not preset_id:
            return known
        preset = _visible(await tx.shapes.preset(preset_id), who, f"presets/{preset_id}")
        region_ids = [region.id for region in await tx.shapes.regions()]
    quoted = await world.offers.quoted(world.providers, region_ids, [template.id for template in known])
    return templates.fitting(known, preset, cheapest(quoted.offers))


async def get(world: World, who: Principal, find: Find[S], name: str) -> S:
    """The shape of this resource name. Raises NotFound."""
    async with world.store.reading() as tx:
        return _visible(await find(tx, name.partition("/")[2]), who, name)


async def create(world: World, who: Principal, find: Find[S], shape: S, request_id: str, client_token: str = "") -> S:
    """One that exists with the same content is that one; so is what the same client token made, whatever has become of
    it since (I20). Raises AlreadyExists, InvalidRequest, Forbidden."""
    _may_edit(who, shape)
    async with world.store.tx() as tx:
        wanted = Create(who, f"Create{_kind(shape)}", client_token, shape)
        return await once(
            tx,
            wanted,
            lambda: _add(tx, who, find, shape, request_id),
            lambda made: made.name,
            lambda name: find(tx, name.partition("/")[2]),
        )


async def _add(tx: Tx, who: Principal, find: Find[S], shape: S, request_id: str) -> S:
    earlier = await find(tx, shape.id)
    if earlier is None:
        await _check(tx, who, shape)
        try:
            await tx.shapes.add(shape)
        except AlreadyExists:
            earlier = await find(tx, shape.id)  # somebody's of the same moment
            if earlier is None:
                raise
        else:
            await _audit(tx, who, "Create", shape, request_id)
            return shape
    if earlier != shape:
        raise AlreadyExists("SHAPE_EXISTS", f"there is another '{shape.name}' already: edit that, or take another id")
    return earlier


async def update(world: World, who: Principal, find: Find[S], name: str, edit: Callable[[S], S], request_id: str) -> S:
    """What `edit` makes of it; sessions keep their figures. Raises NotFound, InvalidRequest, Forbidden."""
    async with world.store.tx() as tx:
        before = await _locked(tx, who, find, name)
        edited = edit(before)
        _may_edit(who, edited)
        await _check(tx, who, edited, before)
        await tx.shapes.save(edited)
        await _audit(tx, who, "Update", edited, request_id)
    return edited


async def delete(world: World, who: Principal, find: Find[S], name: str, request_id: str) -> None:
    """Raises NotFound, Forbidden; WrongState while something refers to it."""
    async with world.store.tx() as tx:
        shape = await _locked(tx, who, find, name)
        chained = [r.name for r in await tx.shapes.regions() if isinstance(shape, Region) and shape.id in r.chain]
        if chained:
            raise InvalidRequest("REGION_CHAINED", f"{shape.name} is in the fallback chain of {', '.join(chained)}")
        await tx.shapes.delete(shape)
        await _audit(tx, who, "Delete", shape, request_id)


async def _locked(tx: Tx, who: Principal, find: Find[S], name: str) -> S:
    """The shape of this name, which the caller may change, and nobody else until the transaction ends. Raises NotFound,
    Forbidden."""
    found = _visible(await find(tx, name.partition("/")[2]), who, name)
    _may_edit(who, found)
    shape = _visible(await tx.shapes.lock(found), who, name)  # somebody may have changed it meanwhile
    _may_edit(who, shape)
    return shape


async def _check(tx: Tx, who: Principal, shape: S, before: S | None = None) -> None:
    if isinstance(shape, Region):
        regions.checked(shape, frozenset(region.id for region in await tx.shapes.regions()))
    elif isinstance(shape, Preset):
        templates.checked(shape, before if isinstance(before, Preset) else None)
        if shape.game_id and await tx.catalogue.game(who.project_id, shape.game_id) is None:
            raise NotFound("GAME_NOT_FOUND", f"there is no game 'games/{shape.game_id}'", field="preset.game")
    else:
        templates.sound(shape)


async def _audit(tx: Tx, who: Principal, verb: str, shape: Region | Preset | Template, request_id: str) -> None:
    await tx.outbox.audit(AuditEntry(who.project_id, who.subject, f"{verb}{_kind(shape)}", shape.name, request_id))


def _kind(shape: Region | Preset | Template) -> str:
    return type(shape).__name__


def _visible(shape: S | None, who: Principal, name: str) -> S:
    if shape is None or (isinstance(shape, Preset) and shape.project_id not in ("", who.project_id)):
        raise NotFound("SHAPE_NOT_FOUND", f"there is no '{name}'", field="name")
    return shape


def _may_edit(who: Principal, shape: Region | Preset | Template) -> None:
    operators_only(who)
    own = isinstance(shape, Preset) and shape.project_id == who.project_id
    if not own and who.project_id != DEFAULT_PROJECT:
        raise Forbidden("HOUSE_ONLY", f"{shape.name} serves every project: only '{DEFAULT_PROJECT}' may change it")
