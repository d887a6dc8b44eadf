"""Which runtime an agent uses: what the operator asks for, or what the machine has."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import structlog

from hostagent.runtime import Runtime
from hostagent.runtime.both import BothRuntimes
from hostagent.runtime.dockersettings import DockerSettings
from hostagent.runtime.process import ProcessRuntime

log = structlog.get_logger()


class RuntimeChoice(Enum):
    """AUTO: processes, and containers too where a Docker Engine answers."""

    AUTO = "auto"
    PROCESS = "process"
    DOCKER = "docker"


class NoRuntime(Exception):
    """The machine lacks the runtime that was asked for; the message says why."""


async def choose_runtime(
    choice: RuntimeChoice, root: Path, processes: ProcessRuntime, wanted: DockerSettings
) -> Runtime:
    """Raises NoRuntime when Docker is asked for and does not answer."""
    if choice is RuntimeChoice.PROCESS:
        return processes
    if choice is RuntimeChoice.AUTO and not _may_answer(wanted.socket):
        return processes
    # Half a second of imports that most agents do without.
    from docker.errors import DockerException

    from hostagent.runtime.docker import DockerRuntime
    from hostagent.runtime.dockerhost import LOST, Engine

    try:
        engine = Engine(wanted.socket)
        version = await engine.version()
    except (DockerException, OSError, *LOST) as error:
        if choice is RuntimeChoice.DOCKER:
            raise NoRuntime(f"no Docker Engine answers at {wanted.socket}: {str(error)[:200]}") from error
        log.info("no Docker Engine", socket=wanted.socket)
        return processes
    log.info("Docker Engine found", version=version)
    containers = DockerRuntime(root, wanted, engine)
    return containers if choice is RuntimeChoice.DOCKER else BothRuntimes(processes, containers)


def _may_answer(socket: str) -> bool:
    return not socket.startswith("unix://") or Path(socket.removeprefix("unix://")).is_socket()
