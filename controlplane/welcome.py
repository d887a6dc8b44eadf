"""How a house begins: its operator's token, and what makes an embedded one usable at once."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from controlplane.adapters.ca import write_private
from controlplane.domain.errors import AlreadyExists, WrongState
from controlplane.domain.game import Deployment, Picture
from controlplane.domain.identity import Principal
from controlplane.interfaces import Ids, Store
from controlplane.settings import Settings
from controlplane.usecases import accounts, games, vms
from controlplane.usecases.world import World

log = structlog.get_logger(__name__)


async def welcomed(settings: Settings, world: World) -> dict[str, str]:
    """Makes an embedded house usable: its operator's token file, this machine as vms/local, the demo game, a sign-in
    code. Doing it again changes nothing but the codes."""
    operator = await first_operator(settings, world.store, world.ids)
    local = vms.VmRequest(vm_id="local", region_id="local", template_id="local")
    with suppress(AlreadyExists):
        await vms.create_vm(world, operator, local, request_id="welcome")
    await _demo_game(world, operator)
    # A house that is started again and again starts all the same, and its last link works.
    code, _ = await accounts.create_sign_in_code(world, operator, displacing=True)
    said = {"sign_in_code": code}
    try:
        secret, _ = await vms.create_join_token(world, operator, local.vm_id, request_id="welcome")
    except WrongState as error:  # an operator has terminated this machine: the house stands, without an agent
        log.warning("agent.uninvited", why=error.message)
        return said
    join_token_file = settings.data_dir / "join-token"
    write_private(join_token_file, secret.encode())
    return said | {"join_token_file": str(join_token_file)}


async def first_operator(settings: Settings, store: Store, ids: Ids) -> Principal:
    """Makes the token of token_file an operator's, and the file where there is none."""
    if not settings.token_file.exists():
        settings.token_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(settings.token_file, f"{ids.secret()}\n".encode())
    return await accounts.ensure_operator(store, ids, settings.token_file.read_text(encoding="utf-8").strip())


async def _demo_game(world: World, operator: Principal) -> None:
    await games.create_game(
        world,
        operator,
        game_id="broadside",
        display_name="Broadside",
        summary="Sail, aim, fire: the demo game. Arrow keys steer, space fires.",
        default_preset_id=world.policy.default_preset_id,
        request_id="welcome",
    )
    deployment = Deployment(
        game_id="broadside",
        project_id=operator.project_id,
        number=0,
        command=(sys.executable, "-m", "examples.broadside"),
        picture=Picture.FRAMES,
        created_at=datetime.now(UTC),
    )
    await games.create_deployment(world, operator, deployment, request_id="welcome")
