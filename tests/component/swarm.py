"""A swarm of simulated hosts: each enrols with a join token and speaks the agent link over mTLS, as a real agent does;
only the games are missing. What it was told to run is kept, to be compared with what the database says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc
from quarterdeck.v1 import agent_pb2, agent_pb2_grpc, hosts_pb2, sessions_pb2, wrapper_pb2

from tests.component.api.keys import Key

CALL_S = 60.0
PATIENCE_BEATS = 8


@dataclass(frozen=True)
class Door:
    """Where one API replica listens."""

    api: str
    link: str
    enrolment: str


class SimulatedHost:
    """`plan` is the last one; `told` counts the sessions of all plans; `ended` are those whose game has exited."""

    def __init__(
        self, stub: agent_pb2_grpc.AgentLinkServiceStub, name: str, slots: int, changed: asyncio.Event
    ) -> None:
        self.name = name
        self.slots = slots
        self.plan = agent_pb2.Plan()
        self.told: Counter[tuple[str, int]] = Counter()
        self.most = 0
        self.ended: set[str] = set()
        self.sequence = self.acked = 0
        self._changed = changed
        self._epoch = 0
        self._call: Any = stub.Link()
        self._tasks: list[asyncio.Task[None]] = []
        # The library takes one write at a time, and ends the call at a second.
        self._writing = asyncio.Lock()

    async def link(self) -> None:
        inventory = hosts_pb2.Inventory(
            cpu_count=64,
            encoders=[hosts_pb2.Encoder(encoder_name="libx264", slots=self.slots)],
            runtimes=["process"],
        )
        hello = agent_pb2.Hello(start_id=f"start-{self.name}", inventory=inventory, addresses=["192.0.2.1"])
        await self._send(hello=hello)
        welcome = (await self._call.read()).welcome
        self._epoch = welcome.epoch
        beat_s = welcome.heartbeat_interval.ToMilliseconds() / 1000
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._beat(beat_s))]
        for task in self._tasks:
            task.add_done_callback(lambda _: self._changed.set())

    async def leave(self) -> None:
        self._call.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def end_games(self, count: int) -> None:
        """So many of the games that run here exit by themselves."""
        playing = [planned.session_id for planned in self.plan.sessions if planned.session_id not in self.ended]
        assert len(playing) >= count
        self.ended.update(playing[:count])
        await self._report()

    @property
    def quiet(self) -> bool:
        """Everything said has been accepted."""
        return self.acked == self.sequence

    def check(self) -> None:
        """Raises what ended the link, if it has ended."""
        for task in self._tasks:
            if task.done():
                task.result()
                raise AssertionError(f"the link of {self.name} was closed")

    async def _read(self) -> None:
        while (message := await self._call.read()) is not grpc.aio.EOF:
            if message.HasField("plan"):
                self.plan = message.plan
                self.told.update((planned.session_id, planned.generation) for planned in self.plan.sessions)
                self.most = max(self.most, len(self.plan.sessions))
                await self._report()
            elif message.HasField("report_ack"):
                self.acked = message.report_ack.sequence
            self._changed.set()

    async def _beat(self, every_s: float) -> None:
        waited = acked = 0
        while True:
            await asyncio.sleep(every_s)
            await self._send(heartbeat=agent_pb2.Heartbeat())
            waited = 0 if self.quiet or self.acked > acked else waited + 1
            acked = self.acked
            if waited >= PATIENCE_BEATS:  # the same once more: a new one at each beat would never be caught up with
                waited = 0
                await self._tell()

    async def _report(self) -> None:
        self.sequence += 1
        await self._tell()

    async def _tell(self) -> None:
        report = agent_pb2.Report(
            epoch=self._epoch,
            sequence=self.sequence,
            observed_plan_version=self.plan.version,
            workloads=[self._status(planned) for planned in self.plan.sessions],
        )
        await self._send(report=report)

    def _status(self, planned: agent_pb2.PlannedSession) -> wrapper_pb2.WorkloadStatus:
        status = wrapper_pb2.WorkloadStatus(session_id=planned.session_id, generation=planned.generation)
        status.age.FromMilliseconds(300)
        if planned.session_id in self.ended:
            status.state, status.reason = wrapper_pb2.WORKLOAD_STATE_EXITED, sessions_pb2.SESSION_REASON_GAME_EXITED
        elif planned.want == agent_pb2.PlannedSession.WANT_STOP:
            status.state, status.reason = wrapper_pb2.WORKLOAD_STATE_EXITED, planned.reason
        else:
            status.state = wrapper_pb2.WORKLOAD_STATE_RUNNING
            status.first_frame_after.FromMilliseconds(200)
        return status

    async def _send(self, **message: Any) -> None:
        async with self._writing:
            await self._call.write(agent_pb2.AgentMessage(**message))


class Swarm:
    def __init__(self, hosts: Sequence[SimulatedHost], changed: asyncio.Event) -> None:
        self.hosts = hosts
        self._changed = changed

    @property
    def told(self) -> Counter[tuple[str, int]]:
        """How many hosts each (session, generation) was ever planned on."""
        return Counter(key for host in self.hosts for key in host.told)

    def settled(self, sessions: int) -> bool:
        """So many have been planned, and all that was reported of them is accepted."""
        return all(host.quiet for host in self.hosts) and len(self.told) == sessions

    async def until(self, done: Callable[[], bool], within_s: float) -> None:
        """Looks again after each message that any host receives. Raises what ended a link, if one ends meanwhile."""
        try:
            async with asyncio.timeout(within_s):
                while not done():
                    for host in self.hosts:
                        host.check()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            late = {host.name: (host.acked, host.sequence) for host in self.hosts if not host.quiet}
            raise AssertionError(f"{len(self.told)} sessions were planned; reports not accepted: {late}") from None


async def _enrolled(door: Door, ca_pem: str, join_token: str) -> Key:
    key = Key.new()
    async with grpc.aio.secure_channel(door.enrolment, grpc.ssl_channel_credentials(ca_pem.encode())) as channel:
        request = agent_pb2.EnrolRequest(join_token=join_token, certificate_request=key.request())
        answer = await agent_pb2_grpc.EnrolmentServiceStub(channel).Enrol(request, timeout=CALL_S)
    return replace(key, certificate=answer.certificate, ca=answer.ca_certificate)


@asynccontextmanager
async def swarming(doors: Sequence[Door], ca_pem: str, join_tokens: dict[str, str], slots: int) -> AsyncIterator[Swarm]:
    """A host for each join token, by name, each linked to one of the replicas in turn."""
    changed = asyncio.Event()
    async with AsyncExitStack() as stack:

        async def join(number: int, name: str, join_token: str) -> SimulatedHost:
            door = doors[number % len(doors)]
            key = await _enrolled(door, ca_pem, join_token)
            credentials = grpc.ssl_channel_credentials(key.ca.encode(), key.pem, key.certificate.encode())
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = await stack.enter_async_context(grpc.aio.secure_channel(door.link, credentials, options=options))
            host = SimulatedHost(agent_pb2_grpc.AgentLinkServiceStub(channel), name, slots, changed)
            await host.link()
            stack.push_async_callback(host.leave)
            return host

        hosts = await asyncio.gather(*(join(n, *item) for n, item in enumerate(join_tokens.items())))
        yield Swarm(hosts, changed)
