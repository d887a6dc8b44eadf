"""From an order to what Docker is asked for: pure, and hardened whatever the order says.

One container holds the wrapper. A game with an image of its own runs in a second one, which shares the first one's
process ids, network and shared memory: so the wrapper stops and shows it without any access to Docker.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostagent.procfs import MARK
from hostagent.runtime import Order, Resources, StartFailed
from hostagent.runtime.environment import check_environment
from hostagent.runtime.graphics import Graphics

ROOT_LABEL = "quarterdeck.sessions-root"
SESSION_LABEL = "quarterdeck.session-dir"
ROLE_LABEL = "quarterdeck.role"
WRAPPER, GAME = "wrapper", "game"
# Where the session's parts meet inside the session directory; the wrapper knows these names too.
HOME, STAGE, DISPLAY_SOCKETS, VOLUMES = "home", "stage", "x11", "volumes"
# Inside the wrapper's image: what begins a game in an image that knows nothing of us.
LAUNCHER = "/opt/quarterdeck/launcher"
_X_SOCKETS = "/tmp/.X11-unix"  # noqa: S108 - where X clients look, by convention of all X libraries
_KEPT_PATHS = ("/proc", "/sys", "/dev", "/etc", "/tmp", LAUNCHER, "/bin", "/lib", "/lib64", "/sbin", "/usr/lib")  # noqa: S108
_USER = re.compile(r"[0-9]{1,9}(:[0-9]{1,9})?")
_MOST_INT = 2**31 - 2
PROCESSORS = os.cpu_count() or 1
# One processor, where there are several, is left to the agent, the wrappers and the machine.
DEFAULTS = Resources(memory_bytes=4 << 30, cpu_millis=max(1, PROCESSORS - 1) * 1000, pids=512)


@dataclass(frozen=True)
class Confinement:
    """What this host gives every session; `user` is "UID:GID" of games whose image names none that is not root.
    `defaults` is for games that ask for no bounds of their own, `ceiling` what none may exceed; 0 there: no ceiling,
    but nobody gets more processors than there are."""

    network: str
    user: str
    command: tuple[str, ...]
    defaults: Resources = field(default_factory=lambda: DEFAULTS)
    ceiling: Resources = field(default_factory=Resources)
    wrapper: Resources = field(
        default_factory=lambda: Resources(memory_bytes=2 << 30, cpu_millis=PROCESSORS * 1000, pids=256)
    )
    processors: int = PROCESSORS
    # 0: as many as the engine gives.
    open_files: int = 0
    shared_memory_bytes: int = 256 << 20
    graphics: Graphics = field(default_factory=Graphics)
    allow_root: bool = False


@dataclass(frozen=True)
class ImageDefaults:
    """What an image says of itself."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    volumes: tuple[str, ...] = field(default=())


def user_of(order: Order, image: ImageDefaults, host: Confinement) -> str:
    """UID:GID that wrapper and game run as, never root unless the host allows it. Raises StartFailed."""
    if order.user and not _USER.fullmatch(order.user):
        raise StartFailed(f"run_as_user {order.user!r} is not UID or UID:GID")
    wanted = order.user or (image.user if _USER.fullmatch(image.user) and not _is_root(image.user) else host.user)
    if _is_root(wanted) and not host.allow_root:
        raise StartFailed("this host runs no game as root")
    uid, _, gid = wanted.partition(":")
    return f"{uid}:{gid or uid}"


