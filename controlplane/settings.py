"""Environment and file become one frozen settings object.

The only reader of os.environ in the control plane. Every field is `QUARTERDECK_<FIELD>` in the environment, or a key of
the TOML file that `QUARTERDECK_CONFIG` names; the environment wins, and options of the command line win over both.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

ENV_PREFIX = "QUARTERDECK_"
CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"

Port = Annotated[int, Field(ge=1, le=65535)]
PositiveSeconds = Annotated[float, Field(gt=0)]


class SettingsError(Exception):
    """Settings that cannot be used; the message names each variable, what is wrong and the remedy, one line each."""


class Settings(BaseSettings):
    """Everything the control plane is told from outside. Durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True
    )

    # Where things are.
    data_dir: Path = Field(Path(".quarterdeck"), description="the house's files: database, bus, CA, logs")
    database_url: str = Field("", description="empty: SQLite in the data directory; or postgresql+psycopg://…")
    nats_url: str = Field(
        "", description="empty: `quarterdeck up` brings its own, other roles use nats://127.0.0.1:4222"
    )
    nats_token_file: Path | None = Field(None, description="file with the token of that nats-server")
    ca_dir: Path = Field(Path(), description="empty: ca in the data directory")

    # Who listens where.
    http_host: str = "127.0.0.1"
    http_port: Port = 8080
    processor_http_port: int = Field(
        0, ge=0, le=65535, description="health and metrics of a processor in a process of its own; 0: any free port"
    )
    grpc_host: str = "127.0.0.1"
    grpc_port: Port = 50051
    link_host: str = "127.0.0.1"
    link_port: int = Field(0, ge=0, le=65535, description="0: the gRPC port + 1")
    enrolment_port: int = Field(0, ge=0, le=65535, description="0: the gRPC port + 2")
    advertised_host: str = Field("", description="the name agents dial; empty: link_host")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="browser origins beside the gateway's own, comma separated"
    )
    media_ports: str = Field("28000-28999", description="UDP and TCP ports that sessions may lease on a host")

    # When a host counts as gone (seed 004; beats of 2.5 s tolerate three missed ones).
    heartbeat_interval_s: PositiveSeconds = 2.5
    stale_after_s: PositiveSeconds = 10
    lost_after_s: PositiveSeconds = 60
    restart_grace_s: Annotated[float, Field(ge=0)] = 120

    # When a session ends by itself, and how long it may wait.
    session_lost_after_s: PositiveSeconds = 900
    idle_timeout_s: Annotated[float, Field(ge=0)] = 900
    disconnect_timeout_s: Annotated[float, Field(ge=0)] = 120
    max_duration_s: Annotated[float, Field(ge=0)] = 14400
    queue_timeout_s: Annotated[float, Field(ge=0)] = 30

    # How long credentials live.
    stream_token_ttl_s: PositiveSeconds = 60
    sign_in_code_ttl_s: PositiveSeconds = 600
    cert_ttl_s: PositiveSeconds = 86400
    join_token_ttl_s: PositiveSeconds = 2700

    # What the operator's verbs speak to.
    target: str = Field("", description="HOST:PORT of the API; empty: 127.0.0.1 and the gRPC port")
    token: str = Field("", description="an operator's or player's token; empty: read from token_file", repr=False)
    token_file: Path = Field(Path(), description="empty: operator.token in the data directory")

    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    replica_id: str = Field("", pattern=r"^[a-z0-9-]{0,40}$", description="empty: made anew at each start")

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("media_ports")
    @classmethod
    def _port_range(cls, value: str) -> str:
        first, dash, last = value.partition("-")
        if not (dash and first.isdigit() and last.isdigit() and 1024 <= int(first) <= int(last) <= 65535):
            raise ValueError("must be FIRST-LAST within 1024-65535")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        """The short forms are good too; the rest of the house sees the driver named."""
        for short, full in (("sqlite:///", "sqlite+aiosqlite:///"), ("postgresql://", "postgresql+psycopg://")):
            if value.startswith((short, full)):
                return full + value.removeprefix(short).removeprefix(full)
        raise ValueError("must start with sqlite:/// or postgresql+psycopg://")

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fills what follows from other settings, so that readers never derive it twice."""
        values = {name: value for name, value in values.items() if value is not None}
        data_dir = Path(values.get("data_dir") or ".quarterdeck").expanduser().absolute()
        values["data_dir"] = data_dir
        values.setdefault("database_url", "")
        if not values["database_url"]:
            values["database_url"] = f"sqlite+aiosqlite:///{data_dir / 'quarterdeck.db'}"
        for name, default in (("ca_dir", "ca"), ("token_file", "operator.token")):
            values[name] = Path(values[name]).expanduser().absolute() if values.get(name) else data_dir / default
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.stale_after_s <= self.heartbeat_interval_s:
            raise ValueError("stale_after_s must be longer than heartbeat_interval_s")
        if self.lost_after_s <= self.stale_after_s:
            raise ValueError("lost_after_s must be longer than stale_after_s")
        ports = self.listeners()
        if len(set(ports.values())) < len(ports):
            raise ValueError(f"http_port, grpc_port, link_port and enrolment_port must differ, got {ports}")
        if max(ports.values()) > 65535:
            raise ValueError("grpc_port must leave room for link_port and enrolment_port below 65536")
        return self

    def listeners(self) -> dict[str, int]:
        """Port by the name of its setting, with the derived ones resolved."""
        return {
            "http_port": self.http_port,
            "grpc_port": self.grpc_port,
            "link_port": self.resolved_link_port,
            "enrolment_port": self.resolved_enrolment_port,
        }

    @property
    def resolved_link_port(self) -> int:
        return self.link_port or self.grpc_port + 1

    @property
    def resolved_enrolment_port(self) -> int:
        return self.enrolment_port or self.grpc_port + 2

    @property
    def resolved_target(self) -> str:
        return self.target or f"127.0.0.1:{self.grpc_port}"

    @property
    def own_target(self) -> str:
        """HOST:PORT at which this machine's programs reach the API that listens on grpc_host."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.grpc_host, self.grpc_host)  # noqa: S104
        return f"{f'[{host}]' if host.count(':') > 1 and not host.startswith('[') else host}:{self.grpc_port}"

    @property
    def media_port_range(self) -> tuple[int, int]:
        """First and last port, both inclusive."""
        first, _, last = self.media_ports.partition("-")
        return int(first), int(last)

    @property
    def uses_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def loopback_only(self) -> bool:
        """The gateway is reachable from this machine alone, so media need a loopback candidate."""
        return self.http_host in {"127.0.0.1", "::1", "localhost"}

    @property
    def gateway_url(self) -> str:
        """Where a browser on this machine finds the gateway."""
        host = "localhost" if self.loopback_only or self.http_host in {"0.0.0.0", "::"} else self.http_host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.http_port}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _FileSource(settings_cls)


