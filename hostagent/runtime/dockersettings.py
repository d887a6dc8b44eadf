"""What the operator of a host decides about its containers; apart from what needs the Docker library to be loaded."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass, field

from hostagent.runtime import Resources
from hostagent.runtime.container_spec import DEFAULTS, Confinement

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
# In the data directory: what begins games in strange images. There since the first container.
LAUNCHERS = "launchers"
_OPEN_FILES = 65536


def default_user() -> str:
    """Nobody in particular, where the agent may give files away; else the agent's own user."""
    return "10001:10001" if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"


def default_open_files() -> int:
    """Plenty; but no more than this process may have itself, which an engine in the same cage may not exceed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)


def confinement(defaults: Resources = DEFAULTS, ceiling: Resources = Resources()) -> Confinement:  # noqa: B008 - frozen
    command = ("python3", "-P", "-m", "wrapper")
    return Confinement("", default_user(), command, defaults=defaults, ceiling=ceiling, open_files=default_open_files())


@dataclass(frozen=True)
class DockerSettings:
    """What the operator of a host decides; `allowed_images` are shell patterns."""

    socket: str = DEFAULT_SOCKET
    wrapper_image: str = "quarterdeck/wrapper"
    allowed_images: tuple[str, ...] = ("*",)
    digest_needed: bool = False
    confinement: Confinement = field(default_factory=lambda: confinement())
