"""A control plane of real listeners on real TLS, on any store and bus, and callers with all its stubs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
from quarterdeck.v1 import (
    accounts_pb2_grpc,
    agent_pb2,
    agent_pb2_grpc,
    events_pb2_grpc,
    games_pb2,
    games_pb2_grpc,
    hosts_pb2_grpc,
    ports_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
    streaming_pb2_grpc,
    vms_pb2,
    vms_pb2_grpc,
)

from controlplane.adapters.bus.codec import decode_report
from controlplane.adapters.ca import FileCertificateAuthority
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.objects import open_objects
from controlplane.adapters.stream_tokens import JwtStreamTokens
from controlplane.api.interceptors import Limits
from controlplane.api.server import Options, Ports, Server, Tls
from controlplane.api.streaming import ChannelTerms
from controlplane.domain import subjects
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.interfaces import Bus, Delivery, Store
from controlplane.usecases import accounts, hosts
from controlplane.usecases.world import Policy, World
from tests.component.api.keys import Key

OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
WITHIN_S = 20.0
DEFAULT = Policy()

FAST = Options(
    limits=Limits(recheck_s=0.2, token_cache_s=0.2),
    channels=ChannelTerms(token_within_s=WITHIN_S, answer_within_s=WITHIN_S, recheck_s=0.2, idle_s=60.0),
)


class Plane:
    """One API replica and what its callers hold."""

    def __init__(self, world: World, authority: FileCertificateAuthority, ports: Ports, server: Server) -> None:
        self.world = world
        self.authority = authority
        self.ports = ports
        self.server = server
        self.operator = ""
        self.player = ""

    def channel(self, token: str = "", **options: Any) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.ports.api}", interceptors=_bearing(token), **options)

    def enrolment(self) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(self.authority.ca_pem.encode())
        return grpc.aio.secure_channel(f"127.0.0.1:{self.ports.enrolment}", credentials)

    def link(self, key: Key | None, ca: str = "") -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(
            (ca or self.authority.ca_pem).encode(),
            key.pem if key else None,
            key.certificate.encode() if key else None,
        )
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.secure_channel(f"127.0.0.1:{self.ports.link}", credentials, options=options)


def _bearing(token: str) -> list[Any]:
    if not token:
        return []
    return [_Bearer(token), _StreamBearer(token), _BidiBearer(token)]


def _with_token(details: grpc.aio.ClientCallDetails, token: str) -> grpc.aio.ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()), ("authorization", f"Bearer {token}"))
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


@dataclass
class _Bearer(grpc.aio.UnaryUnaryClientInterceptor):
    token: str

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(_with_token(client_call_details, self.token), request)


@dataclass
class _StreamBearer(grpc.aio.UnaryStreamClientInterceptor):
    token: str

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(_with_token(client_call_details, self.token), request)


@dataclass
class _BidiBearer(grpc.aio.StreamStreamClientInterceptor):
    token: str

    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(_with_token(client_call_details, self.token), request_iterator)


@asynccontextmanager
async def plane(
    store: Store, bus: Bus, directory: Path, options: Options = FAST, policy: Policy = DEFAULT
) -> AsyncIterator[Plane]:
    """An API replica on a store and a bus that may be shared with others; `directory` holds the shared keys."""
    authority = FileCertificateAuthority(directory, 3600)
    objects = open_objects((directory / "objects").as_uri())
    world = World(store, bus, RandomIds(), authority, JwtStreamTokens(b"k" * 32), objects, policy=policy)
    certificate = authority.server_certificate([])
    tls = Tls(certificate.key_pem, certificate.chain_pem, authority.ca_pem.encode())
    server = Server(world, tls, decode_report, options)
    running = Plane(world, authority, await server.start(), server)
    running.operator, _ = await accounts.create_token(world, OPERATOR, "operator", Role.OPERATOR, None, "")
    running.player, _ = await accounts.create_token(world, OPERATOR, "player", Role.PLAYER, None, "")
    try:
        yield running
    finally:
        await server.stop(0.2)


@asynccontextmanager
async def processing(world: World) -> AsyncIterator[None]:
    """What the processor does with reports and heartbeats, without the rest of it."""

    async def handle(delivery: Delivery) -> None:
        host_id = subjects.last_token(delivery.subject)
        report = decode_report(delivery.payload)
        if await hosts.accept_report(world, host_id, report):
            await world.bus.hint(subjects.accepted(host_id), f"{report.epoch}:{report.sequence}".encode())

    async def bury(delivery: Delivery, error: Exception) -> None:
        raise AssertionError(f"{delivery.subject} was given up") from error

    async def beats() -> None:
        async with world.bus.subscribe(subjects.BEATS, queue="beats") as batches:
            async for _, payload in batches:
                await hosts.beat(world, payload.decode().split())

    tasks = [
        asyncio.create_task(world.bus.consume("reports", subjects.REPORTS, handle, bury)),
        asyncio.create_task(beats()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Caller:
    """All stubs of the API with one token."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.accounts = accounts_pb2_grpc.AccountServiceStub(channel)
        self.sessions = sessions_pb2_grpc.SessionServiceStub(channel)
        self.games = games_pb2_grpc.GameServiceStub(channel)
        self.vms = vms_pb2_grpc.VmServiceStub(channel)
        self.hosts = hosts_pb2_grpc.HostServiceStub(channel)
        self.ports = ports_pb2_grpc.PortServiceStub(channel)
        self.events = events_pb2_grpc.EventServiceStub(channel)
        self.streaming = streaming_pb2_grpc.StreamingServiceStub(channel)


@asynccontextmanager
async def calling(running: Plane, token: str) -> AsyncIterator[Caller]:
    async with running.channel(token) as channel:
        yield Caller(channel)


async def make_game(caller: Caller, game_id: str = "demo") -> None:
    """A game with a picture."""
    await caller.games.CreateGame(
        games_pb2.CreateGameRequest(game_id=game_id, game=games_pb2.Game(display_name="Demo"))
    )
    deployment = games_pb2.Deployment(command=["demo-game"], picture=games_pb2.PICTURE_FRAMES)
    await caller.games.CreateDeployment(
        games_pb2.CreateDeploymentRequest(parent=f"games/{game_id}", deployment=deployment)
    )


async def make_host(running: Plane, caller: Caller, vm_id: str) -> Key:
    """A VM whose agent has enrolled through the real listener; its key and certificate."""
    await caller.vms.CreateVm(vms_pb2.CreateVmRequest(vm_id=vm_id, region="local", client_token=f"make-{vm_id}"))
    joined = await caller.vms.CreateJoinToken(vms_pb2.CreateJoinTokenRequest(name=f"vms/{vm_id}"))
    return await enrol(running, joined.token)


async def enrol(running: Plane, join_token: str) -> Key:
    key = Key.new()
    async with running.enrolment() as channel:
        stub = agent_pb2_grpc.EnrolmentServiceStub(channel)
        answer = await stub.Enrol(
            agent_pb2.EnrolRequest(join_token=join_token, certificate_request=key.request()), timeout=WITHIN_S
        )
    return replace(key, certificate=answer.certificate, ca=answer.ca_certificate)


async def create_session(caller: Caller, game_id: str = "demo", **fields: Any) -> sessions_pb2.Session:
    request = sessions_pb2.CreateSessionRequest(game=f"games/{game_id}", **fields)
    session: sessions_pb2.Session = await caller.sessions.CreateSession(request, timeout=WITHIN_S)
    return session
