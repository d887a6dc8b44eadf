"""Templates, presets and regions on the wire, both ways, and edits by field mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from quarterdeck.v1 import shapes_pb2 as pb

from controlplane.api.mapping.values import duration, last_part, named
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.region import Law, Region
from controlplane.domain.template import Preset, Template
from controlplane.usecases.capacity import Capacity

S = TypeVar("S")
M = TypeVar("M", bound=Message)


def preset_message(preset: Preset) -> pb.Preset:
    return pb.Preset(
        preset_id=preset.id,
        name=preset.name,
        display_name=preset.display_name,
        width=preset.width,
        height=preset.height,
        fps=preset.fps,
        bitrate_kbps=preset.bitrate_kbps,
        min_bitrate_kbps=preset.min_bitrate_kbps,
        max_bitrate_kbps=preset.max_bitrate_kbps,
        min_vram_gb=preset.min_vram_gb,
        encoder_preset=preset.encoder_preset,
        sessions_per_vm=preset.sessions_per_vm,
        game=named("games", preset.game_id),
    )


def preset_of(preset_id: str, wire: pb.Preset, project_id: str) -> Preset:
    return Preset(
        id=preset_id,
        display_name=wire.display_name or preset_id,
        width=wire.width,
        height=wire.height,
        fps=wire.fps,
        bitrate_kbps=wire.bitrate_kbps,
        min_bitrate_kbps=wire.min_bitrate_kbps,
        max_bitrate_kbps=wire.max_bitrate_kbps,
        encoder_preset=wire.encoder_preset,
        sessions_per_vm=wire.sessions_per_vm,
        min_vram_gb=wire.min_vram_gb,
        project_id=project_id if wire.game else "",
        game_id=last_part(wire.game),
    )


def region_message(region: Region) -> pb.Region:
    return pb.Region(
        region_id=region.id,
        name=region.name,
        display_name=region.display_name,
        latitude_degrees=region.latitude,
        longitude_degrees=region.longitude,
        territory=region.territory,
        fallback_chain=region.chain,
        law=law_message(region.law),
        low_water_slots=region.low_water_seats,
        max_rented_vms=region.max_rented_vms,
    )


def region_of(region_id: str, wire: pb.Region) -> Region:
    return Region(
        id=region_id,
        display_name=wire.display_name or region_id,
        latitude=wire.latitude_degrees,
        longitude=wire.longitude_degrees,
        territory=wire.territory,
        chain=tuple(wire.fallback_chain),
        law=law_of(wire.law),
        low_water_seats=wire.low_water_slots,
        max_rented_vms=wire.max_rented_vms,
    )


def law_message(law: Law) -> pb.Law:
    return pb.Law(allow=sorted(law.allow), deny=sorted(law.deny))


def law_of(wire: pb.Law) -> Law:
    return Law(frozenset(wire.allow), frozenset(wire.deny))


def template_message(template: Template) -> pb.Template:
    return pb.Template(
        template_id=template.id,
        name=template.name,
        display_name=template.display_name,
        vcpus=template.vcpus,
        ram_gb=template.ram_gb,
        vram_gb=template.vram_gb,
        seats=template.seats,
        gpu_model=template.gpu_model,
    )


def template_of(template_id: str, wire: pb.Template) -> Template:
    return Template(
        id=template_id,
        display_name=wire.display_name or template_id,
        vcpus=wire.vcpus,
        ram_gb=wire.ram_gb,
        vram_gb=wire.vram_gb,
        seats=wire.seats,
        gpu_model=wire.gpu_model,
    )


def capacity_message(capacity: Capacity) -> pb.RegionCapacity:
    return pb.RegionCapacity(
        region=named("regions", capacity.region_id),
        available_vms=capacity.available,
        provisioning_vms=capacity.provisioning,
        draining_vms=capacity.draining,
        unavailable_vms=capacity.unavailable,
        free_slots=capacity.free_slots,
        capacity_units=capacity.capacity_units,
        used_units=capacity.used_units,
        active_sessions=capacity.active_sessions,
        waiting_sessions=capacity.waiting,
        waiting_anywhere_sessions=capacity.waiting_anywhere,
        expected_wait=duration(capacity.expected_wait_s),
        rented_vms=capacity.rented,
        max_rented_vms=capacity.max_rented,
        blocked=capacity.blocked,
    )


def edit(change: M, mask: FieldMask, to_wire: Callable[[S], M], to_domain: Callable[[M], S]) -> Callable[[S], S]:
    """An edit of the fields that `mask` names; without one, of those that are set. Raises InvalidRequest for a field
    that there is not, or that never changes."""
    paths = list(mask.paths) or [field.name for field, _ in change.ListFields() if field.name != "name"]
    fields = change.DESCRIPTOR.fields_by_name
    for path in paths:
        if path.partition(".")[0] not in fields or path == "name" or path.endswith("_id"):
            raise InvalidRequest("UPDATE_MASK_INVALID", f"'{path}' cannot be changed", field="update_mask")
    wanted = FieldMask(paths=paths)

    def edited(current: S) -> S:
        wire = to_wire(current)
        wanted.MergeMessage(change, wire, True, True)
        return to_domain(wire)

    return edited
