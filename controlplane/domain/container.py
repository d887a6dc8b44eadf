"""The container that a game runs in: its image, and what it may use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from controlplane.domain.errors import InvalidRequest

# They reach into the loader or the container runtime's hooks, not only into the game (CVE-2025-23266). Hosts refuse the
# same ones.
DENIED = re.compile(r"LD_|DYLD_|NVIDIA_|CUDA_VISIBLE_DEVICES$|GCONV_PATH$|GLIBC_TUNABLES$|BASH_ENV$|ENV$")
# What a container needs of its own image, or of the kernel; hosts refuse a volume there, too.
_KEPT = ("/proc", "/sys", "/dev", "/etc", "/tmp", "/opt/quarterdeck", "/bin", "/lib", "/lib64", "/sbin", "/usr/lib")  # noqa: S108


class PullPolicy(StrEnum):
    IF_NOT_PRESENT = "IF_NOT_PRESENT"
    ALWAYS = "ALWAYS"
    NEVER = "NEVER"


@dataclass(frozen=True)
class ContainerVolume:
    """A directory of the session at `path` in the container."""

    name: str
    path: str


@dataclass(frozen=True)
class Container:
    """Bounds of 0 leave it to the host; `run_as_user` is UID or UID:GID, empty for what image and host say. `gpu`: one
    NVIDIA card of the host; `render`: its device files to draw with."""

    image: str
    pull: PullPolicy = PullPolicy.IF_NOT_PRESENT
    memory_bytes: int = 0
    cpu_millis: int = 0
    pids: int = 0
    volumes: tuple[ContainerVolume, ...] = ()
    writable_root: bool = False
    run_as_user: str = ""
    gpu: bool = False
    render: bool = False


def check_container(container: Container | None, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """Raises InvalidRequest naming the field."""
    for name in environment:
        if DENIED.match(name):
            raise InvalidRequest(
                "VARIABLE_DENIED",
                f"no game gets the variable {name}: it reaches beyond the game; leave it out",
                field="deployment.environment",
            )
    if container is None:
        if not command:
            raise InvalidRequest(
                "COMMAND_MISSING", "a command is needed where no image brings one", field="deployment.command"
            )
        return
    for volume in container.volumes:
        parts = set(volume.path.split("/"))
        if parts & {".", ".."} or any(volume.path == kept or volume.path.startswith(f"{kept}/") for kept in _KEPT):
            raise InvalidRequest(
                "VOLUME_PLACE_DENIED",
                f"no volume may lie at {volume.path}: choose a directory of the game's own, such as /data",
                field="deployment.container.volumes",
            )
