"""What the wrapper must know of its session and tells about it, in plain values; wire.py translates."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Picture(Enum):
    """Where the picture comes from."""

    NONE = "none"
    FRAMES = "frames"
    X11 = "x11"


@dataclass(frozen=True)
class Port:
    """A leased host port; `game_port` 0 means that the game listens on the host port itself."""

    name: str
    protocol: str
    host_port: int
    game_port: int


@dataclass(frozen=True)
class Video:
    """Figures of the preset."""

    width: int
    height: int
    fps: int
    bitrate_kbps: int
    min_bitrate_kbps: int
    max_bitrate_kbps: int
    encoder_preset: str


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server that the operator chose."""

    urls: tuple[str, ...]
    username: str
    credential: str = field(repr=False)


@dataclass(frozen=True)
class HttpCheck:
    """GET `path` on the named port is answered with `status`; 0: any from 200 to 299."""

    port_name: str
    path: str
    status: int = 0


@dataclass(frozen=True)
class Readiness:
    """When a game without a picture counts as playable; one of the four, else: as soon as it runs."""

    log_pattern: str | None = None
    tcp_port: str | None = None
    http: HttpCheck | None = None
    stays_up_s: float | None = None
    timeout_s: float = 60.0


@dataclass(frozen=True)
class Limits:
    """Seconds after which the session ends by itself; None means never."""

    idle_s: float | None = None
    disconnect_s: float | None = None
    max_duration_s: float | None = None


@dataclass(frozen=True)
class Spec:
    """Everything about one session; immutable."""

    session_id: str
    generation: int
    command: tuple[str, ...]
    environment: dict[str, str]
    picture: Picture
    video: Video
    ports: tuple[Port, ...]
    readiness: Readiness
    limits: Limits
    stop_grace_s: float
    ice_servers: tuple[IceServer, ...]
    advertised_addresses: tuple[str, ...]
    loopback_candidate: bool
    lease_s: float | None
    # The game runs out of its own image, in a container beside the wrapper's.
    beside: bool = False
    # By path below home, or absolute, in a volume of that container.
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    # Paths of that container's volumes, by name.
    volumes: dict[str, str] = field(default_factory=dict)
    stop_command: str = ""
    stop_command_grace_s: float = 10.0
    # The deployment wants no sound.
    silent: bool = False

    @property
    def media_port(self) -> Port | None:
        """The port of the session's WebRTC traffic."""
        return next((port for port in self.ports if port.name == "media"), None)


@dataclass(frozen=True)
class StreamFigures:
    """Live figures of the stream, over the last second."""

    encoder_name: str = ""
    players: int = 0
    viewers: int = 0
    encoded_fps: float = 0.0
    bitrate_kbps: int = 0
    round_trip_ms: float = 0.0
    encode_ms: float = 0.0
    idle_s: float = 0.0
    sound_kbps: int = 0
