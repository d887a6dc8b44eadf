"""The same create with the same client token gives the same thing, however late; with another request it is refused."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from quarterdeck.v1 import games_pb2, hosts_pb2, ports_pb2, shapes_pb2, shapes_pb2_grpc, vms_pb2

from tests.component.api.plane import Caller, Plane, make_game
from tests.component.api.refusals import refused

Call = Callable[[Message], Awaitable[Any]]


def deployment(*command: str, token: str = "") -> games_pb2.CreateDeploymentRequest:
    wanted = games_pb2.Deployment(command=command, picture=games_pb2.PICTURE_FRAMES)
    return games_pb2.CreateDeploymentRequest(parent="games/demo", deployment=wanted, client_token=token)


CREATES: dict[str, tuple[Callable[[Caller], Call], Message, dict[str, Any]]] = {
    "vm": (
        lambda caller: caller.vms.CreateVm,
        vms_pb2.CreateVmRequest(region="local", client_token="t"),
        {"port_range": hosts_pb2.PortRange(first=30000, last=30010)},
    ),
    "game": (
        lambda caller: caller.games.CreateGame,
        games_pb2.CreateGameRequest(game_id="orbit", game=games_pb2.Game(summary="Turn."), client_token="t"),
        {"game": games_pb2.Game(summary="Land.")},
    ),
    "deployment": (
        lambda caller: caller.games.CreateDeployment,
        deployment("one", token="t"),
        {"deployment": games_pb2.Deployment(command=["two"], picture=games_pb2.PICTURE_FRAMES)},
    ),
    "region": (
        lambda caller: shapes_pb2_grpc.ShapeServiceStub(caller.channel).CreateRegion,
        shapes_pb2.CreateRegionRequest(region_id="north", region=shapes_pb2.Region(display_name="N"), client_token="t"),
        {"region": shapes_pb2.Region(display_name="S")},
    ),
    "port": (
        lambda caller: caller.ports.AllocatePort,
        ports_pb2.AllocatePortRequest(parent="vms/kept", protocol="udp", purpose="voice", client_token="t"),
        {"purpose": "else"},
    ),
}


@pytest.fixture
async def furnished(operator: Caller) -> Caller:
    await make_game(operator)
    await operator.vms.CreateVm(vms_pb2.CreateVmRequest(vm_id="kept", region="local"))
    return operator


@pytest.mark.parametrize("what", CREATES)
async def test_a_token_stands_for_its_first_request(furnished: Caller, what: str) -> None:
    call_of, request, other = CREATES[what]
    call = call_of(furnished)
    first, *more = await asyncio.gather(*(call(request) for _ in range(3)))
    assert {made.name for made in more} == {first.name}
    changed = type(request)(**{field.name: value for field, value in request.ListFields()} | other)
    refusal = await refused(call(changed))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "CLIENT_TOKEN_MISMATCH")
    assert refusal.fields == ("client_token",)
    assert (await call(request)).name == first.name


async def test_a_vm_that_is_in_another_region_since_is_still_what_its_token_made(api: Plane, operator: Caller) -> None:
    request = vms_pb2.CreateVmRequest(region="eu-west-1", client_token="t")
    made = await operator.vms.CreateVm(request)
    async with api.world.store.tx() as tx:
        vm = await tx.vms.lock(made.name.removeprefix("vms/"))
        assert vm is not None
        await tx.vms.save(replace(vm, region_id="local", version=vm.version + 1))
    again = await operator.vms.CreateVm(request)
    assert (again.name, again.region) == (made.name, "local")


async def test_a_late_repeat_does_not_deploy_what_was_before(operator: Caller) -> None:
    await make_game(operator)
    first = await operator.games.CreateDeployment(deployment("one", token="a"))
    second = await operator.games.CreateDeployment(deployment("two", token="b"))
    assert await operator.games.CreateDeployment(deployment("one", token="a")) == first
    game = await operator.games.GetGame(games_pb2.GetGameRequest(name="games/demo"))
    assert game.current_deployment == second.name


async def test_a_game_that_was_changed_since_is_still_what_its_token_made(operator: Caller) -> None:
    request = games_pb2.CreateGameRequest(game_id="orbit", game=games_pb2.Game(summary="Turn."), client_token="t")
    await operator.games.CreateGame(request)
    await operator.games.UpdateGame(
        games_pb2.UpdateGameRequest(game=games_pb2.Game(name="games/orbit", summary="Land."))
    )
    assert (await operator.games.CreateGame(request)).summary == "Land."


async def test_what_is_there_no_more_is_not_made_again(furnished: Caller) -> None:
    call_of, request, _ = CREATES["port"]
    made = await call_of(furnished)(request)
    await furnished.ports.ReleasePort(ports_pb2.ReleasePortRequest(name=made.name))
    assert (await refused(call_of(furnished)(request))).reason == "CLIENT_TOKEN_SPENT"


async def test_a_vm_that_the_last_release_made_is_not_made_again(operator: Caller) -> None:
    """It named a VM by the client token, and kept nothing else of that."""
    vm_id = "vm-" + hashlib.sha256(b"default/t").hexdigest()[:20]
    made = await operator.vms.CreateVm(vms_pb2.CreateVmRequest(vm_id=vm_id, region="eu-west-1"))
    other = vms_pb2.CreateVmRequest(region="local", client_token="t")
    assert (await refused(operator.vms.CreateVm(other))).reason == "CLIENT_TOKEN_MISMATCH"
    request = vms_pb2.CreateVmRequest(region="eu-west-1", client_token="t")
    for _ in range(2):
        assert (await operator.vms.CreateVm(request)).name == made.name
    assert (await refused(operator.vms.CreateVm(other))).reason == "CLIENT_TOKEN_MISMATCH"
    assert (
        await operator.vms.CreateVm(vms_pb2.CreateVmRequest(vm_id=vm_id, client_token="n", region="eu-west-1"))
    ).name == made.name
    assert (
        await refused(operator.vms.CreateVm(vms_pb2.CreateVmRequest(vm_id=vm_id, region="eu-west-1")))
    ).reason == "VM_EXISTS"
