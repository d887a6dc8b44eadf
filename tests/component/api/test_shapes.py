"""What a session may be asked for can be asked for: every preset and region that is listed is taken by name."""

from __future__ import annotations

import grpc
from quarterdeck.v1 import sessions_pb2, shapes_pb2, shapes_pb2_grpc

from tests.component.api.agents import linked
from tests.component.api.plane import Caller, Plane, make_game, make_host
from tests.component.api.refusals import refused


async def test_a_player_sees_the_presets_and_regions_that_sessions_take(api: Plane, operator: Caller) -> None:
    stub = shapes_pb2_grpc.ShapeServiceStub(operator.channel)
    presets = (await stub.ListPresets(shapes_pb2.ListPresetsRequest())).presets
    regions = (await stub.ListRegions(shapes_pb2.ListRegionsRequest())).regions
    figures = {one.preset_id: (one.width, one.height, one.fps) for one in presets}
    assert figures["software-720p30"] == (1280, 720, 30)
    assert list(figures) == sorted(figures)
    assert "local" in [region.region_id for region in regions]
    assert all(one.display_name for one in (*presets, *regions))
    key = await make_host(api, operator, "vm-1")
    await make_game(operator)
    async with linked(api, key):
        request = sessions_pb2.CreateSessionRequest(game="games/demo", preset="software-720p30", region="local")
        session = await operator.sessions.CreateSession(request)
        assert (session.preset, session.region) == ("software-720p30", "local")


async def test_shapes_are_for_those_who_are_signed_in(api: Plane) -> None:
    async with api.channel("") as channel:
        stub = shapes_pb2_grpc.ShapeServiceStub(channel)
        refusal = await refused(stub.ListPresets(shapes_pb2.ListPresetsRequest()))
    assert refusal.code == grpc.StatusCode.UNAUTHENTICATED
