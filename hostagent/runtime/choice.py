"""Which runtime an agent uses: what the operator asks for, or what the machine has."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import structlog

from hostagent.runtime import Runtime
from hostagent.runtime.both import BothRuntimes
from hostagent.runtime.dockersettings import LAUNCHERS, DockerSettings
from hostagent.runtime.process import ProcessRuntime

log = structlog.get_logger()


class RuntimeChoice(Enum):
    """AUTO: processes, and containers too where a Docker Engine answers; or must, since containers have run here."""

    AUTO = "auto"
    PROCESS = "process"
    DOCKER = "docker"


class NoRuntime(Exception):
    """The machine lacks the runtime that was asked for; the message says why."""


async def choose_runtime(
    choice: RuntimeChoice, root: Path, processes: ProcessRuntime, wanted: DockerSettings
) -> Runtime:
    """Raises NoRuntime when Docker is needed and does not answer."""
    if choice is RuntimeChoice.PROCESS:
        return processes
    # An engine that is only down for a moment must not make a host without containers of this one for good.
    needed = choice is RuntimeChoice.DOCKER or (root.parent / LAUNCHERS).is_dir()
    if not needed and not _may_answer(wanted.socket):
        return processes
    # Half a second of imports that most agents do without.
    from docker.errors import DockerException

    from hostagent.runtime.docker import DockerRuntime
    from hostagent.runtime.dockerhost import LOST, Engine
    from hostagent.runtime.graphics import find_graphics

    try:
        engine = Engine(wanted.socket)
        info = await engine.info()
    except (DockerException, OSError, *LOST) as error:
        if needed:
            why = "" if choice is RuntimeChoice.DOCKER else ", and sessions of this host have run in containers"
            remedy = "start it, give --docker-socket, or do without by --runtime process"
            raise NoRuntime(
                f"no Docker Engine answers at {wanted.socket}{why}: {remedy} ({str(error)[:200]})"
            ) from error
        log.info("no Docker Engine", socket=wanted.socket)
        return processes
    log.info("Docker Engine found", version=str(info.get("ServerVersion", "")))
    if not info.get("LiveRestoreEnabled"):
        log.warning(
            "a restart of the Docker Engine would end every session: live restore is off",
            remedy='set "live-restore": true in /etc/docker/daemon.json, then: systemctl reload docker',
        )
    containers = DockerRuntime(root, wanted, engine, find_graphics(info))
    return containers if choice is RuntimeChoice.DOCKER else BothRuntimes(processes, containers)


def _may_answer(socket: str) -> bool:
    return not socket.startswith("unix://") or Path(socket.removeprefix("unix://")).is_socket()
