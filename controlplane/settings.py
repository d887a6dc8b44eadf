"""Environment, file and options become one frozen settings object: the only reader of os.environ.

Every field is `QUARTERDECK_<FIELD>` in the environment, or a key of the TOML file that `QUARTERDECK_CONFIG` names;
`python scripts/settings_page.py` makes docs/settings.md of them.
Options of the command line win over the environment, and that over the file. `QUARTERDECK_<FIELD>_FILE` names a file
that holds nothing but the value, as secrets are mounted into containers; the value itself wins over it.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane import values

ENV_PREFIX = "QUARTERDECK_"
CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to dial where one listens on everything
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class SettingsError(Exception):
    """Settings that cannot be used; the message names each variable, what is wrong and the remedy, one line each."""


def _of(parse: Callable[[Any], Any], default: Any, about: str, *, secret: bool = False) -> Any:
    """A setting: how its value is read, its default, and what to know of it."""
    metadata = {"parse": parse, "about": about}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, repr=not secret, metadata=metadata)
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the control plane is told from outside. Durations are in seconds. Made by `load`."""

    # Where things are.
    data_dir: Path = _of(values.path, Path(".quarterdeck"), "the house's files: database, bus, CA, logs")
    database_url: str = _of(values.database, "", "where the truth is; default: SQLite in data_dir")
    database_connections: int = _of(values.count, 16, "to PostgreSQL, at most, of each API and each processor")
    database_connections_kept: int = _of(values.count, 8, "of those, when there is nothing to do")
    database_wait_s: float = _of(values.POSITIVE, 10.0, "for one of them, before a caller is told UNAVAILABLE")
    nats_url: str = _of(
        values.text, "", "the broker; default: `up` brings its own, other roles use nats://127.0.0.1:4222"
    )
    nats_token_file: Path | None = _of(values.path, None, "file with the token of that server")
    ca_dir: Path = _of(values.path, Path(), "the keys of the house; default: ca in data_dir")
    objects_url: str = _of(
        values.objects, "", "logs, saves, backups: file:///DIRECTORY or s3://BUCKET; default: in data_dir"
    )
    objects_endpoint: str = _of(values.endpoint, "", "of an S3 that is not Amazon's")

    # Who listens where.
    http_host: str = _of(values.text, "127.0.0.1", "where the gateway listens, and each role's health and figures")
    http_port: int = _of(values.port, 8080, "of the gateway: pages, REST, health, figures")
    api_http_port: int = _of(values.port, 0, "health and metrics of an API on its own; default: any free port")
    processor_http_port: int = _of(
        values.port, 0, "health and metrics of a processor on its own; default: any free port"
    )
    http_connections: int = _of(
        values.count, 0, "open at once; default: 16384, at most half of this process's descriptors"
    )
    http_connections_per_peer: int = _of(values.count, 0, "of one address, as a proxy is; default: a quarter of those")
    grpc_host: str = _of(values.text, "127.0.0.1", "where the API listens, in clear: never open it")
    grpc_port: int = _of(values.port, 50051, "of the API")
    grpc_streams_per_subject: int = _of(
        values.count, 1024, "of the 4096 that an API has open, those of one token's subject; 0: any number"
    )
    link_host: str = _of(values.text, "127.0.0.1", "where agents are listened to")
    link_port: int = _of(values.port, 0, "of agents' links; default: grpc_port + 1")
    enrolment_port: int = _of(values.port, 0, "where agents enrol; default: grpc_port + 2")
    advertised_host: str = _of(values.text, "", "the name that agents dial; default: link_host")
    allowed_hosts: tuple[str, ...] = _of(
        values.words, (), "names it is called by, beside this machine's and its origins'"
    )
    allowed_origins: tuple[str, ...] = _of(values.words, (), "browser origins beside the gateway's own")
    media_ports: tuple[int, int] = _of(values.port_range, (28000, 28999), "ports that sessions may lease on a host")

    ice_servers: tuple[str, ...] = _of(values.ice_servers, (), "stun: and turn: URLs for browsers and hosts behind NAT")
    turn_username: str = _of(values.text, "", "for all turn: URLs")
    turn_credential: str = _of(values.text, "", "for all turn: URLs", secret=True)

    # When a host counts as gone (seed 004; a beat of 2.5 s lets three go missing).
    heartbeat_interval_s: float = _of(values.POSITIVE, 2.5, "how often each agent says that it is there")
    stale_after_s: float = _of(values.POSITIVE, 10.0, "silent for so long, a host gets no new sessions")
    lost_after_s: float = _of(values.POSITIVE, 60.0, "silent for so long, it counts as lost")
    restart_grace_s: float = _of(values.NOT_NEGATIVE, 120.0, "what a pause of all heartbeats excuses, at most")

    # When a session ends by itself (0: never), and how long it may wait.
    session_lost_after_s: float = _of(
        values.POSITIVE,
        900.0,
        "its host away for so long, a session is LOST; what may start elsewhere does so before, after 600 s and "
        "LOST_AFTER_S, or never where this is shorter",
    )
    idle_timeout_s: float = _of(
        values.NOT_NEGATIVE,
        900.0,
        "without input, console line or player activity; 0: never; a session may say another",
    )
    disconnect_timeout_s: float = _of(
        values.NOT_NEGATIVE,
        120.0,
        "with nobody connected, from the first frame on; 0: never; a session may say another",
    )
    max_duration_s: float = _of(values.NOT_NEGATIVE, 14400.0, "in all; 0: for ever; a session may say another")
    queue_timeout_s: float = _of(
        values.NOT_NEGATIVE, 30.0, "how long a session waits for a place; 0: not at all; a session may say another"
    )
    rented_queue_timeout_s: float = _of(values.NOT_NEGATIVE, 900.0, "the same, once a machine is being rented for it")
    queue_max_per_project: int = _of(values.count, 5000, "sessions that may wait at once; 0: any number")
    queue_max_per_subject: int = _of(values.count, 1000, "the same, of those whom one token's subject asked for")
    start_deadline_s: float = _of(values.POSITIVE, 120.0, "for a host to begin with a session, images not counted")

    # How much is kept: saves of a player, and lines of sessions' logs, for how long where their game does not say.
    saves_each: int = _of(values.count, 100, "saves that one player may have in a project; 0: any number")
    log_retention_s: float = _of(values.seconds(60), 14 * 86400.0, "from a line's writing until it is deleted")
    log_session_mib: int = _of(
        values.count, 256, "MiB of a session's lines, compressed, beyond which the oldest go; at least 1"
    )

    # Renting. An order that stays unanswered is looked for; listings may be this much behind the provider's own doings.
    local_vms: int = _of(values.count, 2, "machines that the provider local may start on this machine; 0: none")
    local_vm_delay_s: float = _of(values.NOT_NEGATIVE, 0.0, "how long the provider local takes for an order")
    local_vm_failures: dict[str, float] = _of(values.faults, {}, "its share of orders gone wrong, such as sold_out=0.2")
    local_vm_regions: tuple[str, ...] = _of(values.words, ("local",), "where the provider local offers machines")
    local_vm_ports: tuple[int, int] = _of(
        values.port_range, (27000, 27999), "for its machines' sessions, in equal parts"
    )
    local_vm_price_micro_per_hour: int = _of(values.count, 0, "what the provider local asks")
    rented_idle_s: float = _of(values.POSITIVE, 600.0, "empty for so long, a machine that no pool keeps is given back")
    vm_running_timeout_s: float = _of(values.POSITIVE, 600.0, "for a rented machine to run")
    vm_boot_timeout_s: float = _of(values.POSITIVE, 600.0, "for its agent to join, once it runs")
    provider_poll_s: float = _of(values.POSITIVE, 5.0, "how often a provider is asked for what is under way")
    provider_listing_lag_s: float = _of(
        values.NOT_NEGATIVE, 30.0, "by which a provider's listing may be behind its own doings"
    )
    retry_provisioning: dict[str, float] = _of(values.schedule, {}, values.SCHEDULE_WORDS)
    retry_boot: dict[str, float] = _of(values.schedule, {}, values.SCHEDULE_WORDS)
    retry_network: dict[str, float] = _of(values.schedule, {}, values.SCHEDULE_WORDS)
    retry_provider_api: dict[str, float] = _of(values.schedule, {}, values.SCHEDULE_WORDS)

    # How long credentials live.
    stream_token_ttl_s: float = _of(values.POSITIVE, 60.0, "what a browser opens a stream with")
    sign_in_code_ttl_s: float = _of(values.POSITIVE, 600.0, "the link that `quarterdeck signin` prints")
    cert_ttl_s: float = _of(values.POSITIVE, 86400.0, "an agent's certificate, which it renews by itself")
    join_token_ttl_s: float = _of(values.POSITIVE, 2700.0, "the invitation of a machine")

    # What the operator's verbs speak to.
    target: str = _of(values.text, "", "HOST:PORT of the API; default: 127.0.0.1 and grpc_port")
    token: str = _of(values.text, "", "the caller's token; default: read from token_file", secret=True)
    token_file: Path = _of(values.path, Path(), "that file; default: operator.token in data_dir")

    log_format: str = _of(values.one_of("console", "json"), "console", "console, or json: one object a line")
    log_level: str = _of(values.one_of("debug", "info", "warning", "error"), "info", "debug, info, warning or error")
    otlp_endpoint: str = _of(
        values.endpoint, "", "where traces go by OTLP/gRPC, such as http://127.0.0.1:4317; default: none"
    )
    replica_id: str = _of(values.replica, "", "its name in logs; default: made anew at each start")

    def listeners(self) -> dict[str, int]:
        """Port by the name of its setting."""
        return {name: getattr(self, name) for name in ("http_port", "grpc_port", "link_port", "enrolment_port")}

    @property
    def own_target(self) -> str:
        """HOST:PORT at which this machine's programs reach the API that listens on grpc_host."""
        return f"{_bracketed(WILDCARDS.get(self.grpc_host, self.grpc_host))}:{self.grpc_port}"

    @property
    def gateway_url(self) -> str:
        """Where a browser on this machine finds the gateway."""
        local = self.http_host in LOOPBACK or self.http_host in WILDCARDS
        return f"http://{'localhost' if local else _bracketed(self.http_host)}:{self.http_port}"

    @property
    def uses_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def loopback_only(self) -> bool:
        """The gateway is reachable from this machine alone, so media need a loopback candidate."""
        return self.http_host in LOOPBACK


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def load(**options: object) -> Settings:
    """Reads file, environment and options (None means: not given). Raises SettingsError."""
    given, sources = _gather(options)
    meant: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in given.items():
        try:
            meant[name] = FIELDS[name].metadata["parse"](value)
        except (ValueError, TypeError) as error:
            about = FIELDS[name].metadata["about"]
            problems.append(f"{sources[name]}: {error}{f' ({about})' if about else ''}; change it")
    if problems:
        raise SettingsError("\n".join(problems))
    settings = _derived(Settings(**meant))
    _check(settings)
    return settings


