"""A control plane of two real listeners, enrolment (TLS) and agent link (mTLS), that remembers what agents say."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from quarterdeck.v1 import agent_pb2, agent_pb2_grpc, sessions_pb2, wrapper_pb2

from controlplane.adapters.ca import FileCertificateAuthority

RUN, STOP = agent_pb2.PlannedSession.WANT_RUN, agent_pb2.PlannedSession.WANT_STOP
HEARTBEAT_S = 0.2


@dataclass
class Stream:
    """One link: what came over it, and the queue of what goes back (None ends it)."""

    hello: agent_pb2.Hello
    epoch: int
    certificate: str
    out: asyncio.Queue[agent_pb2.ControlMessage | None] = field(default_factory=asyncio.Queue)
    reports: list[agent_pb2.Report] = field(default_factory=list)
    signals: list[agent_pb2.ChannelSignal] = field(default_factory=list)
    heartbeats: int = 0
    goodbye: str | None = None
    over: bool = False


class FakePlane(agent_pb2_grpc.EnrolmentServiceServicer, agent_pb2_grpc.AgentLinkServiceServicer):
    """`start` it; set plans with `plan`; await what happens with `until`."""

    def __init__(self, directory: Path, cert_ttl_s: float = 3600) -> None:
        self.ca = FileCertificateAuthority(directory, cert_ttl_s)
        self.tokens = {"token-1", "token-2"}
        self.streams: list[Stream] = []
        self.specs: dict[str, bytes] = {}
        self.giving_specs = asyncio.Event()
        self.giving_specs.set()
        self.specs_asked = 0
        self.acknowledging = True
        self.renewals = 0
        self.enrolments = 0
        self.lose_answers = 0
        self.lines: list[agent_pb2.PlannedSession] = []
        # (sequence, stream, text) by session; what else to answer than yes; sessions whose log is complete.
        self.logged: dict[str, list[tuple[int, str, str]]] = {}
        self.log_refusal: grpc.StatusCode | None = None
        self.log_refused = 0
        self.log_complete: set[str] = set()
        self.version = 0
        self._starts: list[str] = []
        self._news = asyncio.Condition()

    async def start(self, link_port: int = 0) -> None:
        server = self.ca.server_certificate([])
        pair = [(server.key_pem, server.chain_pem)]
        self._enrolment = grpc.aio.server()
        agent_pb2_grpc.add_EnrolmentServiceServicer_to_server(self, self._enrolment)
        port = self._enrolment.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pair))
        self.enrolment_target = f"127.0.0.1:{port}"
        self._link = grpc.aio.server()
        agent_pb2_grpc.add_AgentLinkServiceServicer_to_server(self, self._link)
        credentials = grpc.ssl_server_credentials(pair, self.ca.ca_pem.encode(), require_client_auth=True)
        self.link_target = f"127.0.0.1:{self._link.add_secure_port(f'127.0.0.1:{link_port}', credentials)}"
        await self._enrolment.start()
        await self._link.start()

    async def stop(self) -> None:
        await self._link.stop(0)
        await self._enrolment.stop(0)

    async def until(self, condition: Callable[[], object], timeout_s: float = 60) -> None:
        async with asyncio.timeout(timeout_s), self._news:
            await self._news.wait_for(condition)

    @property
    def stream(self) -> Stream:
        """The newest link."""
        return self.streams[-1]

    def reported(self, session_id: str, generation: int = 1) -> wrapper_pb2.WorkloadStatus | None:
        """The workload's line in the newest report of the newest link."""
        if not self.streams or not self.stream.reports:
            return None
        lines = self.stream.reports[-1].workloads
        return next((w for w in lines if (w.session_id, w.generation) == (session_id, generation)), None)

    def is_in(self, session_id: str, state: int, generation: int = 1) -> bool:
        status = self.reported(session_id, generation)
        return status is not None and status.state == state

    def add_spec(self, session_id: str, generation: int = 1, behaviour: str = "", **fields: object) -> str:
        """Makes a spec; returns its digest."""
        spec = wrapper_pb2.SessionSpec(session_id=session_id, generation=generation, **fields)
        spec.deployment.command.append("unused")
        spec.deployment.environment["STANDIN"] = behaviour
        spec.deployment.stop_grace.FromMilliseconds(200)
        content = spec.SerializeToString(deterministic=True)
        digest = hashlib.sha256(content).hexdigest()
        self.specs[digest] = content
        return digest

    def plan(self, *lines: agent_pb2.PlannedSession) -> None:
        """The next version of the plan; goes to the newest link, and to each later one at once."""
        self.version += 1
        self.lines = list(lines)
        if self.streams:
            self._send_plan(self.stream)

    def _send_plan(self, stream: Stream) -> None:
        plan = agent_pb2.Plan(version=self.version, sessions=self.lines)
        stream.out.put_nowait(agent_pb2.ControlMessage(plan=plan))

    async def Enrol(self, request, context) -> agent_pb2.EnrolResponse:
        if request.join_token not in self.tokens:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the join token is unknown, used or expired")
        self.enrolments += 1
        certificate, _, _ = self.ca.issue_host_certificate("vm-1", request.certificate_request)
        if self.lose_answers > 0:
            self.lose_answers -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
        self.tokens.discard(request.join_token)
        return agent_pb2.EnrolResponse(
            host="hosts/vm-1", certificate=certificate, ca_certificate=self.ca.ca_pem, link_target=self.link_target
        )

    async def RenewCertificate(self, request, context) -> agent_pb2.RenewCertificateResponse:
        certificate, _, _ = self.ca.issue_host_certificate("vm-1", request.certificate_request)
        self.renewals += 1
        return agent_pb2.RenewCertificateResponse(certificate=certificate, ca_certificate=self.ca.ca_pem)

    async def FetchSpecs(self, request, context) -> agent_pb2.FetchSpecsResponse:
        async with self._news:
            self.specs_asked += 1
            self._news.notify_all()
        await self.giving_specs.wait()
        return agent_pb2.FetchSpecsResponse(specs={d: self.specs[d] for d in request.digests if d in self.specs})

    async def AppendLog(self, request, context) -> agent_pb2.AppendLogResponse:
        if self.log_refusal is not None:
            self.log_refused += 1
            async with self._news:
                self._news.notify_all()
            await context.abort(self.log_refusal, "refused")
        known = self.logged.setdefault(request.session_id, [])
        for record in gzip.decompress(request.records).decode().split("\n")[:-1] if request.records else ():
            sequence, _, stream, text = record.split("\t", 3)
            if not known or int(sequence) > known[-1][0]:
                known.append((int(sequence), stream, text))
        if request.complete:
            self.log_complete.add(request.session_id)
        async with self._news:
            self._news.notify_all()
        return agent_pb2.AppendLogResponse(acknowledged_sequence=known[-1][0] if known else 0)

    async def Link(self, request_iterator, context) -> AsyncIterator[agent_pb2.ControlMessage]:
        first = await anext(request_iterator)
        if first.hello.start_id not in self._starts:
            self._starts.append(first.hello.start_id)
        epoch = self._starts.index(first.hello.start_id) + 1
        stream = Stream(first.hello, epoch, context.auth_context()["x509_pem_cert"][0].decode())
        welcome = agent_pb2.Welcome(epoch=epoch)
        welcome.heartbeat_interval.FromMilliseconds(int(HEARTBEAT_S * 1000))
        yield agent_pb2.ControlMessage(welcome=welcome)
        if self.version:
            self._send_plan(stream)
        listening = asyncio.create_task(self._listen(stream, request_iterator))
        try:
            async with self._news:
                self.streams.append(stream)
                self._news.notify_all()
            while (message := await stream.out.get()) is not None:
                yield message
        finally:
            stream.over = True
            listening.cancel()

    async def _listen(self, stream: Stream, messages: AsyncIterator[agent_pb2.AgentMessage]) -> None:
        async for message in messages:
            match message.WhichOneof("kind"):
                case "heartbeat":
                    stream.heartbeats += 1
                case "report":
                    stream.reports.append(message.report)
                    if self.acknowledging:
                        ack = agent_pb2.ReportAck(epoch=message.report.epoch, sequence=message.report.sequence)
                        stream.out.put_nowait(agent_pb2.ControlMessage(report_ack=ack))
                case "signal":
                    stream.signals.append(message.signal)
                case "goodbye":
                    stream.goodbye = message.goodbye.reason
            async with self._news:
                self._news.notify_all()
        stream.out.put_nowait(None)


def run_line(session_id: str, digest: str, generation: int = 1) -> agent_pb2.PlannedSession:
    return agent_pb2.PlannedSession(session_id=session_id, generation=generation, spec_digest=digest, want=RUN)


def stop_line(session_id: str, digest: str, generation: int = 1) -> agent_pb2.PlannedSession:
    reason = sessions_pb2.SESSION_REASON_STOP_REQUESTED
    return agent_pb2.PlannedSession(
        session_id=session_id, generation=generation, spec_digest=digest, want=STOP, reason=reason
    )
