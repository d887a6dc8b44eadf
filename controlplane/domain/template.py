"""Templates: GPU machine shapes. Presets: streaming quality and hardware floor. Capacity is counted in weights.

A template has 12 units for each of its seats; a preset that allows n sessions per VM weighs what makes n fit.
"""

from __future__ import annotations

from dataclasses import dataclass

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
