"""Templates: GPU machine shapes. Presets: streaming quality and hardware floor. Capacity is counted in weights.

A template has 12 units for each of its seats; a preset that allows n sessions per VM weighs what makes n fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controlplane.domain.errors import InvalidRequest

UNITS_PER_SEAT = 12


@dataclass(frozen=True)
class Template:
    """Figures of seeds 000 and 001. `seats` is the concurrent sessions of a session that fills one seat."""

    id: str
    display_name: str
    vcpus: int
    ram_gb: int
    vram_gb: int
    seats: int
    gpu_model: str = ""

    @property
    def name(self) -> str:
        return f"templates/{self.id}"

    @property
    def capacity_units(self) -> int:
        return self.seats * UNITS_PER_SEAT


@dataclass(frozen=True)
class Preset:
    """`sessions_per_vm` overrides the template's seats; 0: one seat each. `min_vram_gb` is the hardware floor. With a
    `game_id` it is of that game of `project_id` alone; without, of the house and for everybody."""

    id: str
    display_name: str
    width: int
    height: int
    fps: int
    bitrate_kbps: int
    min_bitrate_kbps: int
    max_bitrate_kbps: int
    encoder_preset: str
    sessions_per_vm: int = 0
    min_vram_gb: int = 0
    project_id: str = ""
    game_id: str = ""

    @property
    def name(self) -> str:
        return f"presets/{self.id}"

    def fits(self, project_id: str, game_id: str) -> bool:
        """Whether sessions of this game may use it."""
        return not self.game_id or (self.project_id, self.game_id) == (project_id, game_id)


def weight(preset: Preset, capacity_units: int) -> int:
    """The units a session of `preset` takes on a VM of `capacity_units`."""
    if preset.sessions_per_vm == 0:
        return UNITS_PER_SEAT
    return max(1, capacity_units // preset.sessions_per_vm)


def sound(template: Template) -> Template:
    """The same template, if it carries anything. Raises InvalidRequest."""
    if template.seats < 1:
        raise InvalidRequest("SEATS_MISSING", "a template has at least one seat", field="template.seats")
    return template


# Of NVENC, from SDK 10 on; x264's are derived from them.
ENCODER_PRESETS = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")


def checked(preset: Preset, before: Preset | None = None) -> Preset:
    """The same preset, if its figures agree; a word of the encoder that it had `before` may stay, though it would not
    be taken now. Raises InvalidRequest naming the field."""
    if preset.width < 160 or preset.height < 120 or preset.fps < 1 or preset.min_bitrate_kbps < 100:
        raise InvalidRequest(
            "PRESET_TOO_SMALL", "a preset has at least 160x120 pixels, 1 fps and 100 kbit/s", field="preset"
        )
    kept = before is not None and preset.encoder_preset == before.encoder_preset
    if not kept and preset.encoder_preset not in ENCODER_PRESETS:
        raise InvalidRequest(
            "ENCODER_PRESET_UNKNOWN",
            f"how fast the encoder works is one of {', '.join(ENCODER_PRESETS)}, from the fastest to the best picture",
            field="preset.encoder_preset",
        )
    if not preset.min_bitrate_kbps <= preset.bitrate_kbps <= preset.max_bitrate_kbps:
        raise InvalidRequest(
            "BITRATE_OUTSIDE_RANGE",
            f"{preset.bitrate_kbps} kbit/s is not within {preset.min_bitrate_kbps} to {preset.max_bitrate_kbps}",
            field="preset.bitrate_kbps",
        )
    if preset.width % 2 or preset.height % 2:
        raise InvalidRequest("PICTURE_ODD", "width and height must be even: H.264 halves the colours", field="preset")
    return preset


def fitting(
    templates: Iterable[Template], preset: Preset, price_micro_per_hour: Mapping[str, int]
) -> tuple[Template, ...]:
    """The templates that carry at least one session of `preset`, cheapest first; those without a known price after the
    others, smallest first. Ties by id. One without a GPU carries what asks for no GPU memory."""

    def cost(template: Template) -> tuple[bool, int, int, int, int, str]:
        price = price_micro_per_hour.get(template.id)
        return price is None, price or 0, template.vram_gb, template.ram_gb, template.vcpus, template.id

    able = [
        template
        for template in templates
        if template.vram_gb >= preset.min_vram_gb
        and (template.gpu_model or not preset.min_vram_gb)
        and weight(preset, template.capacity_units) <= template.capacity_units
    ]
    return tuple(sorted(able, key=cost))
