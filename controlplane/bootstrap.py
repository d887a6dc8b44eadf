"""The composition root: builds each role out of its parts, starts them in order and stops them in reverse."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import secrets
import signal
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector

from controlplane import __version__, logs, tracing
from controlplane.domain.errors import QuarterdeckError
from controlplane.settings import Settings

if TYPE_CHECKING:
    from controlplane.api.server import Options
    from controlplane.interfaces import Provider
    from controlplane.interfaces.spans import Spans
    from controlplane.usecases.world import Policy, Renting, World

log = structlog.get_logger(__name__)

Role = Literal["all", "api", "gateway", "processor", "migrate"]
NATS_DEFAULT = "nats://127.0.0.1:4222"


def run(role: Role, settings: Settings, *, status_fd: int | None = None, welcome: bool = False, plain: str = "") -> int:
    """Runs a role until SIGTERM or SIGINT; returns the exit code. `status_fd`: where to say that it is ready.

    `welcome`: first prepare operator, local VM, demo game and sign-in code. `plain`: HOST:PORT of a gRPC server that
    the gateway serves as it is, without pages and sign-in.
    """
    from controlplane.monitoring import raise_open_files

    raise_open_files()
    replica_id = settings.replica_id or f"{role}-{secrets.token_hex(4)}"
    logs.configure(settings.log_format, settings.log_level, role=role, replica=replica_id)
    try:
        asyncio.run(_live(role, replace(settings, replica_id=replica_id), status_fd, welcome, plain))
    except (QuarterdeckError, OSError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


def migrate(settings: Settings, verb: Literal["down", "check"], revision: str = "") -> int:
    """Takes the database down to `revision`, or says where it stands, on stdout; returns the exit code. `check` is 1
    where a migration is missing or a table is not what this release knows."""
    from controlplane.adapters.store import schema

    try:
        if verb == "down":
            schema.downgrade(settings.database_url, revision)
        state = schema.check(settings.database_url)
    except QuarterdeckError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    told = (
        "behind: run `quarterdeck migrate up`" if state.pending else "ahead: of a newer release" if state.newer else ""
    )
    sys.stdout.write(f"database {state.current}, this release {state.head}{told and f' ({told})'}\n")
    if verb == "down" or state.newer:
        return 0
    sys.stdout.writelines(f"differs: {line}\n" for line in state.drift if not state.pending)
    return int(state.pending or bool(state.drift))


async def _live(role: Role, settings: Settings, status_fd: int | None, welcome: bool, plain: str) -> None:
    if role in ("all", "migrate"):
        await _migrate(settings)
    if role == "migrate":
        return
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # One for the whole process: its figures are on one page, whichever parts run in it.
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    async with AsyncExitStack() as stack:
        said: dict[str, Any] = {}
        spans = tracing.opened(stack, settings.otlp_endpoint, role, settings.replica_id)
        if role != "gateway":
            world = await _world(stack, settings, registry, spans)
            if role in ("all", "api"):
                said |= await _api(stack, settings, world, registry, spans, alone=role == "api")
                if welcome:
                    from controlplane.welcome import welcomed

                    said |= await welcomed(settings, world)
            if role in ("all", "processor"):
                said |= await _processor(stack, settings, world, registry, alone=role == "processor")
        if role in ("all", "gateway"):
            target = settings.own_target if role == "all" else settings.target
            discovered = await _gateway(stack, settings, target, plain, registry, spans)
            await _first(stop.wait(), discovered.wait())
        if stop.is_set():
            return
        _say_ready(status_fd, role=role, **said)
        log.info("role.ready", version=__version__, **said)
        # What stands by now stays: a full collection that looks at it too would halt every call for 80 ms.
        gc.freeze()
        await stop.wait()
        log.info("role.stopping")


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Returns when one of them has; the others are cancelled."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _say_ready(status_fd: int | None, **facts: Any) -> None:
    if status_fd is not None:
        os.write(status_fd, (json.dumps({"ready": True, **facts}) + "\n").encode())
        os.close(status_fd)


def audit(settings: Settings) -> list[str]:
    """One line for each invariant that the database shows to be broken. Raises Unavailable, InvalidRequest."""
    from controlplane.adapters.store.audit import violations

    return violations(settings.database_url)


def operator(settings: Settings) -> None:
    """Makes the token of settings.token_file an operator's, and the file where there is none. Raises Unavailable,
    OSError."""
    from controlplane.adapters.ids import RandomIds
    from controlplane.adapters.store import open_store
    from controlplane.welcome import first_operator

    async def ensure() -> None:
        store = open_store(settings.database_url)
        try:
            await first_operator(settings, store, RandomIds())
        finally:
            await store.close()

    asyncio.run(ensure())


async def _migrate(settings: Settings) -> None:
    from controlplane.adapters.store import schema

    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    revision = await asyncio.to_thread(schema.migrate, settings.database_url)
    log.info("database.migrated", revision=revision)


async def _world(stack: AsyncExitStack, settings: Settings, registry: CollectorRegistry, spans: Spans) -> World:
    from controlplane.adapters.bus.jetstream import JetStreamBus
    from controlplane.adapters.ca import FileCertificateAuthority, stream_token_key
    from controlplane.adapters.ids import RandomIds
    from controlplane.adapters.objects import open_objects
    from controlplane.adapters.store import open_store
    from controlplane.adapters.store.lanes import PoolSize
    from controlplane.adapters.stream_tokens import JwtStreamTokens
    from controlplane.usecases.world import World

    size = PoolSize(settings.database_connections, settings.database_connections_kept, settings.database_wait_s)
    store = tracing.traced(open_store(settings.database_url, size=size, registry=registry), spans)
    stack.push_async_callback(store.close)
    objects = open_objects(settings.objects_url, settings.objects_endpoint)
    stack.push_async_callback(objects.close)
    token = settings.nats_token_file.read_text().strip() if settings.nats_token_file else ""
    bus = JetStreamBus([settings.nats_url or NATS_DEFAULT], name=settings.replica_id, token=token)
    await stack.enter_async_context(bus)
    return World(
        store=store,
        bus=bus,
        ids=RandomIds(),
        authority=FileCertificateAuthority(settings.ca_dir, settings.cert_ttl_s),
        stream_tokens=JwtStreamTokens(stream_token_key(settings.ca_dir)),
        objects=objects,
        policy=_policy(settings),
        providers=_providers(settings),
    )


def _providers(settings: Settings) -> dict[str, Provider]:
    from controlplane.adapters.clouds.local import Fault, LocalProvider, MachineType, Terms
    from controlplane.settings import foreign_environment

    if not settings.local_vms:
        return {}
    terms = Terms(
        capacity=settings.local_vms,
        regions=frozenset(settings.local_vm_regions),
        machine_types=(MachineType("process", settings.local_vm_price_micro_per_hour, frozenset({"local"})),),
        delay_s=settings.local_vm_delay_s,
        faults={Fault(word): share for word, share in settings.local_vm_failures.items()},
        ports=settings.local_vm_ports,
    )
    local = LocalProvider(settings.data_dir / "local-vms", foreign_environment(), terms)
    return {local.name: local}


def _renting(settings: Settings) -> Renting:
    from controlplane.domain.provisioning import Patience
    from controlplane.domain.retry import DEFAULT_SCHEDULES, FailureKind
    from controlplane.usecases.world import Renting

    changes = {
        FailureKind.PROVISIONING: settings.retry_provisioning,
        FailureKind.BOOT: settings.retry_boot,
        FailureKind.NETWORK: settings.retry_network,
        FailureKind.PROVIDER_API: settings.retry_provider_api,
    }
    patience = Patience(
        running_s=settings.vm_running_timeout_s,
        boot_s=settings.vm_boot_timeout_s,
        poll_s=settings.provider_poll_s,
        listing_lag_s=settings.provider_listing_lag_s,
        schedules={kind: replace(DEFAULT_SCHEDULES[kind], **changes[kind]) for kind in FailureKind},  # type: ignore[arg-type]
    )
    return Renting(
        enrolment_target=f"{settings.advertised_host}:{settings.enrolment_port}",
        patience=patience,
        idle_after_s=settings.rented_idle_s,
    )


def _policy(settings: Settings) -> Policy:
    from controlplane.domain.queueing import Bounds
    from controlplane.domain.session import Limits
    from controlplane.domain.silence import Silence
    from controlplane.usecases.world import Policy

    return Policy(
        silence=Silence(settings.stale_after_s, settings.lost_after_s, settings.restart_grace_s),
        limits=Limits(settings.idle_timeout_s, settings.disconnect_timeout_s, settings.max_duration_s),
        session_lost_after_s=settings.session_lost_after_s,
        queue_timeout_s=settings.queue_timeout_s,
        rented_queue_timeout_s=settings.rented_queue_timeout_s,
        queue_bounds=Bounds(settings.queue_max_per_project, settings.queue_max_per_subject),
        start_deadline_s=settings.start_deadline_s,
        stream_token_ttl_s=settings.stream_token_ttl_s,
        sign_in_ttl_s=settings.sign_in_code_ttl_s,
        join_token_ttl_s=settings.join_token_ttl_s,
        media_ports=settings.media_ports,
        log_retention_s=settings.log_retention_s,
        log_session_bytes=max(1, settings.log_session_mib) << 20,
        saves_each=settings.saves_each,
        renting=_renting(settings),
    )


def _listening(settings: Settings) -> Options:
    from controlplane.api.interceptors import Limits
    from controlplane.api.server import Options
    from controlplane.api.specs import Network

    relay = settings.turn_username, settings.turn_credential
    return Options(
        host=settings.grpc_host,
        port=settings.grpc_port,
        agent_host=settings.link_host,
        enrolment_port=settings.enrolment_port,
        link_port=settings.link_port,
        advertised_host=settings.advertised_host,
        replica_id=settings.replica_id,
        heartbeat_interval_s=settings.heartbeat_interval_s,
        limits=Limits(open_streams_each=settings.grpc_streams_per_subject),
        network=Network.by(settings.ice_servers, relay, loopback_candidate=settings.loopback_only),
    )


async def _api(
    stack: AsyncExitStack, settings: Settings, world: World, registry: CollectorRegistry, spans: Spans, *, alone: bool
) -> dict[str, Any]:
    """Starts the three listeners, and `alone` in its process one for health and metrics; returns what an agent needs
    to enrol, but for its token."""
    from controlplane.adapters.bus.codec import decode_report
    from controlplane.adapters.ca import FileCertificateAuthority
    from controlplane.api.server import Server, Tls

    assert isinstance(world.authority, FileCertificateAuthority)
    served = world.authority.server_certificate([settings.advertised_host, settings.link_host])
    tls = Tls(served.key_pem, served.chain_pem, world.authority.ca_pem.encode())
    server = Server(world, tls, decode_report, _listening(settings), registry, spans)
    stack.push_async_callback(server.stop)
    ports = await server.start()
    said = await _monitoring(stack, settings, world, registry, "api", settings.api_http_port) if alone else {}
    return said | {
        "enrolment_target": f"{settings.advertised_host}:{ports.enrolment}",
        "link_target": f"{settings.advertised_host}:{ports.link}",
        "ca_sha256": world.authority.ca_sha256,
    }


async def _processor(
    stack: AsyncExitStack, settings: Settings, world: World, registry: CollectorRegistry, *, alone: bool
) -> dict[str, Any]:
    """Starts relay, consumers and jobs; `alone` in its process, it has a listener for health and metrics."""
    from controlplane.adapters.bus.codec import decode_event, decode_report
    from controlplane.processor import service

    await stack.enter_async_context(service.running(world, decode_report, decode_event, registry))
    if not alone:
        return {}
    return await _monitoring(stack, settings, world, registry, "processor", settings.processor_http_port)


async def _monitoring(
    stack: AsyncExitStack, settings: Settings, world: World, registry: CollectorRegistry, role: str, port: int
) -> dict[str, Any]:
    from controlplane import monitoring
    from controlplane.usecases import upkeep

    listener = monitoring.listening(partial(upkeep.outside, world), registry, settings.http_host, port)
    return {f"{role}_http_port": await stack.enter_async_context(listener)}


async def _gateway(
    stack: AsyncExitStack, settings: Settings, target: str, plain: str, registry: CollectorRegistry, spans: Spans
) -> asyncio.Event:
    """Serves; the event says that the target is known, before which every call is refused."""
    from controlplane.gateway.app import create_app
    from controlplane.gateway.door import Terms
    from controlplane.gateway.hosts import names_of
    from controlplane.gateway.origins import OriginPolicy
    from controlplane.gateway.serve import listening
    from controlplane.gateway.site import create_site
    from controlplane.gateway.spans import SpansMiddleware
    from controlplane.gateway.target import Target, open_channel

    origins = OriginPolicy(allowed=frozenset(settings.allowed_origins), loopback=settings.loopback_only)
    named = names_of(settings.allowed_hosts, settings.allowed_origins)
    # A public site is called by names that only its operator knows, and asks everybody who he is.
    hosts = named if plain or settings.loopback_only or settings.allowed_hosts else None
    channel = await stack.enter_async_context(open_channel(plain or target))
    if plain:
        app = create_app(Target(channel), origins=origins, hosts=hosts, registry=registry)
    else:
        app = create_site(channel, origins=origins, hosts=hosts, registry=registry)
    if settings.otlp_endpoint:
        app.add_middleware(SpansMiddleware, spans=spans)
    terms = Terms(settings.http_connections, settings.http_connections_per_peer)
    await stack.enter_async_context(listening(app, settings.http_host, settings.http_port, terms))
    known: Target = app.state.transcoder.target
    return known.discovered
