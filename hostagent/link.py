"""The host's link to the control plane: kept up for ever, over mTLS, with a certificate that is renewed in time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace

import grpc
import structlog
from quarterdeck.v1 import agent_pb2, agent_pb2_grpc

from hostagent.backoff import full_jitter_s
from hostagent.calls import LinkBroken, heard_when_broken
from hostagent.identity import Identity, IdentityBroken, IdentityStore, certificate_request, checked, new_key
from hostagent.linkstream import LinkedHost, LinkStream
from hostagent.reporting import ReportSchedule
from hostagent.workloads import Workloads

log = structlog.get_logger()
_BASE_S = 0.2
_CAP_S = 5.0
# A link that lived this long was a good one: the next try begins without delay again.
_GOOD_LINK_S = 10.0
_CALL_S = 10.0
# The control plane waits for its object store meanwhile.
_LOG_CALL_S = 60.0
_RENEWAL_CAP_S = 60.0
_LONGEST_SLEEP_S = 60.0
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # A replica that is frozen rather than dead is noticed by its missing answer to a ping.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


class _Again(Exception):
    """Link again at once: the certificate was renewed, or there is something new to say in the hello."""


class Link:
    """Keeps the one stream up. `lost` is called each time it breaks."""

    def __init__(
        self,
        store: IdentityStore,
        identity: Identity,
        host: LinkedHost,
        workloads: Workloads,
        lost: Callable[[], None],
        link_target: str | None = None,
    ) -> None:
        self._store = store
        self._identity = identity
        self._host = host
        self._workloads = workloads
        self._lost = lost
        self._link_target = link_target
        self._schedule = ReportSchedule()
        self._stub: agent_pb2_grpc.AgentLinkServiceAsyncStub | None = None
        self._stream: LinkStream | None = None
        self._leaving = asyncio.Event()
        self._again = asyncio.Event()

    @property
    def stub(self) -> agent_pb2_grpc.AgentLinkServiceAsyncStub | None:
        """For calls beside the stream; None while there is no link."""
        return self._stub

    def report(self, urgent: bool) -> None:
        """Something to report has changed."""
        self._schedule.lease_s = self._workloads.shortest_lease_s()
        self._schedule.changed(urgent)
        if self._stream is not None:
            self._stream.wake()

    def again(self) -> None:
        """The hello has changed: says it anew, on a new stream."""
        self._again.set()

    async def fetch_spec(self, digest: str) -> bytes | None:
        """The serialized spec; None when there is no link, or the control plane leaves it out."""
        if self._stub is None:
            return None
        try:
            with heard_when_broken():
                response = await self._stub.FetchSpecs(agent_pb2.FetchSpecsRequest(digests=[digest]), timeout=_CALL_S)
        except (grpc.aio.AioRpcError, LinkBroken) as error:
            log.warning("spec not fetched", digest=digest, why=_words(error))
            return None
        return response.specs.get(digest)

    async def append_log(self, request: agent_pb2.AppendLogRequest) -> int:
        """The sequence up to which the log is stored. Raises LinkBroken while there is no link, AioRpcError."""
        if self._stub is None:
            raise LinkBroken("no link")
        with heard_when_broken():
            response = await self._stub.AppendLog(request, timeout=_LOG_CALL_S)
        acknowledged: int = response.acknowledged_sequence
        return acknowledged

    async def run(self) -> None:
        """Returns after `leave`."""
        loop = asyncio.get_running_loop()
        attempt = 0
        while not self._leaving.is_set():
            began = loop.time()
            try:
                await self._once()
                return
            except _Again:
                continue
            except (grpc.aio.AioRpcError, LinkBroken) as error:
                why = _words(error)
            attempt = 0 if loop.time() - began >= _GOOD_LINK_S else attempt + 1
            delay_s = full_jitter_s(attempt, _BASE_S, _CAP_S, random.uniform)
            log.warning("link down", why=why, retry_in_s=round(delay_s, 2))
            if self._identity.seems_over():
                log.error("this host's certificate has ended: enrol it again with a new join token")
            try:
                async with asyncio.timeout(delay_s):
                    await self._leaving.wait()
            except TimeoutError:
                continue

    def leave(self, reason: str) -> None:
        """Says goodbye, if there is a link, and makes `run` return."""
        self._leaving.set()
        if self._stream is not None:
            self._stream.leave(reason)

    async def _once(self) -> None:
        identity = self._identity
        self._again.clear()
        credentials = grpc.ssl_channel_credentials(
            root_certificates=identity.ca_certificate.encode(),
            private_key=identity.key.encode(),
            certificate_chain=identity.certificate.encode(),
        )
        target = self._link_target or identity.link_target
        async with grpc.aio.secure_channel(target, credentials, options=_OPTIONS) as channel:
            stub: agent_pb2_grpc.AgentLinkServiceAsyncStub = agent_pb2_grpc.AgentLinkServiceStub(channel)
            stream = LinkStream(stub, self._host, self._workloads, self._schedule)
            self._stub, self._stream = stub, stream
            speaking = asyncio.create_task(stream.run(), name="link stream")
            renewing = asyncio.create_task(self._renew_in_time(stub), name="certificate renewal")
            again = asyncio.create_task(self._again.wait(), name="link again")
            tasks = {speaking, renewing, again}
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if speaking.done():
                    speaking.result()
                else:
                    if renewing.done():
                        renewing.result()
                    raise _Again
            finally:
                self._stub = self._stream = None
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                self._lost()

    async def _renew_in_time(self, stub: agent_pb2_grpc.AgentLinkServiceAsyncStub) -> None:
        """Returns when a new certificate is stored."""
        # In short steps, because a sleep does not count the time that the machine itself is suspended.
        while (wait_s := self._identity.renew_at_wall_s() - time.time()) > 0:  # noqa: ASYNC110 - waits for time alone
            await asyncio.sleep(min(wait_s, _LONGEST_SLEEP_S))
        attempt = 0
        while True:
            try:
                await self._renew(stub)
                return
            except (grpc.aio.AioRpcError, IdentityBroken) as error:
                delay_s = full_jitter_s(attempt, 1.0, _RENEWAL_CAP_S, random.uniform)
                attempt += 1
                log.warning("certificate not renewed", why=str(error), retry_in_s=round(delay_s, 1))
                await asyncio.sleep(delay_s)

    async def _renew(self, stub: agent_pb2_grpc.AgentLinkServiceAsyncStub) -> None:
        key = new_key()
        request = agent_pb2.RenewCertificateRequest(certificate_request=certificate_request(key))
        response = await stub.RenewCertificate(request, timeout=_CALL_S)
        renewed = checked(
            replace(
                self._identity,
                key=key,
                certificate=response.certificate,
                ca_certificate=response.ca_certificate or self._identity.ca_certificate,
                received_wall_s=time.time(),
            )
        )
        self._store.save(renewed)
        self._identity = renewed
        log.info("certificate renewed", host=renewed.host)


def _words(error: grpc.aio.AioRpcError | LinkBroken) -> str:
    return f"{error.code().name}: {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else str(error)
