"""ShapeService: presets and regions, translated."""

from __future__ import annotations

from typing import Any

from quarterdeck.v1 import shapes_pb2 as pb
from quarterdeck.v1 import shapes_pb2_grpc as rpc

from controlplane.domain.template import Preset
from controlplane.usecases import shapes
from controlplane.usecases.world import World


class ShapeServicer(rpc.ShapeServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def ListPresets(self, request: pb.ListPresetsRequest, context: Any) -> pb.ListPresetsResponse:
        return pb.ListPresetsResponse(presets=map(_preset_message, await shapes.list_presets(self._world)))

    async def ListRegions(self, request: pb.ListRegionsRequest, context: Any) -> pb.ListRegionsResponse:
        regions = await shapes.list_regions(self._world)
        return pb.ListRegionsResponse(
            regions=[pb.Region(region_id=region.id, display_name=region.display_name) for region in regions]
        )


def _preset_message(preset: Preset) -> pb.Preset:
    return pb.Preset(
        preset_id=preset.id,
        display_name=preset.display_name,
        width=preset.width,
        height=preset.height,
        fps=preset.fps,
        bitrate_kbps=preset.bitrate_kbps,
        min_bitrate_kbps=preset.min_bitrate_kbps,
        max_bitrate_kbps=preset.max_bitrate_kbps,
        min_vram_gb=preset.min_vram_gb,
    )
