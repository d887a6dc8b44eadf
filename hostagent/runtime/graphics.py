"""What of this machine's graphics cards its containers can be granted: found in /sys, /proc and /dev."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Graphics:
    """`render` are device files of cards that draw, `groups` the ids of those who may open them; `nvidia`: the engine
    can grant an NVIDIA card by its number."""

    render: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    nvidia: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """As inventories tell it."""
        return (*(("nvidia",) if self.nvidia else ()), *(("render",) if self.render else ()))


def find_graphics(engine: Mapping[str, Any], root: Path = Path("/")) -> Graphics:
    """`engine` is what the Docker Engine says of itself; `root` is where /dev, /proc and /sys lie."""
    nodes = sorted(
        node for card in _entries(root / "sys/class/drm", "renderD*") if (node := root / "dev/dri" / card.name).exists()
    )
    groups = sorted({node.stat().st_gid for node in nodes})
    # The driver lists its cards, each card has its device file, and the engine knows NVIDIA's runtime.
    cards = [*_entries(root / "proc/driver/nvidia/gpus", "*")]
    files = [*_entries(root / "dev", "nvidia[0-9]*")]
    return Graphics(
        render=tuple(f"/dev/dri/{node.name}" for node in nodes),
        groups=tuple(str(group) for group in groups),
        nvidia=bool(cards and files) and "nvidia" in (engine.get("Runtimes") or {}),
    )


def _entries(directory: Path, pattern: str) -> Iterator[Path]:
    return directory.glob(pattern) if directory.is_dir() else iter(())
