"""Channels of one link: each joins a browser or a console, by way of the control plane, to a session's wrapper.

Bounded both ways: a wrapper that floods waits for the link, a browser that floods loses its channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from quarterdeck.v1 import agent_pb2, streaming_pb2

from hostagent.plan import WorkloadKey
from hostagent.workloads import Workloads
from hostagent.wrapperlink import WrapperLink, WrapperUnreachable

log = structlog.get_logger()
MAX_CHANNELS = 256
MAX_QUEUED = 64
_CLOSE_GRACE_S = 2.0

Send = Callable[[agent_pb2.ChannelSignal], Awaitable[None]]


class Channels:
    """The open channels. `send` waits while the link is busy."""

    def __init__(self, workloads: Workloads, send: Send) -> None:
        self._workloads = workloads
        self._send = send
        self._inbound: dict[str, asyncio.Queue[streaming_pb2.Signal]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def open(self, opening: agent_pb2.ChannelOpen) -> None:
        """Opens a channel; what comes of it is told on the channel itself. A repeated opening changes nothing.

        Its expire_time is the control plane's to judge: two machines' clocks are never compared.
        """
        channel_id = opening.channel_id
        if channel_id in self._tasks:
            return
        self._inbound[channel_id] = asyncio.Queue(MAX_QUEUED)
        task = asyncio.create_task(self._run(opening), name=f"channel {channel_id}")
        self._tasks[channel_id] = task
        task.add_done_callback(lambda done: self._ended(channel_id, done))

    def deliver(self, message: agent_pb2.ChannelSignal) -> None:
        """Takes one message for a wrapper; one for a channel that is over is dropped."""
        inbound, task = self._inbound.get(message.channel_id), self._tasks.get(message.channel_id)
        if inbound is None or task is None:
            return
        try:
            inbound.put_nowait(message.signal)
        except asyncio.QueueFull:
            log.warning("signalling channel cut off: it floods", channel=message.channel_id)
            task.cancel()
            return
        if message.signal.HasField("close"):
            del self._inbound[message.channel_id]
            asyncio.get_running_loop().call_later(_CLOSE_GRACE_S, task.cancel)

    async def close(self) -> None:
        """Ends all channels: their link is gone."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, opening: agent_pb2.ChannelOpen) -> None:
        reason = "the session's wrapper ended the channel"
        try:
            if len(self._tasks) > MAX_CHANNELS:
                reason = "too many signalling channels on this host"
            elif await self._join(opening):
                return
        except WrapperUnreachable as error:
            reason = f"the session's wrapper is not reachable: {error}"
        close = streaming_pb2.Signal(close=streaming_pb2.SignalClose(reason=reason[:500]))
        await self._send(agent_pb2.ChannelSignal(channel_id=opening.channel_id, signal=close))

    async def _join_console(self, opening: agent_pb2.ChannelOpen, link: WrapperLink) -> None:
        """Types the lines, or passes the output on until either side ends it. Raises WrapperUnreachable."""
        channel_id, console = opening.channel_id, opening.console
        if console.lines:
            taken = agent_pb2.ConsoleTaken(sequence=await link.type(console.lines))
            await self._send(agent_pb2.ChannelSignal(channel_id=channel_id, console_taken=taken))
            return
        async for output in link.console(console.after_sequence):
            await self._send(agent_pb2.ChannelSignal(channel_id=channel_id, console_output=output))

    async def _join(self, opening: agent_pb2.ChannelOpen) -> bool:
        """Passes messages both ways; True when either side has closed the channel in so many words."""
        workload = self._workloads.get(WorkloadKey(opening.session_id, opening.generation))
        if workload is None or workload.link is None:
            raise WrapperUnreachable("this session does not run here")
        if opening.HasField("console"):
            await self._join_console(opening, workload.link)
            return False
        inbound = self._inbound[opening.channel_id]
        async for signal in workload.link.signal(opening.role, _until_close(inbound)):
            await self._send(agent_pb2.ChannelSignal(channel_id=opening.channel_id, signal=signal))
            if signal.HasField("close"):
                return True
        return opening.channel_id not in self._inbound

    def _ended(self, channel_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(channel_id, None)
        self._inbound.pop(channel_id, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("a signalling channel failed", channel=channel_id, exc_info=error)


async def _until_close(inbound: asyncio.Queue[streaming_pb2.Signal]) -> AsyncIterator[streaming_pb2.Signal]:
    while True:
        signal = await inbound.get()
        yield signal
        if signal.HasField("close"):
            return
