"""Cards are found where the kernel and NVIDIA's driver show them; a machine without them has none, and no error."""

from __future__ import annotations

from pathlib import Path

from hostagent.runtime.graphics import Graphics, find_graphics

NVIDIA = {"Runtimes": {"runc": {}, "nvidia": {}}}


def files(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("")


def test_a_machine_with_both_kinds_of_cards(tmp_path: Path) -> None:
    files(
        tmp_path,
        "sys/class/drm/card0",
        "sys/class/drm/renderD128",
        "sys/class/drm/renderD129",
        "dev/dri/renderD128",
        "dev/dri/renderD129",
        "dev/dri/card0",
        "proc/driver/nvidia/gpus/0000:01:00.0/information",
        "dev/nvidia0",
        "dev/nvidiactl",
    )
    found = find_graphics(NVIDIA, tmp_path)
    owner = str((tmp_path / "dev/dri/renderD128").stat().st_gid)
    assert found == Graphics(("/dev/dri/renderD128", "/dev/dri/renderD129"), (owner,), True)
    assert found.words == ("nvidia", "render")


def test_each_missing_part_means_no_card(tmp_path: Path) -> None:
    assert find_graphics(NVIDIA, tmp_path) == Graphics()
    files(tmp_path, "sys/class/drm/renderD128")  # a card whose file this container does not have
    assert find_graphics(NVIDIA, tmp_path) == Graphics()
    files(tmp_path, "proc/driver/nvidia/gpus/0000:01:00.0/information", "dev/nvidiactl")
    assert not find_graphics(NVIDIA, tmp_path).nvidia
    files(tmp_path, "dev/nvidia0")
    assert find_graphics(NVIDIA, tmp_path).nvidia
    assert not find_graphics({"Runtimes": {"runc": {}}}, tmp_path).nvidia
    assert not find_graphics({}, tmp_path).nvidia
    assert Graphics().words == ()
