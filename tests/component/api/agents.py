"""Agents that follow a script, over real mTLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from quarterdeck.v1 import agent_pb2, agent_pb2_grpc, hosts_pb2, wrapper_pb2

from tests.component.api.keys import Key
from tests.component.api.plane import WITHIN_S, Plane


class Agent:
    """A link that follows a script: what it has received is in `plans`, `acks`, `opened` and `signals`."""

    def __init__(self, channel: grpc.aio.Channel, start_id: str) -> None:
        self.stub = agent_pb2_grpc.AgentLinkServiceStub(channel)
        self.start_id = start_id
        self.call: Any = self.stub.Link()
        self.epoch = 0
        self.sequence = 0
        self.plans: list[agent_pb2.Plan] = []
        self.acks: list[agent_pb2.ReportAck] = []
        self.opened: list[agent_pb2.ChannelOpen] = []
        self.signals: list[agent_pb2.ChannelSignal] = []
        self._changed = asyncio.Condition()
        self._reader: asyncio.Task[None] | None = None

    async def hello(self) -> None:
        inventory = hosts_pb2.Inventory(
            cpu_count=4, encoders=[hosts_pb2.Encoder(encoder_name="libx264", slots=4)], runtimes=["process"]
        )
        message = agent_pb2.Hello(start_id=self.start_id, inventory=inventory, addresses=["127.0.0.1"])
        await self.call.write(agent_pb2.AgentMessage(hello=message))
        first = await self.call.read()
        if first is grpc.aio.EOF:
            await self.call.read() if not self.call.done() else None
            raise AssertionError(f"no welcome: {await self.call.code()} {await self.call.details()}")
        self.epoch = first.welcome.epoch
        assert self.epoch > 0
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while (message := await self.call.read()) is not grpc.aio.EOF:
                heap = {
                    "plan": self.plans,
                    "report_ack": self.acks,
                    "channel_open": self.opened,
                    "signal": self.signals,
                }[message.WhichOneof("kind")]
                async with self._changed:
                    heap.append(getattr(message, message.WhichOneof("kind")))
                    self._changed.notify_all()
        except grpc.aio.AioRpcError:
            pass  # its status is asked for by `ended`
        finally:
            async with self._changed:
                self._changed.notify_all()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S), self._changed:
            await self._changed.wait_for(done)

    async def ended(self) -> tuple[grpc.StatusCode, str]:
        """The status that the link ends with."""
        async with asyncio.timeout(WITHIN_S):
            return await self.call.code(), await self.call.details()

    async def send(self, **message: Any) -> None:
        await self.call.write(agent_pb2.AgentMessage(**message))

    async def report(self, *workloads: wrapper_pb2.WorkloadStatus, epoch: int | None = None) -> int:
        self.sequence += 1
        version = self.plans[-1].version if self.plans else 0
        await self.send(
            report=agent_pb2.Report(
                epoch=self.epoch if epoch is None else epoch,
                sequence=self.sequence,
                observed_plan_version=version,
                workloads=workloads,
            )
        )
        return self.sequence

    async def close(self) -> None:
        self.call.cancel()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)


@asynccontextmanager
async def linked(running: Plane, key: Key, start_id: str = "start-0001") -> AsyncIterator[Agent]:
    async with running.link(key) as channel:
        agent = Agent(channel, start_id)
        try:
            await agent.hello()
            yield agent
        finally:
            await agent.close()


def running_status(planned: agent_pb2.PlannedSession) -> wrapper_pb2.WorkloadStatus:
    status = wrapper_pb2.WorkloadStatus(
        session_id=planned.session_id,
        generation=planned.generation,
        state=wrapper_pb2.WORKLOAD_STATE_RUNNING,
    )
    status.first_frame_after.FromMilliseconds(200)
    status.age.FromMilliseconds(300)
    return status


def exited_status(planned: agent_pb2.PlannedSession) -> wrapper_pb2.WorkloadStatus:
    return wrapper_pb2.WorkloadStatus(
        session_id=planned.session_id,
        generation=planned.generation,
        state=wrapper_pb2.WORKLOAD_STATE_EXITED,
        reason=planned.reason,
        exit_code=0,
    )
