"""The API's three listeners: the API (bearer tokens), enrolment (TLS, join token), agent link (mTLS).

They share one chain of checks and one event loop. Port 0 lets the system choose; `start` tells what it chose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer
from prometheus_client import CollectorRegistry
from quarterdeck.v1 import (
    accounts_pb2_grpc,
    agent_pb2_grpc,
    backups_pb2_grpc,
    console_pb2_grpc,
    deadletters_pb2_grpc,
    events_pb2_grpc,
    games_pb2_grpc,
    hosts_pb2_grpc,
    logs_pb2_grpc,
    pools_pb2_grpc,
    ports_pb2_grpc,
    replacements_pb2_grpc,
    saves_pb2_grpc,
    sessions_pb2_grpc,
    shapes_pb2_grpc,
    streaming_pb2_grpc,
    vms_pb2_grpc,
)

from controlplane.api import compat
from controlplane.api.accounts import AccountServicer
from controlplane.api.backups import BackupServicer
from controlplane.api.channels import Channels
from controlplane.api.console import ConsoleServicer
from controlplane.api.consolechannels import ConsoleChannels
from controlplane.api.deadletters import DeadLetterServicer
from controlplane.api.events import EventServicer
from controlplane.api.games import GameServicer
from controlplane.api.hosts import HostServicer
from controlplane.api.identity import Bearers
from controlplane.api.interceptors import Chain, Guarded, Limits
from controlplane.api.link import AgentLinkServicer, EnrolmentServicer, LinkTerms
from controlplane.api.links import Links
from controlplane.api.logs import LogServicer
from controlplane.api.metrics import Metrics
from controlplane.api.pools import PoolServicer
from controlplane.api.ports import PortServicer
from controlplane.api.replacements import ReplacementServicer
from controlplane.api.saves import SaveServicer
from controlplane.api.sessions import SessionServicer
from controlplane.api.shapes import ShapeServicer
from controlplane.api.specs import Network
from controlplane.api.streaming import ChannelTerms, StreamingServicer
from controlplane.api.uplink import Beats, DecodeReport
from controlplane.api.vms import VmServicer
from controlplane.domain.errors import Unavailable
from controlplane.interfaces.spans import Spans
from controlplane.usecases.world import World

log = structlog.get_logger(__name__)

REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"


@dataclass(frozen=True)
class Bounds:
    """Of one listener: its connections, the streams of each, and the size of a message."""

    connections: int
    streams: int
    message_bytes: int


API_BOUNDS = Bounds(4096, 1000, 4 << 20)
# Whoever comes here has said nothing of himself yet, and asks for one thing.
ENROLMENT_BOUNDS = Bounds(256, 8, 64 << 10)
LINK_BOUNDS = Bounds(8192, 256, 1 << 20)


@dataclass(frozen=True)
class Tls:
    """PEM. `chain` is the listeners' own, leaf first; `ca` is what agents' certificates must come from."""

    key: bytes
    chain: bytes
    ca: bytes


@dataclass(frozen=True)
class Options:
    """Where to listen, and what to promise. `advertised_host` is the name that agents dial, "" the `agent_host`;
    `replica_id` names this process in the rows of the hosts it serves, "" for a new one."""

    host: str = "127.0.0.1"
    port: int = 0
    agent_host: str = "127.0.0.1"
    enrolment_port: int = 0
    link_port: int = 0
    advertised_host: str = ""
    replica_id: str = ""
    heartbeat_interval_s: float = 2.5
    limits: Limits = field(default_factory=Limits)
    network: Network = field(default_factory=Network)
    channels: ChannelTerms = field(default_factory=ChannelTerms)


@dataclass(frozen=True)
class Ports:
    """What the listeners were bound to."""

    api: int
    enrolment: int
    link: int


class Server:
    """`decode_report` reads the payload of the report subject: serialized quarterdeck.v1.Report."""

    def __init__(
        self,
        world: World,
        tls: Tls,
        decode_report: DecodeReport,
        options: Options,
        registry: CollectorRegistry | None = None,
        spans: Spans | None = None,
    ) -> None:
        self._metrics = Metrics(registry)
        self._spans = spans
        self._world = world
        self._tls = tls
        self._decode_report = decode_report
        self._options = options
        self._stopping = asyncio.Event()
        self._health = health.aio.HealthServicer()
        self._bearers = Bearers(world, options.limits.token_cache_s)
        self._channels = Channels(world)
        self._links = Links(world, self._channels, options.network, options.channels.idle_s)
        self._metrics.links.set_function(self._links.count)
        self._beats = Beats(world)
        self._servers: list[grpc.aio.Server] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> Ports:
        """Binds, then serves. Raises OSError when a port is taken."""
        options = self._options
        api, enrolment, link = (self._server(bounds) for bounds in (API_BOUNDS, ENROLMENT_BOUNDS, LINK_BOUNDS))
        ports = Ports(
            _bind(api, options.host, options.port, None),
            _bind(enrolment, options.agent_host, options.enrolment_port, self._credentials(client=False)),
            _bind(link, options.agent_host, options.link_port, self._credentials(client=True)),
        )
        dialled = options.advertised_host or options.agent_host
        services = self._serve_api(self._guarded(api), f"{dialled}:{ports.enrolment}")
        self._serve_agents(self._guarded(enrolment), self._guarded(link), f"{dialled}:{ports.link}")
        for service in ("", *services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        for server in self._servers:
            await server.start()
        self._tasks = [asyncio.create_task(self._links.run()), asyncio.create_task(self._beats.run())]
        log.info("api.listening", api=ports.api, enrolment=ports.enrolment, link=ports.link)
        return ports

    async def stop(self, grace_s: float = 5.0) -> None:
        """Refuses new calls, ends streams with UNAVAILABLE so that their clients go elsewhere, and lets unary calls
        finish for up to `grace_s`."""
        await self._health.enter_graceful_shutdown()
        self._stopping.set()
        self._links.end_all(Unavailable("SERVER_STOPPING", "this server is shutting down; connect again"))
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _server(self, bounds: Bounds) -> grpc.aio.Server:
        server = grpc.aio.server(options=_channel_options(bounds))
        self._servers.append(server)
        return server

    def _guarded(self, server: grpc.aio.Server) -> Any:
        chain = Chain(self._bearers, self._options.limits, self._stopping, self._metrics, self._spans)
        return Guarded(server, chain)

    def _credentials(self, client: bool) -> grpc.ServerCredentials:
        pair = [(self._tls.key, self._tls.chain)]
        if not client:
            return grpc.ssl_server_credentials(pair)
        return grpc.ssl_server_credentials(pair, root_certificates=self._tls.ca, require_client_auth=True)

    def _serve_api(self, server: Any, enrolment_target: str) -> Sequence[str]:
        """Returns the services' full names, by which health and reflection know them."""
        world, options = self._world, self._options
        streaming = StreamingServicer(world, self._links, self._channels, options.network, options.channels)
        accounts_pb2_grpc.add_AccountServiceServicer_to_server(AccountServicer(world, self._bearers), server)
        sessions_pb2_grpc.add_SessionServiceServicer_to_server(SessionServicer(world, self._metrics), server)
        games_pb2_grpc.add_GameServiceServicer_to_server(GameServicer(world), server)
        shapes_pb2_grpc.add_ShapeServiceServicer_to_server(ShapeServicer(world), server)
        vms_pb2_grpc.add_VmServiceServicer_to_server(VmServicer(world, enrolment_target), server)
        hosts_pb2_grpc.add_HostServiceServicer_to_server(HostServicer(world), server)
        ports_pb2_grpc.add_PortServiceServicer_to_server(PortServicer(world), server)
        pools_pb2_grpc.add_PoolServiceServicer_to_server(PoolServicer(world), server)
        replacements_pb2_grpc.add_ReplacementServiceServicer_to_server(ReplacementServicer(world), server)
        events_pb2_grpc.add_EventServiceServicer_to_server(EventServicer(world), server)
        deadletters_pb2_grpc.add_DeadLetterServiceServicer_to_server(DeadLetterServicer(world), server)
        streaming_pb2_grpc.add_StreamingServiceServicer_to_server(streaming, server)
        compat.serve(world, options.network, self._metrics, server)
        consoles = ConsoleChannels(world, self._links, self._channels, options.channels)
        console_pb2_grpc.add_ConsoleServiceServicer_to_server(ConsoleServicer(world, consoles), server)
        saves_pb2_grpc.add_SaveServiceServicer_to_server(SaveServicer(world), server)
        logs_pb2_grpc.add_LogServiceServicer_to_server(LogServicer(world, consoles), server)
        backups_pb2_grpc.add_BackupServiceServicer_to_server(BackupServicer(world), server)
        services = tuple(server.services)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        _reflect(server, services)
        return services

    def _serve_agents(self, enrolment: Any, link: Any, link_target: str) -> None:
        options = self._options
        terms = LinkTerms(link_target, options.heartbeat_interval_s)
        agent_pb2_grpc.add_EnrolmentServiceServicer_to_server(EnrolmentServicer(self._world, terms), enrolment)
        servicer = AgentLinkServicer(
            self._world,
            self._links,
            self._beats,
            options.network,
            terms,
            self._decode_report,
            options.replica_id or self._world.ids.new("r"),
        )
        agent_pb2_grpc.add_AgentLinkServiceServicer_to_server(servicer, link)


