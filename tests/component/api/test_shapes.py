"""What a session may be asked for can be asked for: every preset and region that is listed is taken by name."""

from __future__ import annotations

from dataclasses import replace

import grpc
from google.protobuf import field_mask_pb2
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


async def test_an_operator_edits_a_region_field_by_field_and_reads_its_capacity(api: Plane, operator: Caller) -> None:
    stub = shapes_pb2_grpc.ShapeServiceStub(operator.channel)
    region = shapes_pb2.Region(
        name="regions/eu-west-1", fallback_chain=["us-east-1"], law=shapes_pb2.Law(deny=["RU"]), low_water_slots=3
    )
    mask = field_mask_pb2.FieldMask(paths=["fallback_chain", "law"])
    edited = await stub.UpdateRegion(shapes_pb2.UpdateRegionRequest(region=region, update_mask=mask))
    assert (list(edited.fallback_chain), list(edited.law.deny), edited.low_water_slots) == (["us-east-1"], ["RU"], 1)
    assert edited.display_name == "Europe (Dublin)"
    got = await stub.GetRegion(shapes_pb2.GetRegionRequest(name="regions/eu-west-1"))
    assert got == edited
    region.fallback_chain[:] = ["mars"]
    refusal = await refused(stub.UpdateRegion(shapes_pb2.UpdateRegionRequest(region=region)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REGION_CHAIN_INVALID")
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key):
        capacity = await stub.GetRegionCapacity(shapes_pb2.GetRegionCapacityRequest(name="regions/local"))
        assert (capacity.available_vms, capacity.free_slots > 0, capacity.waiting_sessions) == (1, True, 0)
        assert (capacity.HasField("expected_wait"), capacity.expected_wait.ToSeconds()) == (True, 0)
    everywhere = (await stub.ListRegionCapacities(shapes_pb2.ListRegionCapacitiesRequest())).capacities
    dublin = next(one for one in everywhere if one.region == "regions/eu-west-1")
    assert (dublin.available_vms, dublin.HasField("expected_wait")) == (0, False)


async def test_presets_of_a_game_and_templates_come_and_go(api: Plane, operator: Caller) -> None:
    stub = shapes_pb2_grpc.ShapeServiceStub(operator.channel)
    await make_game(operator)
    preset = shapes_pb2.Preset(
        width=3840,
        height=2160,
        fps=60,
        bitrate_kbps=30000,
        min_bitrate_kbps=20000,
        max_bitrate_kbps=40000,
        encoder_preset="p4",
        sessions_per_vm=1,
        min_vram_gb=16,
        game="games/demo",
    )
    new = shapes_pb2.CreatePresetRequest(preset_id="demo-4k", preset=preset)
    assert await stub.CreatePreset(new) == await stub.CreatePreset(new)
    fitting = (await stub.ListTemplates(shapes_pb2.ListTemplatesRequest(preset="demo-4k"))).templates
    assert [template.template_id for template in fitting] == ["RTX-4080", "L4-360", "A10", "RTX-4090", "A16"]
    larger = shapes_pb2.Preset(name="presets/demo-4k", bitrate_kbps=50000)
    refusal = await refused(stub.UpdatePreset(shapes_pb2.UpdatePresetRequest(preset=larger)))
    assert refusal.reason == "BITRATE_OUTSIDE_RANGE"
    async with api.world.store.tx() as tx:  # as an older release took it
        made = await tx.shapes.preset("demo-4k")
        assert made is not None
        await tx.shapes.save(replace(made, encoder_preset="ultrafast"))
    named = shapes_pb2.Preset(name="presets/demo-4k", display_name="Large")
    edited = await stub.UpdatePreset(shapes_pb2.UpdatePresetRequest(preset=named))
    assert (edited.display_name, edited.encoder_preset) == ("Large", "ultrafast")
    await stub.DeletePreset(shapes_pb2.DeletePresetRequest(name="presets/demo-4k"))
    refusal = await refused(stub.GetPreset(shapes_pb2.GetPresetRequest(name="presets/demo-4k")))
    assert refusal.code == grpc.StatusCode.NOT_FOUND
    await make_host(api, operator, "vm-1")
    refusal = await refused(stub.DeleteTemplate(shapes_pb2.DeleteTemplateRequest(name="templates/local")))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SHAPE_IN_USE")