def sign_in_link(gateway_url: str, code: str, session_id: str = "") -> str:
    """The one-time link to the fleet, or to a session's play page; the code is in the fragment, which browsers keep to
    themselves."""
    return f"{gateway_url.rstrip('/')}/#/signin/{code}" + (f"/play/{session_id}" if session_id else "")


def child_environment(**changes: str) -> dict[str, str]:
    """The environment for a process of ours: this one's, with QUARTERDECK_<NAME> set for each change."""
    return os.environ | {f"{ENV_PREFIX}{name.upper()}": value for name, value in changes.items()}


def foreign_environment() -> dict[str, str]:
    """The environment for a machine of somebody else's: none of our settings, none of our secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith((ENV_PREFIX, "AWS_"))}


def _gather(options: Mapping[str, object]) -> tuple[dict[str, object], dict[str, str]]:
    """The value that wins for each field that has one, and what to call its source."""
    file = os.environ.get(CONFIG_VARIABLE, "")
    said = dict(_read_file(file)) if file else {}
    sources = {name: f"{name} in {file}" for name in said}
    for name in FIELDS:
        variable = f"{ENV_PREFIX}{name.upper()}"
        mounted = f"{variable}_FILE"
        if os.environ.get(variable):
            said[name], sources[name] = os.environ[variable], variable
        elif os.environ.get(mounted) and f"{name}_file" not in FIELDS:
            said[name], sources[name] = _read_value(mounted), mounted
        if options.get(name) is not None:
            said[name], sources[name] = options[name], f"--{name.replace('_', '-')} or {variable}"
    unknown = sorted(name for name in said if name not in FIELDS)
    if unknown:
        raise SettingsError("\n".join(f"{name} in {file}: there is no such setting; remove it" for name in unknown))
    return said, sources


def _read_file(file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{CONFIG_VARIABLE}: {file} cannot be read as TOML: {error}") from error


def _read_value(variable: str) -> str:
    file = os.environ[variable]
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{variable}: {file} cannot be read: {error}; mount it, or name another") from error


def _derived(settings: Settings) -> Settings:
    """Fills what follows from other settings, so that nobody derives it twice."""
    data_dir = values.path(settings.data_dir)
    empty = Path()
    return dataclasses.replace(
        settings,
        data_dir=data_dir,
        database_url=settings.database_url or f"sqlite:///{data_dir / 'quarterdeck.db'}",
        ca_dir=data_dir / "ca" if settings.ca_dir == empty else settings.ca_dir,
        objects_url=settings.objects_url or (data_dir / "objects").as_uri(),
        token_file=data_dir / "operator.token" if settings.token_file == empty else settings.token_file,
        link_port=settings.link_port or settings.grpc_port + 1,
        enrolment_port=settings.enrolment_port or settings.grpc_port + 2,
        advertised_host=settings.advertised_host or settings.link_host,
        target=settings.target or f"127.0.0.1:{settings.grpc_port}",
    )


def _check(settings: Settings) -> None:
    ports = settings.listeners()
    problems = []
    if settings.database_connections < 2:
        problems.append("DATABASE_CONNECTIONS: must be at least 2; raise it")
    if settings.database_connections_kept > settings.database_connections:
        problems.append("DATABASE_CONNECTIONS_KEPT: must not exceed database_connections; change either")
    if settings.stale_after_s <= settings.heartbeat_interval_s:
        problems.append("STALE_AFTER_S: must be longer than heartbeat_interval_s; change either")
    if settings.lost_after_s <= settings.stale_after_s:
        problems.append("LOST_AFTER_S: must be longer than stale_after_s; change either")
    if len(set(ports.values())) < len(ports):
        problems.append(f"HTTP_PORT, GRPC_PORT, LINK_PORT, ENROLMENT_PORT: must differ, got {ports}; change one")
    if max(ports.values()) > 65535:
        problems.append("GRPC_PORT: must leave room for link_port and enrolment_port below 65536; choose a lower one")
    if settings.advertised_host in WILDCARDS:
        problems.append("ADVERTISED_HOST: is needed where link_host listens on everything; name what agents dial")
    if sum(share for fault, share in settings.local_vm_failures.items() if fault != "stubborn") > 1:
        problems.append("LOCAL_VM_FAILURES: the shares of an order must not exceed 1 together; lower one")
    if any(url.startswith("turn") for url in settings.ice_servers) and not settings.turn_credential:
        problems.append("TURN_CREDENTIAL: is needed by a turn: server; set it, and turn_username")
    if settings.local_vm_ports[1] - settings.local_vm_ports[0] + 1 < 8 * settings.local_vms:
        problems.append("LOCAL_VM_PORTS: must hold 8 ports for each of local_vms; widen them")
    if problems:
        raise SettingsError("\n".join(f"{ENV_PREFIX}{problem}" for problem in problems))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