def _reflect(server: Any, services: Sequence[str]) -> None:
    """v1alpha as the library has it, and v1, whose messages are the same on the wire."""
    servicer = ReflectionServicer((*services, health.SERVICE_NAME, reflection.SERVICE_NAME))
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            reflection_pb2.ServerReflectionRequest.FromString,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
    }
    for service in (REFLECTION_V1, reflection.SERVICE_NAME):
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])


def _channel_options(bounds: Bounds) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", bounds.message_bytes),
        ("grpc.max_allowed_incoming_connections", bounds.connections),
        ("grpc.max_concurrent_streams", bounds.streams),
        # Without a call for so long, a connection goes; clients make another when they need one.
        ("grpc.max_connection_idle_ms", 300_000),
        ("grpc.max_metadata_size", 16 << 10),
        # A port that another process serves is an error, not a shared queue.
        ("grpc.so_reuseport", 0),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 3),
        # The library sheds with CANCELLED above its own default; the bound that answers is ours (interceptors).
        ("grpc.server.max_pending_requests", 10_000),
        ("grpc.server.max_pending_requests_hard_limit", 20_000),
    ]


def _bind(server: grpc.aio.Server, host: str, port: int, credentials: grpc.ServerCredentials | None) -> int:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = (
            server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
        )
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}; is another process there? {error}") from error
    if bound == 0:
        raise OSError(f"cannot listen on {address}; is another process there?")
    return bound
