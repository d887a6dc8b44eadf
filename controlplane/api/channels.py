"""Signalling channels where browsers enter: answers find the open channel here, or by the bus on another replica."""

from __future__ import annotations

from collections import Counter

from quarterdeck.v1 import agent_pb2, streaming_pb2

from controlplane.api.mailbox import Mailbox
from controlplane.domain import subjects
from controlplane.domain.errors import Exhausted
from controlplane.usecases.world import World

MAX_WAITING_SIGNALS = 64
MAX_OPEN_PER_SESSION = 8


class Channels:
    """The channels whose browsers are connected to this replica."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: dict[str, Mailbox[agent_pb2.ChannelSignal]] = {}
        self._per_session: Counter[str] = Counter()

    def open(self, channel_id: str, session_id: str) -> Mailbox[agent_pb2.ChannelSignal]:
        """Raises Exhausted when the session has too many channels open here."""
        if self._per_session[session_id] >= MAX_OPEN_PER_SESSION:
            raise Exhausted(
                "TOO_MANY_CHANNELS", f"sessions/{session_id} has too many open channels; close one", retry_after_s="5"
            )
        self._per_session[session_id] += 1
        mailbox: Mailbox[agent_pb2.ChannelSignal] = Mailbox(MAX_WAITING_SIGNALS, "this client")
        self._open[channel_id] = mailbox
        return mailbox

    def close(self, channel_id: str, session_id: str) -> None:
        if self._open.pop(channel_id, None) is not None:
            self._per_session[session_id] -= 1
            self._per_session += Counter()  # drops the zeroes

    async def answer(self, message: agent_pb2.ChannelSignal) -> None:
        """One message towards the client, wherever it is connected; lost when it is nowhere."""
        channel_id = message.channel_id
        mailbox = self._open.get(channel_id)
        if mailbox is not None:
            mailbox.put(message)
            return
        await self._world.bus.hint(subjects.signal(channel_id), message.SerializeToString())

    async def receive(self, channel_id: str) -> None:
        """Takes answers off the bus, until cancelled."""
        async with self._world.bus.subscribe(subjects.signal(channel_id)) as messages:
            async for _, payload in messages:
                mailbox = self._open.get(channel_id)
                if mailbox is None:
                    return
                mailbox.put(agent_pb2.ChannelSignal.FromString(payload))


def closing(reason: str) -> streaming_pb2.Signal:
    return streaming_pb2.Signal(close=streaming_pb2.SignalClose(reason=reason))
