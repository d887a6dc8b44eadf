"""One stream of the agent link, from hello to its end: heartbeats, whole reports, plans and signalling."""

from __future__ import annotations

import asyncio
from typing import Protocol

import grpc
import structlog
from quarterdeck.v1 import agent_pb2, agent_pb2_grpc

from hostagent.calls import LinkBroken
from hostagent.channels import Channels
from hostagent.plan import Plan, Planned, Want, WorkloadKey
from hostagent.reporting import ReportSchedule
from hostagent.workloads import Workloads

log = structlog.get_logger()
_WELCOME_S = 10.0
_GOODBYE_S = 2.0
_DEFAULT_HEARTBEAT_S = 2.5
# The link's queue towards the control plane: signalling only. Heartbeats and reports are made when they are sent.
_MAX_QUEUED_SIGNALS = 256
# Between two looks at what else is due: a session that floods its channel silences no host.
_SIGNALS_AT_ONCE = 16

Call = grpc.aio.StreamStreamCall[agent_pb2.AgentMessage, agent_pb2.ControlMessage]


class LinkedHost(Protocol):
    """What the link asks of the host, and tells it."""

    def hello(self) -> agent_pb2.Hello:
        """What to say first."""

    def on_plan(self, plan: Plan) -> None:
        """A plan came, of this link."""

    def observed_plan_version(self) -> int:
        """The newest plan version of this link that has been acted upon; 0 for none."""

    def on_proof(self, proven_at: float) -> None:
        """The control plane surely knew this host at `proven_at` (event-loop time, seconds)."""


class LinkStream:
    """One stream. `run` returns after a goodbye and raises LinkBroken or AioRpcError otherwise."""

    def __init__(
        self,
        stub: agent_pb2_grpc.AgentLinkServiceAsyncStub,
        host: LinkedHost,
        workloads: Workloads,
        schedule: ReportSchedule,
    ) -> None:
        self._stub = stub
        self._host = host
        self._workloads = workloads
        self._schedule = schedule
        self._signals: asyncio.Queue[agent_pb2.ChannelSignal] = asyncio.Queue(_MAX_QUEUED_SIGNALS)
        self._channels = Channels(workloads, self._queue)
        self._wake = asyncio.Event()
        self._goodbye: str | None = None
        self._heartbeat_s = _DEFAULT_HEARTBEAT_S
        self.epoch = 0

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def leave(self, reason: str) -> None:
        """Says goodbye after what is still to be sent."""
        self._goodbye = reason
        self._wake.set()

    async def run(self) -> None:
        """Speaks until the stream ends."""
        call: Call = self._stub.Link()
        try:
            await call.write(agent_pb2.AgentMessage(hello=self._host.hello()))
            await self._take_welcome(call)
            self._schedule.linked()
            reading = asyncio.create_task(self._read(call))
            writing = asyncio.create_task(self._write(call))
            try:
                await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
                if writing.done() and not writing.exception():
                    await asyncio.wait({reading}, timeout=_GOODBYE_S)
                    return
                # The reader knows why the stream ended; the writer only that it did.
                await asyncio.wait({reading}, timeout=0.2)
                for task in (reading, writing):
                    if task.done():
                        task.result()
            finally:
                reading.cancel()
                writing.cancel()
                await asyncio.wait({reading, writing})
                await self._channels.close()
        except asyncio.InvalidStateError as error:
            # What grpc.aio raises for a write to a stream that has just ended.
            raise LinkBroken(await _why(call)) from error
        finally:
            call.cancel()

    async def _take_welcome(self, call: Call) -> None:
        try:
            async with asyncio.timeout(_WELCOME_S):
                first = await call.read()
        except TimeoutError as error:
            raise LinkBroken(f"no welcome within {_WELCOME_S:.0f} s") from error
        if not isinstance(first, agent_pb2.ControlMessage) or not first.HasField("welcome"):
            raise LinkBroken(await _why(call) if first is grpc.aio.EOF else "the first answer was no welcome")
        self.epoch = first.welcome.epoch
        if first.welcome.HasField("heartbeat_interval"):
            self._heartbeat_s = max(0.1, first.welcome.heartbeat_interval.ToNanoseconds() / 1e9)
        log.info("linked", epoch=self.epoch)

    async def _read(self, call: Call) -> None:
        while True:
            message = await call.read()
            if not isinstance(message, agent_pb2.ControlMessage):
                if self._goodbye is not None:
                    return
                raise LinkBroken(await _why(call))
            match message.WhichOneof("kind"):
                case "plan":
                    self._host.on_plan(plan_of(message.plan))
                case "report_ack":
                    self._take_ack(message.report_ack)
                case "channel_open":
                    self._channels.open(message.channel_open)
                case "signal":
                    self._channels.deliver(message.signal)
                case other:
                    log.warning("unknown message from the control plane", kind=other)

    def _take_ack(self, ack: agent_pb2.ReportAck) -> None:
        if ack.epoch != self.epoch:
            return
        proven_at = self._schedule.acknowledge(ack.sequence)
        if proven_at is not None:
            self._host.on_proof(proven_at)

    async def _write(self, call: Call) -> None:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + self._heartbeat_s
        while True:
            self._wake.clear()
            for _ in range(min(self._signals.qsize(), _SIGNALS_AT_ONCE)):
                await call.write(agent_pb2.AgentMessage(signal=self._signals.get_nowait()))
            last_word = self._goodbye is not None and self._schedule.urgent
            if last_word or self._schedule.due_at() <= loop.time():
                await call.write(agent_pb2.AgentMessage(report=self._report(loop.time())))
            if self._goodbye is not None:
                await call.write(agent_pb2.AgentMessage(goodbye=agent_pb2.Goodbye(reason=self._goodbye)))
                await call.done_writing()
                return
            if beat_at <= loop.time():
                await call.write(agent_pb2.AgentMessage(heartbeat=agent_pb2.Heartbeat()))
                beat_at = loop.time() + self._heartbeat_s
            if not self._signals.empty():
                continue
            try:
                async with asyncio.timeout_at(min(beat_at, self._schedule.due_at())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _report(self, now: float) -> agent_pb2.Report:
        unstored, more = self._workloads.around.saves.unstored()
        return agent_pb2.Report(
            epoch=self.epoch,
            sequence=self._schedule.take(now),
            observed_plan_version=self._host.observed_plan_version(),
            workloads=self._workloads.report(),
            unstored_saves=unstored,
            unstored_saves_more=more,
        )

    async def _queue(self, signal: agent_pb2.ChannelSignal) -> None:
        await self._signals.put(signal)
        self._wake.set()


def plan_of(message: agent_pb2.Plan) -> Plan:
    """The plan as the diff reads it; a line that wants nothing known is left to the next version of the agent."""
    wants = {agent_pb2.PlannedSession.WANT_RUN: Want.RUN, agent_pb2.PlannedSession.WANT_STOP: Want.STOP}
    planned = tuple(
        Planned(
            WorkloadKey(line.session_id, line.generation),
            line.spec_digest,
            wants[line.want],
            int(line.reason),
            line.backup_id,
        )
        for line in message.sessions
        if line.want in wants
    )
    return Plan(message.version, planned)


async def _why(call: Call) -> str:
    if not call.done():
        return "the control plane closed the link"
    code, details = await call.code(), await call.details()
    return f"{code.name}: {details}" if details else code.name
