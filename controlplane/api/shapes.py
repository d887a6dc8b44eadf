"""ShapeService: templates, presets and regions, translated."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from quarterdeck.v1 import shapes_pb2 as pb
from quarterdeck.v1 import shapes_pb2_grpc as rpc

from controlplane.api import identity
from controlplane.api.mapping.shapes import (
    capacity_message,
    edit,
    preset_message,
    preset_of,
    region_message,
    region_of,
    template_message,
    template_of,
)
from controlplane.api.mapping.values import last_part
from controlplane.usecases import capacity, shapes
from controlplane.usecases.shapes import find_preset, find_region, find_template
from controlplane.usecases.world import World


class ShapeServicer(rpc.ShapeServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def ListPresets(self, request: pb.ListPresetsRequest, context: Any) -> pb.ListPresetsResponse:
        found = await shapes.list_presets(self._world, identity.principal())
        return pb.ListPresetsResponse(presets=map(preset_message, found))

    async def GetPreset(self, request: pb.GetPresetRequest, context: Any) -> pb.Preset:
        return preset_message(await shapes.get(self._world, identity.principal(), find_preset, request.name))

    async def CreatePreset(self, request: pb.CreatePresetRequest, context: Any) -> pb.Preset:
        who = identity.principal()
        new = preset_of(request.preset_id, request.preset, who.project_id)
        made = await shapes.create(self._world, who, find_preset, new, identity.request_id(), request.client_token)
        return preset_message(made)

    async def UpdatePreset(self, request: pb.UpdatePresetRequest, context: Any) -> pb.Preset:
        who, name = identity.principal(), request.preset.name
        change = edit(
            request.preset,
            request.update_mask,
            preset_message,
            lambda wire: preset_of(last_part(name), wire, who.project_id),
        )
        return preset_message(await shapes.update(self._world, who, find_preset, name, change, identity.request_id()))

    async def DeletePreset(self, request: pb.DeletePresetRequest, context: Any) -> Empty:
        await shapes.delete(self._world, identity.principal(), find_preset, request.name, identity.request_id())
        return Empty()

    async def ListRegions(self, request: pb.ListRegionsRequest, context: Any) -> pb.ListRegionsResponse:
        return pb.ListRegionsResponse(regions=map(region_message, await shapes.list_regions(self._world)))

    async def GetRegion(self, request: pb.GetRegionRequest, context: Any) -> pb.Region:
        return region_message(await shapes.get(self._world, identity.principal(), find_region, request.name))

    async def CreateRegion(self, request: pb.CreateRegionRequest, context: Any) -> pb.Region:
        new = region_of(request.region_id, request.region)
        who = identity.principal()
        made = await shapes.create(self._world, who, find_region, new, identity.request_id(), request.client_token)
        return region_message(made)

    async def UpdateRegion(self, request: pb.UpdateRegionRequest, context: Any) -> pb.Region:
        who, name = identity.principal(), request.region.name
        change = edit(
            request.region, request.update_mask, region_message, lambda wire: region_of(last_part(name), wire)
        )
        return region_message(await shapes.update(self._world, who, find_region, name, change, identity.request_id()))

    async def DeleteRegion(self, request: pb.DeleteRegionRequest, context: Any) -> Empty:
        await shapes.delete(self._world, identity.principal(), find_region, request.name, identity.request_id())
        return Empty()

    async def GetRegionCapacity(self, request: pb.GetRegionCapacityRequest, context: Any) -> pb.RegionCapacity:
        (found,) = await capacity.capacities(self._world, identity.principal(), last_part(request.name))
        return capacity_message(found)

    async def ListRegionCapacities(
        self, request: pb.ListRegionCapacitiesRequest, context: Any
    ) -> pb.ListRegionCapacitiesResponse:
        found = await capacity.capacities(self._world, identity.principal())
        return pb.ListRegionCapacitiesResponse(capacities=map(capacity_message, found))

    async def ListTemplates(self, request: pb.ListTemplatesRequest, context: Any) -> pb.ListTemplatesResponse:
        found = await shapes.list_templates(self._world, identity.principal(), request.preset)
        return pb.ListTemplatesResponse(templates=map(template_message, found))

    async def GetTemplate(self, request: pb.GetTemplateRequest, context: Any) -> pb.Template:
        return template_message(await shapes.get(self._world, identity.principal(), find_template, request.name))

    async def CreateTemplate(self, request: pb.CreateTemplateRequest, context: Any) -> pb.Template:
        new = template_of(request.template_id, request.template)
        who = identity.principal()
        made = await shapes.create(self._world, who, find_template, new, identity.request_id(), request.client_token)
        return template_message(made)

    async def UpdateTemplate(self, request: pb.UpdateTemplateRequest, context: Any) -> pb.Template:
        who, name = identity.principal(), request.template.name
        change = edit(
            request.template, request.update_mask, template_message, lambda wire: template_of(last_part(name), wire)
        )
        return template_message(
            await shapes.update(self._world, who, find_template, name, change, identity.request_id())
        )

    async def DeleteTemplate(self, request: pb.DeleteTemplateRequest, context: Any) -> Empty:
        await shapes.delete(self._world, identity.principal(), find_template, request.name, identity.request_id())
        return Empty()
