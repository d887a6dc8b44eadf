"""Games: catalogue entries, and their numbered, immutable deployments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from controlplane.domain.container import Container, check_container
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.parameters import Parameter
from controlplane.domain.pattern import checked_pattern
from controlplane.domain.portrange import FIRST_UNPRIVILEGED
from controlplane.domain.region import Law
from controlplane.domain.render import ConfigFile
from controlplane.domain.save import SaveSpec, check_saves


class Picture(StrEnum):
    NONE = "NONE"
    FRAMES = "FRAMES"
    X11 = "X11"


@dataclass(frozen=True)
class PortSpec:
    """`game_port` 0: the game listens on the host port it is told in its environment. `host_port` 0: any port of its
    host's range."""

    name: str
    protocol: str
    game_port: int = 0
    host_port: int = 0


@dataclass(frozen=True)
class HttpCheck:
    """GET `path` on the port of this name is answered with `status`; 0: any from 200 to 299."""

    port_name: str
    path: str = "/"
    status: int = 0


@dataclass(frozen=True)
class Readiness:
    """When a game without a picture counts as playable: exactly one of the four checks, within `timeout_s`."""

    log_pattern: str = ""
    tcp_port: str = ""
    stays_up_s: float | None = None
    timeout_s: float = 60.0
    http: HttpCheck | None = None


@dataclass(frozen=True)
class Volume:
    """A directory of the game's; `path` lies below its home."""

    name: str
    path: str


@dataclass(frozen=True)
class Action:
    """A named command: lines typed into the game's console."""

    name: str
    lines: tuple[str, ...]
    display_name: str = ""
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True)
class Deployment:
    """A runtime spec. `command` is an argv list and never meets a shell. `replaceable`: when its host is lost, the game
    may start afresh elsewhere. `silent`: no sound is taken from a game that has a picture."""

    game_id: str
    project_id: str
    number: int
    command: tuple[str, ...]
    picture: Picture
    created_at: datetime
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[PortSpec, ...] = ()
    readiness: Readiness | None = None
    stop_grace_s: float = 10.0
    container: Container | None = None
    replaceable: bool = False
    parameters: tuple[Parameter, ...] = ()
    volumes: tuple[Volume, ...] = ()
    files: tuple[ConfigFile, ...] = ()
    actions: tuple[Action, ...] = ()
    stop_command: str = ""
    stop_command_grace_s: float = 10.0
    saves: SaveSpec | None = None
    silent: bool = False
    # 0: no bound.
    disk_bytes: int = 0

    @property
    def name(self) -> str:
        return f"games/{self.game_id}/deployments/{self.number}"

    @property
    def volume_names(self) -> tuple[str, ...]:
        """Of all its volumes, those of its container too."""
        contained = self.container.volumes if self.container is not None else ()
        return (*(volume.name for volume in contained), *(volume.name for volume in self.volumes))


@dataclass(frozen=True)
class Game:
    """`law`: the territories in whose regions it may run. `log_retention_s` 0: as long as the house keeps logs."""

    id: str
    project_id: str
    display_name: str
    summary: str
    default_preset_id: str
    created_at: datetime
    current_deployment: int = 0
    law: Law = field(default_factory=Law)
    parameters: tuple[Parameter, ...] = ()
    log_retention_s: float = 0.0

    @property
    def name(self) -> str:
        return f"games/{self.id}"


MEDIA_PORT = "media"


def checked(deployment: Deployment) -> Deployment:
    """The same deployment, if its parts agree. Raises InvalidRequest naming the field."""
    check_container(deployment.container, deployment.command, deployment.environment)
    if deployment.disk_bytes and deployment.container is not None and deployment.container.writable_root:
        raise InvalidRequest(
            "DISK_UNCOUNTED",
            "disk_bytes counts no writable_root: leave one of them out, or have the game write into a volume",
            field="deployment.container.writable_root",
        )
    check_saves(deployment.saves, deployment.volume_names)
    _check_ports(deployment)
    ready = deployment.readiness
    if deployment.picture is Picture.NONE and ready is None:
        raise InvalidRequest(
            "READINESS_MISSING",
            "a game without a picture needs a readiness check: log_pattern, tcp_port, http or stays_up",
            field="deployment.readiness",
        )
    if deployment.picture is Picture.NONE and deployment.silent:
        raise InvalidRequest(
            "SILENT_ALREADY", "a game without a picture is silent already: leave it out", field="deployment.silent"
        )
    if ready is not None:
        checked_pattern(ready.log_pattern, "deployment.readiness.log_pattern")
    tcp = {port.name for port in deployment.ports if port.protocol == "tcp"}
    for where, name in _ports_asked(ready) if ready is not None else ():
        if name not in tcp:
            raise InvalidRequest(
                "READINESS_PORT_UNKNOWN",
                f"no TCP port of this deployment is called '{name}'",
                field=f"deployment.readiness.{where}",
            )
    return deployment


def _ports_asked(ready: Readiness) -> Iterator[tuple[str, str]]:
    if ready.tcp_port:
        yield "tcp_port", ready.tcp_port
    if ready.http is not None:
        yield "http.port_name", ready.http.port_name


def _check_ports(deployment: Deployment) -> None:
    """Raises InvalidRequest for ports that no host could ever give."""
    names = [port.name for port in deployment.ports]
    inside = [(port.protocol, port.game_port) for port in deployment.ports if port.game_port]
    outside = [(port.protocol, port.host_port) for port in deployment.ports if port.host_port]
    for index, port in enumerate(deployment.ports):
        checks = (
            (
                names.count(port.name) > 1 or port.name == MEDIA_PORT,
                "PORT_NAME_TAKEN",
                f"port name '{port.name}' is used twice or reserved",
            ),
            (
                inside.count((port.protocol, port.game_port)) > 1,
                "PORT_TWICE",
                f"two ports are the game's {port.protocol} port {port.game_port}",
            ),
            (
                outside.count((port.protocol, port.host_port)) > 1,
                "PORT_TWICE",
                f"two ports ask for the host's {port.protocol} port {port.host_port}",
            ),
            (
                0 < port.host_port < FIRST_UNPRIVILEGED,
                "PORT_PRIVILEGED",
                f"host port {port.host_port} belongs to the system: choose one from {FIRST_UNPRIVILEGED} up",
            ),
            (
                deployment.container is None and port.game_port not in (0, port.host_port),
                "PORT_UNMAPPED",
                f"no container maps game_port of '{port.name}': leave it out, or ask for host_port {port.game_port}",
            ),
        )
        for applies, reason, why in checks:
            if applies:
                raise InvalidRequest(reason, why, field=f"deployment.ports[{index}]")
