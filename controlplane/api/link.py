"""The two services that agents call: EnrolmentService (a join token opens it) and AgentLinkService (a certificate)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from quarterdeck.v1 import agent_pb2, agent_pb2_grpc

from controlplane.api import archives, identity
from controlplane.api.admission import Admission
from controlplane.api.interceptors import opening
from controlplane.api.links import HostLink, Links
from controlplane.api.mapping.fleet import inventory_of
from controlplane.api.mapping.values import duration
from controlplane.api.specs import Network, specs_by_digest
from controlplane.api.uplink import Beats, DecodeReport, Reports
from controlplane.domain.errors import InvalidRequest, QuarterdeckError, WrongState
from controlplane.usecases import hosts, logs
from controlplane.usecases.links import admitted
from controlplane.usecases.world import World

log = structlog.get_logger(__name__)

# While the object store is dead each waits for it: the hosts' other calls must find room beside them. An agent has four
# of a kind under way at once; what it has given up may not have ended here.
APPENDS_AT_ONCE, APPENDS_EACH = 64, 8
FETCHES_AT_ONCE, FETCHES_EACH = 64, 8
# Each holds a thread of the object store's, and three of its parts in memory.
STORES_AT_ONCE, STORES_EACH = 12, 6
# For a host to hear that its archive has been answered.
FINISHES_WITHIN_S = 10.0


@dataclass(frozen=True)
class LinkTerms:
    """What agents are told and held to. `link_target` is HOST:PORT of the agent link, as agents dial it."""

    link_target: str
    heartbeat_interval_s: float = 2.5
    hello_within_s: float = 10.0


class EnrolmentServicer(agent_pb2_grpc.EnrolmentServiceServicer):
    def __init__(self, world: World, terms: LinkTerms) -> None:
        self._world = world
        self._terms = terms

    async def Enrol(self, request: agent_pb2.EnrolRequest, context: Any) -> agent_pb2.EnrolResponse:
        enrolled = await hosts.enrol(self._world, request.join_token, request.certificate_request)
        return agent_pb2.EnrolResponse(
            host=f"hosts/{enrolled.host_id}",
            certificate=enrolled.certificate_pem,
            ca_certificate=enrolled.ca_pem,
            link_target=self._terms.link_target,
        )


class AgentLinkServicer(agent_pb2_grpc.AgentLinkServiceServicer):
    """`replica_id` names this process in the rows of the hosts whose streams it holds."""

    def __init__(
        self,
        world: World,
        links: Links,
        beats: Beats,
        network: Network,
        terms: LinkTerms,
        decode_report: DecodeReport,
        replica_id: str,
    ) -> None:
        self._world = world
        self._links = links
        self._beats = beats
        self._network = network
        self._terms = terms
        self._decode_report = decode_report
        self._replica_id = replica_id
        self._appending = Admission(APPENDS_AT_ONCE, "logs", APPENDS_EACH)
        self._storing = Admission(STORES_AT_ONCE, "archives", STORES_EACH)
        self._fetching = Admission(FETCHES_AT_ONCE, "archives", FETCHES_EACH)

    async def Link(
        self, request_iterator: AsyncIterator[agent_pb2.AgentMessage], context: Any
    ) -> AsyncIterator[agent_pb2.ControlMessage]:
        host_id = identity.host_id()
        structlog.contextvars.bind_contextvars(host=host_id)
        hello = await self._hello(request_iterator)
        token = self._world.ids.new("l")
        host = await hosts.hello(
            self._world,
            host_id,
            hello.start_id,
            inventory_of(hello.inventory),
            hello.addresses,
            self._replica_id,
            token,
        )
        link = self._links.open(host_id, host.epoch, token)
        reports = Reports(self._world, link, self._decode_report)
        tasks = [
            asyncio.create_task(link.outbox.attend(self._read(link, reports, request_iterator))),
            asyncio.create_task(link.outbox.attend(reports.run())),
        ]
        log.info("link.opened", epoch=host.epoch)
        try:
            interval = duration(self._terms.heartbeat_interval_s)
            yield agent_pb2.ControlMessage(welcome=agent_pb2.Welcome(epoch=host.epoch, heartbeat_interval=interval))
            while (message := await link.outbox.next()) is not None:
                yield message
        finally:
            for task in tasks:
                task.cancel()
            await self._links.close(link)
            log.info("link.closed", epoch=host.epoch)

    async def FetchSpecs(self, request: agent_pb2.FetchSpecsRequest, context: Any) -> agent_pb2.FetchSpecsResponse:
        """Of the caller's own plan, whatever is asked for."""
        host_id = identity.host_id()
        await admitted(self._world, host_id)
        specs = specs_by_digest(await hosts.plan_of(self._world, host_id), self._network)
        return agent_pb2.FetchSpecsResponse(specs={d: specs[d] for d in request.digests if d in specs})

    async def StoreArchive(
        self, request_iterator: AsyncIterator[agent_pb2.StoreArchiveRequest], context: Any
    ) -> AsyncIterator[agent_pb2.StoreArchiveResponse]:
        host_id = identity.host_id()
        try:
            with self._storing.place(), self._storing.share(host_id):
                await archives.store(self._world, host_id, request_iterator)
        except QuarterdeckError:
            await opening(context)
            await _let_finish(request_iterator)
            raise
        yield agent_pb2.StoreArchiveResponse()
        await _let_finish(request_iterator)

    async def FetchArchive(
        self, request: agent_pb2.FetchArchiveRequest, context: Any
    ) -> AsyncIterator[agent_pb2.FetchArchiveResponse]:
        host_id = identity.host_id()
        with self._fetching.place(), self._fetching.share(host_id):
            async for message in archives.fetch(self._world, host_id, request):
                yield message

    async def AppendLog(self, request: agent_pb2.AppendLogRequest, context: Any) -> agent_pb2.AppendLogResponse:
        host_id = identity.host_id()
        with self._appending.place(), self._appending.share(host_id):
            acknowledged = await logs.append(
                self._world,
                host_id,
                request.session_id,
                request.generation,
                request.records,
                request.complete,
            )
        return agent_pb2.AppendLogResponse(acknowledged_sequence=acknowledged)

    async def RenewCertificate(
        self, request: agent_pb2.RenewCertificateRequest, context: Any
    ) -> agent_pb2.RenewCertificateResponse:
        certificate, ca = await hosts.renew(self._world, identity.host_id(), request.certificate_request)
        return agent_pb2.RenewCertificateResponse(certificate=certificate, ca_certificate=ca)

    async def _hello(self, messages: AsyncIterator[agent_pb2.AgentMessage]) -> agent_pb2.Hello:
        """Raises InvalidRequest, WrongState."""
        try:
            async with asyncio.timeout(self._terms.hello_within_s):
                first = await anext(messages)
        except (TimeoutError, StopAsyncIteration):
            raise WrongState("HELLO_MISSING", f"no hello within {self._terms.hello_within_s:g} s") from None
        if not first.HasField("hello"):
            raise InvalidRequest("HELLO_FIRST", "the first message of a link must be hello", field="hello")
        return first.hello

    async def _read(self, link: HostLink, reports: Reports, messages: AsyncIterator[agent_pb2.AgentMessage]) -> None:
        async for message in messages:
            kind = message.WhichOneof("kind")
            if kind == "heartbeat":
                self._beats.heard(link.host_id)
            elif kind == "report":
                self._beats.heard(link.host_id)
                reports.take(message.report)
            elif kind == "signal":
                await self._links.from_host(link, message.signal)
            elif kind == "goodbye":
                await hosts.goodbye(self._world, link.host_id, link.epoch)
                break
            else:
                raise InvalidRequest("HELLO_TWICE", "a link says hello once, first", field="hello")
        link.outbox.end()


async def _let_finish(requests: AsyncIterator[agent_pb2.StoreArchiveRequest]) -> None:
    """What is answered before its end: a host that is in the midst of a message when its call ends is not told why by
    the library. One that has heard of the answer writes no further."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FINISHES_WITHIN_S):
            async for _ in requests:
                continue
