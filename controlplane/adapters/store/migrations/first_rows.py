"""The rows of migration 0002, which never change: later ones add, change or drop what has to be otherwise.

Templates and presets are those of seeds 000 and 001; regions are theirs too, with the coordinates of their cities.
"""

from __future__ import annotations

from typing import Any

Rows = tuple[dict[str, Any], ...]


def _rows(columns: str, *rows: tuple[Any, ...]) -> Rows:
    return tuple(dict(zip(columns.split(), row, strict=True)) for row in rows)


PROJECTS: Rows = ({"id": "default", "audit_sequence": 0, "audit_sha256": "0" * 64},)

TEMPLATES = _rows(
    "id display_name vcpus ram_gb vram_gb seats gpu_model",
    ("L4-360", "NVIDIA L4 360GB", 8, 32, 24, 4, "NVIDIA L4"),
    ("L4-90", "NVIDIA L4 90GB", 4, 16, 12, 2, "NVIDIA L4"),
    ("A10", "NVIDIA A10", 12, 48, 24, 4, "NVIDIA A10"),
    ("A16", "NVIDIA A16", 16, 64, 64, 6, "NVIDIA A16"),
    ("RTX-4060", "NVIDIA RTX 4060", 6, 16, 8, 2, "NVIDIA GeForce RTX 4060"),
    ("RTX-4080", "NVIDIA RTX 4080", 12, 32, 16, 4, "NVIDIA GeForce RTX 4080"),
    ("RTX-4090", "NVIDIA RTX 4090", 16, 48, 24, 4, "NVIDIA GeForce RTX 4090"),
    # This machine, whatever it is: its inventory decides at enrolment.
    ("local", "This machine", 0, 0, 0, 2, ""),
)

# Encoder presets are NVENC's names (seed 000: its low-latency variants), or x264's.
PRESETS = _rows(
    "id display_name width height fps bitrate_kbps min_bitrate_kbps max_bitrate_kbps encoder_preset sessions_per_vm"
    " min_vram_gb",
    ("default-high", "High: 1440p at 120 fps", 2560, 1440, 120, 20000, 15000, 25000, "p4", 2, 8),
    ("default-standard", "Standard: 1080p at 60 fps", 1920, 1080, 60, 12000, 8000, 15000, "p3", 4, 4),
    ("default-competitive", "Competitive: 1080p at 240 fps", 1920, 1080, 240, 15000, 10000, 20000, "p1", 1, 8),
    ("software-720p30", "Software: 720p at 30 fps", 1280, 720, 30, 4000, 1500, 8000, "ultrafast", 0, 0),
)

REGIONS = _rows(
    "id display_name latitude longitude territory",
    ("us-east-1", "US East (N. Virginia)", 39.0437, -77.4875, "US"),
    ("us-west-2", "US West (Oregon)", 45.8399, -119.7006, "US"),
    ("eu-west-1", "Europe (Dublin)", 53.3498, -6.2603, "IE"),
    ("eu-central-1", "Europe (Frankfurt)", 50.1109, 8.6821, "DE"),
    ("ap-southeast-1", "Asia Pacific (Singapore)", 1.3521, 103.8198, "SG"),
    ("ap-northeast-1", "Asia Pacific (Tokyo)", 35.6762, 139.6503, "JP"),
    ("local", "This machine", 0.0, 0.0, ""),
)