class _FileSource(PydanticBaseSettingsSource):
    """The TOML file, if one is named; unlike the library's own source it refuses a file that is not there."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        name = os.environ.get(CONFIG_VARIABLE, "")
        if not name:
            return {}
        try:
            return tomllib.loads(Path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError(f"{CONFIG_VARIABLE}: {name} cannot be read as TOML: {error}") from error


def load(**overrides: object) -> Settings:
    """Reads file, environment and overrides (None means: not given). Raises SettingsError."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem) for problem in error.errors())) from error


def sign_in_link(gateway_url: str, code: str, session_id: str = "") -> str:
    """The one-time link to the fleet, or to a session's play page; the code is in the fragment, which browsers keep to
    themselves."""
    return f"{gateway_url.rstrip('/')}/#/signin/{code}" + (f"/play/{session_id}" if session_id else "")


def child_environment(**changes: str) -> dict[str, str]:
    """The environment for a process of ours: this one's, with QUARTERDECK_<NAME> set for each change."""
    return os.environ | {f"{ENV_PREFIX}{name.upper()}": value for name, value in changes.items()}


def _explain(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"{name}: no such setting; remove it from the file that {CONFIG_VARIABLE} names"
    if not name:
        return f"settings: {message}; change {ENV_PREFIX}<NAME> of one of them"
    described = Settings.model_fields[name].description
    hint = f" ({described})" if described else ""
    return f"{ENV_PREFIX}{name.upper()}: {message}{hint}; change it in the environment or in {CONFIG_VARIABLE}'s file"
