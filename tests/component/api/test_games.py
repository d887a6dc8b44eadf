"""A game is changed field by field; what was made of it before stays, and secrets survive a round trip."""

from __future__ import annotations

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from quarterdeck.v1 import games_pb2 as pb
from quarterdeck.v1 import shapes_pb2

from controlplane.domain.identity import DEFAULT_PROJECT
from controlplane.domain.parameters import MASK
from tests.component.api.plane import Caller, Plane, make_game
from tests.component.api.refusals import refused

SECRET = pb.Parameter(parameter_name="key", type=pb.PARAMETER_TYPE_SECRET, default_value="s3cret")
LEVEL = pb.Parameter(parameter_name="level", type=pb.PARAMETER_TYPE_STRING, default_value="dust")


async def test_fields_that_are_named_change_and_others_stay(api: Plane, operator: Caller) -> None:
    await make_game(operator)
    before = await operator.games.GetGame(pb.GetGameRequest(name="games/demo"))
    change = pb.Game(name="games/demo", display_name="Demo!", summary="A demo.", law=shapes_pb2.Law(deny=["US"]))
    named = pb.UpdateGameRequest(game=change, update_mask=FieldMask(paths=["summary", "law"]))
    after = await operator.games.UpdateGame(named)
    assert (after.summary, list(after.law.deny), after.display_name) == ("A demo.", ["US"], before.display_name)
    assert after.current_deployment == before.current_deployment != ""
    assert await operator.games.UpdateGame(named) == after
    set_fields = pb.UpdateGameRequest(game=pb.Game(name="games/demo", display_name="Demo!"))
    assert (await operator.games.UpdateGame(set_fields)).display_name == "Demo!"
    emptied = pb.UpdateGameRequest(game=pb.Game(name="games/demo"), update_mask=FieldMask(paths=["law"]))
    assert not (await operator.games.UpdateGame(emptied)).HasField("law")


async def test_parameters_are_replaced_whole_and_a_masked_secret_is_the_one_it_was(
    api: Plane, operator: Caller
) -> None:
    await operator.games.CreateGame(pb.CreateGameRequest(game_id="orbit", game=pb.Game(parameters=[SECRET])))
    shown = await operator.games.GetGame(pb.GetGameRequest(name="games/orbit"))
    assert shown.parameters[0].default_value == MASK
    shown.parameters.append(LEVEL)
    after = await operator.games.UpdateGame(pb.UpdateGameRequest(game=shown))
    assert [one.parameter_name for one in after.parameters] == ["key", "level"]
    renamed = pb.UpdateGameRequest(game=pb.Game(name="games/orbit", display_name="Orbit"))
    await operator.games.UpdateGame(renamed)
    async with api.world.store.reading() as tx:
        game = await tx.catalogue.game(DEFAULT_PROJECT, "orbit")
    assert game is not None
    assert [(one.name, one.default) for one in game.parameters] == [("key", "s3cret"), ("level", "dust")]


async def test_what_cannot_be_is_refused_by_field(api: Plane, operator: Caller, player: Caller) -> None:
    await make_game(operator)
    lost = await refused(operator.games.UpdateGame(pb.UpdateGameRequest(game=pb.Game(name="games/none", summary="x"))))
    assert (lost.code, lost.reason) == (grpc.StatusCode.NOT_FOUND, "GAME_NOT_FOUND")
    preset = pb.UpdateGameRequest(game=pb.Game(name="games/demo", default_preset="none"))
    wrong = await refused(operator.games.UpdateGame(preset))
    assert (wrong.reason, wrong.fields) == ("PRESET_UNKNOWN", ("game.default_preset",))
    unknown = pb.UpdateGameRequest(game=pb.Game(name="games/demo"), update_mask=FieldMask(paths=["colour"]))
    assert (await refused(operator.games.UpdateGame(unknown))).reason == "UPDATE_MASK_INVALID"
    assert (await refused(player.games.UpdateGame(preset))).code == grpc.StatusCode.PERMISSION_DENIED
