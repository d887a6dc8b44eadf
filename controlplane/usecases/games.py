"""The catalogue's verbs. Deployments are numbered and immutable: a change is the next number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from controlplane.domain.choice import Choice
from controlplane.domain.configuration import Rendered, declare, made_up_ports, render
from controlplane.domain.errors import AlreadyExists, InvalidRequest, NotFound
from controlplane.domain.game import Deployment, Game, checked
from controlplane.domain.identity import Principal
from controlplane.domain.parameters import Parameter, check_declarations
from controlplane.domain.region import Law
from controlplane.interfaces import AuditEntry, Page, Tx
from controlplane.usecases.ports import check_available
from controlplane.usecases.repeating import UNBORN, Create, once
from controlplane.usecases.world import World, operators_only


async def create_game(
    world: World,
    who: Principal,
    game_id: str,
    display_name: str,
    summary: str,
    default_preset_id: str,
    request_id: str,
    law: Law | None = None,
    parameters: tuple[Parameter, ...] = (),
    log_retention_s: float = 0.0,
    client_token: str = "",
) -> Game:
    """Repeating it with the same content gives the same game; so does the same client token, whatever has become of
    the game since (I20). Raises AlreadyExists, InvalidRequest (preset, parameters)."""
    operators_only(who)
    async with world.store.tx() as tx:
        now = await tx.now()
        told = Game(
            game_id,
            who.project_id,
            display_name or game_id,
            summary,
            default_preset_id,
            now,
            law=law or Law(),
            parameters=parameters,
            log_retention_s=log_retention_s,
        )

        async def find(name: str) -> Game | None:
            return await tx.catalogue.game(who.project_id, name.removeprefix("games/"))

        create = Create(who, "CreateGame", client_token, replace(told, created_at=UNBORN))
        return await once(tx, create, lambda: _add(tx, who, told, request_id), lambda game: game.name, find)


async def _add(tx: Tx, who: Principal, told: Game, request_id: str) -> Game:
    game = await _sound(tx, told)
    earlier = await tx.catalogue.game(who.project_id, game.id)
    if earlier is not None:
        if replace(game, created_at=earlier.created_at, current_deployment=earlier.current_deployment) == earlier:
            return earlier
        raise AlreadyExists("GAME_EXISTS", f"there is another game '{game.name}' already", field="game_id")
    await tx.catalogue.add_game(game)
    await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreateGame", game.name, request_id))
    return game


async def update_game(
    world: World, who: Principal, game_id: str, edit: Callable[[Game], Game], request_id: str
) -> Game:
    """What `edit` makes of it. Deployments and sessions keep what they were made with. Raises NotFound, InvalidRequest
    (preset, parameters)."""
    operators_only(who)
    async with world.store.tx() as tx:
        before = await tx.catalogue.lock_game(who.project_id, game_id)
        if before is None:
            raise NotFound("GAME_NOT_FOUND", f"there is no game 'games/{game_id}'", field="game.name")
        game = await _sound(tx, edit(before))
        if game != before:
            await tx.catalogue.save_game(game)
            await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "UpdateGame", game.name, request_id))
    return game


async def _sound(tx: Tx, game: Game) -> Game:
    """The same game, its parameters in order, if its parts agree and its preset is there. Raises InvalidRequest."""
    check_declarations(game.parameters, None, "game.parameters")
    preset = await tx.shapes.preset(game.default_preset_id) if game.default_preset_id else None
    if game.default_preset_id and (preset is None or not preset.fits(game.project_id, game.id)):
        known = ", ".join(p.id for p in await tx.shapes.presets() if p.fits(game.project_id, game.id))
        raise InvalidRequest(
            "PRESET_UNKNOWN",
            f"there is no preset '{game.default_preset_id}'; known: {known}",
            field="game.default_preset",
        )
    return replace(game, parameters=tuple(sorted(game.parameters, key=lambda parameter: parameter.name)))


async def create_deployment(
    world: World, who: Principal, deployment: Deployment, request_id: str, client_token: str = ""
) -> Deployment:
    """Adds the next number of the game and makes it current; one that equals the current one is that one again. The
    same client token gives the same one, current or not; with another request it is refused (I20).

    Raises NotFound (game), InvalidRequest naming the field that does not fit the others, WrongState when no machine may
    give it its ports."""
    operators_only(who)
    async with world.store.tx() as tx:

        async def find(name: str) -> Deployment | None:
            number = int(name.rpartition("/")[2])
            return await tx.catalogue.deployment(who.project_id, deployment.game_id, number)

        create = Create(who, "CreateDeployment", client_token, deployment)
        return await once(tx, create, lambda: _deploy(tx, who, deployment, request_id), lambda one: one.name, find)


async def _deploy(tx: Tx, who: Principal, deployment: Deployment, request_id: str) -> Deployment:
    game = await tx.catalogue.game(who.project_id, deployment.game_id)
    if game is None:
        raise NotFound("GAME_NOT_FOUND", f"there is no game 'games/{deployment.game_id}'", field="parent")
    deployment = declare(checked(deployment), game.parameters)
    current = await tx.catalogue.deployment(who.project_id, game.id, game.current_deployment)
    if current is not None:
        same = replace(deployment, number=current.number, created_at=current.created_at)
        if same == current:
            return current
    await check_available(tx, who.project_id, game.id, deployment.ports)
    added = await tx.catalogue.add_deployment(replace(deployment, project_id=who.project_id, created_at=await tx.now()))
    await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreateDeployment", added.name, request_id))
    return added


async def get_game(world: World, who: Principal, game_id: str) -> Game:
    """Raises NotFound."""
    async with world.store.reading() as tx:
        game = await tx.catalogue.game(who.project_id, game_id)
    if game is None:
        raise NotFound("GAME_NOT_FOUND", f"there is no game 'games/{game_id}'", field="name")
    return game


async def list_games(world: World, who: Principal, page: Page) -> Sequence[Game]:
    async with world.store.reading() as tx:
        return await tx.catalogue.games(who.project_id, page)


async def get_deployment(world: World, who: Principal, game_id: str, number: int) -> Deployment:
    """Raises NotFound."""
    async with world.store.reading() as tx:
        deployment = await tx.catalogue.deployment(who.project_id, game_id, number)
    if deployment is None:
        raise NotFound(
            "DEPLOYMENT_NOT_FOUND", f"there is no deployment 'games/{game_id}/deployments/{number}'", field="name"
        )
    return deployment


async def preview(world: World, who: Principal, game_id: str, number: int, choice: Choice) -> Rendered:
    """What a session would be given, secrets masked; ports that a host would choose are 0. Raises as CreateSession."""
    operators_only(who)
    deployment = await get_deployment(world, who, game_id, number)
    return render(deployment, choice, made_up_ports(deployment), "s-0", for_eyes=True)