def wrapper_container(order: Order, image: str, user: str, root: Path, host: Confinement) -> dict[str, Any]:
    """The body of Docker's "create container" for the wrapper; a game without an image runs in it."""
    directory = str(order.session_dir)
    alone = not order.image
    binds = [f"{directory}:{directory}", f"{directory}/{DISPLAY_SOCKETS}:{_X_SOCKETS}"]
    settings = _confined(user, granted(order.resources, host) if alone else host.wrapper, host)
    settings |= {
        "Init": True,
        "IpcMode": "shareable",
        "NetworkMode": host.network,
        "ReadonlyRootfs": True,
        "Binds": binds,
        "ShmSize": host.shared_memory_bytes,
        "PortBindings": {f"{port.inside}/{port.protocol}": [{"HostPort": str(port.host_port)}] for port in order.ports},
        **_card(order, host),
    }
    home = f"{directory}/{HOME}"
    return {
        "Image": image,
        "Entrypoint": list(host.command),
        "Cmd": ["--session-dir", directory],
        "User": user,
        "WorkingDir": directory,
        "Env": [f"HOME={home}", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1", f"{MARK}={directory}"],
        "Labels": _labels(order, root, WRAPPER),
        "ExposedPorts": {f"{port.inside}/{port.protocol}": {} for port in order.ports},
        "HostConfig": settings,
    }


def game_container(
    order: Order, image: ImageDefaults, user: str, root: Path, beside: str, launcher: Path, host: Confinement
) -> dict[str, Any]:
    """The body of Docker's "create container" for a game in its own image, beside the wrapper's container `beside`.

    Raises StartFailed for what the order may not have."""
    check_environment(order.environment)
    command = _command(order, image)
    directory, stage = str(order.session_dir), f"{order.session_dir}/{STAGE}"
    binds = [
        f"{directory}/{HOME}:{directory}/{HOME}",
        f"{stage}:{stage}",
        f"{directory}/{DISPLAY_SOCKETS}:{_X_SOCKETS}",
        f"{launcher}:{LAUNCHER}:ro",
        *(f"{directory}/{VOLUMES}/{v.volume_name}:{_inside(v.path)}" for v in order.volumes),
    ]
    settings = _confined(user, granted(order.resources, host), host) | {
        "PidMode": f"container:{beside}",
        "IpcMode": f"container:{beside}",
        "NetworkMode": f"container:{beside}",
        "ReadonlyRootfs": not order.writable_root,
        "Binds": binds,
        **_card(order, host),
        **_render(order, host),
    }
    settings["Tmpfs"]["/run"] = "rw,nosuid,nodev,noexec,size=16m,mode=1777"
    if order.disk_bytes:
        _check_counted(order, image, {bind.split(":")[1] for bind in binds} | settings["Tmpfs"].keys())
    box = f"{LAUNCHER}/busybox"
    return {
        "Image": order.image,
        "Entrypoint": [box, "sh", f"{LAUNCHER}/launcher.sh", stage, box],
        "Cmd": command,
        "User": user,
        "Env": [
            *(f"{name}={value}" for name, value in sorted(order.environment.items())),
            f"HOME={directory}/{HOME}",
            f"{MARK}={directory}",
        ],
        "Labels": _labels(order, root, GAME),
        "HostConfig": settings,
    }


def _check_counted(order: Order, image: ImageDefaults, mounted: Set[str]) -> None:
    """Of what the engine keeps for a game itself, nobody would know how much it is. Raises StartFailed."""
    if order.writable_root:
        raise StartFailed("disk_bytes counts no writable_root: its deployment may have one of them")
    volumes = {posixpath.normpath(f"/{path.strip('/')}") for path in image.volumes}
    if loose := sorted(volumes - mounted):
        where = ", ".join(loose)
        raise StartFailed(f"disk_bytes does not count {where}, a volume of its image: its deployment needs one there")


def _command(order: Order, image: ImageDefaults) -> list[str]:
    command = list(order.command) or [*image.entrypoint, *image.command]
    if not command:
        raise StartFailed("neither the deployment nor its image says what to run")
    return command


def _inside(path: str) -> str:
    """A volume's path in the container, if a game may have it. Raises StartFailed."""
    parts = path.split("/")
    plain = path.startswith("/") and not {"", ".", ".."} & set(parts[1:]) and not set(":\0,") & set(path)
    if not plain or any(path == kept or path.startswith(f"{kept}/") for kept in _KEPT_PATHS):
        raise StartFailed(f"no volume may lie at {path!r}")
    return path


def _is_root(user: str) -> bool:
    return int(user.partition(":")[0]) == 0 or (user.partition(":")[2].lstrip("0") == "" and ":" in user)


def granted(asked: Resources, host: Confinement) -> Resources:
    """What a game is bounded to: never nothing. Raises StartFailed for more than this host grants."""

    def one(asked_for: int, default: int, ceiling: int, what: str, unit: int) -> int:
        if ceiling and asked_for > ceiling:
            raise StartFailed(
                f"its deployment asks for {asked_for / unit:g} {what}; this host grants {ceiling / unit:g}"
            )
        return asked_for or (min(default, ceiling) if ceiling else default)

    top, defaults = host.ceiling, host.defaults
    processors = min(top.cpu_millis or host.processors * 1000, host.processors * 1000)
    return Resources(
        one(asked.memory_bytes, defaults.memory_bytes, top.memory_bytes, "MiB of memory", 1 << 20),
        one(asked.cpu_millis, defaults.cpu_millis, processors, "processors", 1000),
        one(asked.pids, defaults.pids, min(top.pids or _MOST_INT, _MOST_INT), "processes", 1),
    )


def _confined(user: str, bounds: Resources, host: Confinement) -> dict[str, Any]:
    """What holds for each of our containers."""
    uid, _, gid = user.partition(":")
    settings: dict[str, Any] = {
        "Privileged": False,
        "CapDrop": ["ALL"],
        # Nothing here turns off Docker's own seccomp and AppArmor profiles.
        "SecurityOpt": ["no-new-privileges"],
        "Memory": bounds.memory_bytes,
        "MemorySwap": bounds.memory_bytes,
        "NanoCpus": bounds.cpu_millis * 1_000_000,
        "PidsLimit": bounds.pids,
        "Tmpfs": {"/tmp": f"rw,nosuid,nodev,noexec,size=128m,mode=1777,uid={uid},gid={gid}"},  # noqa: S108
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
    }
    if host.open_files:
        settings["Ulimits"].append({"Name": "nofile", "Soft": host.open_files, "Hard": host.open_files})
    return settings


def _card(order: Order, host: Confinement) -> dict[str, Any]:
    """One NVIDIA card, through NVIDIA's runtime. Raises StartFailed."""
    if order.gpu_index is None:
        return {}
    if not host.graphics.nvidia:
        raise StartFailed(
            "this host grants no NVIDIA card to containers: install its driver and nvidia-container-toolkit, then run "
            "nvidia-ctk runtime configure and restart the engine and the agent"
        )
    wanted = ["gpu", "compute", "graphics", "utility", "video"]
    return {"DeviceRequests": [{"Driver": "nvidia", "DeviceIDs": [str(order.gpu_index)], "Capabilities": [wanted]}]}


def _render(order: Order, host: Confinement) -> dict[str, Any]:
    """The cards' device files, and the groups that may open them. Raises StartFailed."""
    if not order.render:
        return {}
    if not host.graphics.render:
        raise StartFailed("this host has no graphics card to draw with: there is no /dev/dri/renderD*")
    devices = [
        {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rw"} for path in host.graphics.render
    ]
    return {"Devices": devices, "GroupAdd": list(host.graphics.groups)}


def _labels(order: Order, root: Path, role: str) -> dict[str, str]:
    return {ROOT_LABEL: str(root), SESSION_LABEL: str(order.session_dir), ROLE_LABEL: role}


@dataclass(frozen=True)
class Held:
    """One container of ours, as Docker lists it; `age_s` since it was created."""

    container_id: str
    role: str
    session_dir: Path
    state: str
    age_s: float


def orphans(held: Sequence[Held], busy: set[Path], existing: set[Path], grace_s: float) -> list[Held]:
    """Containers that no workload answers for any more: of no busy session, past the grace, and either not running or
    without their session's directory."""
    return [
        one
        for one in held
        if one.session_dir not in busy
        and one.age_s >= grace_s
        and (one.state != "running" or one.session_dir not in existing)
    ]
