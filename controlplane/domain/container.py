"""The container that a game runs in: its image, and what it may use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from controlplane.domain.errors import InvalidRequest

# They reach into the loader or the container runtime's hooks, not only into the game (CVE-2025-23266).
_DENIED = re.compile(r"LD_|NVIDIA_")


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
    """Bounds of 0 leave it to the host; `run_as_user` is UID or UID:GID, empty for what image and host say."""

    image: str
    pull: PullPolicy = PullPolicy.IF_NOT_PRESENT
    memory_bytes: int = 0
    cpu_millis: int = 0
    pids: int = 0
    volumes: tuple[ContainerVolume, ...] = ()
    writable_root: bool = False
    run_as_user: str = ""


def check_container(container: Container | None, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """Raises InvalidRequest naming the field."""
    if container is None:
        if not command:
            raise InvalidRequest(
                "COMMAND_MISSING", "a command is needed where no image brings one", field="deployment.command"
            )
        return
    for name in environment:
        if _DENIED.match(name):
            raise InvalidRequest(
                "VARIABLE_DENIED", f"{name} is not allowed in a container", field="deployment.environment"
            )
    for key in ("name", "path"):
        values = [getattr(volume, key) for volume in container.volumes]
        if len(set(values)) < len(values):
            raise InvalidRequest(
                "VOLUME_TWICE", f"two volumes have the same {key}", field="deployment.container.volumes"
            )
