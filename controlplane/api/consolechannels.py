"""Channels to the consoles of running sessions.

Like signalling, a channel goes through whichever replica holds the host's stream. When a link of the chain breaks, its
inbox ends with Unavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from quarterdeck.v1 import agent_pb2

from controlplane.api.channels import Channels, closing
from controlplane.api.links import Links
from controlplane.api.mailbox import Mailbox
from controlplane.api.streaming import ChannelTerms
from controlplane.domain.session import Session
from controlplane.usecases.links import Holder, check_channel, holder_of, unreachable
from controlplane.usecases.world import World

Inbox = Mailbox[agent_pb2.ChannelSignal]


class ConsoleChannels:
    def __init__(self, world: World, links: Links, channels: Channels, terms: ChannelTerms) -> None:
        self._world = world
        self._links = links
        self._channels = channels
        self.terms = terms

    @asynccontextmanager
    async def to(self, session: Session, opening: agent_pb2.ConsoleOpen) -> AsyncIterator[Inbox]:
        """Raises Unavailable when the host cannot be reached; later the inbox does."""
        holder = await holder_of(self._world, session)
        channel_id = self._world.ids.new("ch")
        inbox = self._channels.open(channel_id, session.id)
        receiving = asyncio.create_task(inbox.attend(self._channels.receive(channel_id)))
        watching = asyncio.create_task(inbox.attend(self._watch(session, holder)))
        try:
            message = agent_pb2.ChannelOpen(
                channel_id=channel_id, session_id=session.id, generation=session.generation, console=opening
            )
            if not await self._links.to_host(holder.host_id, agent_pb2.ControlMessage(channel_open=message)):
                raise unreachable(session)
            yield inbox
        finally:
            receiving.cancel()
            watching.cancel()
            self._channels.close(channel_id, session.id)
            left = agent_pb2.ChannelSignal(channel_id=channel_id, signal=closing("the client has left"))
            await self._links.to_host(holder.host_id, agent_pb2.ControlMessage(signal=left))

    async def _watch(self, session: Session, holder: Holder) -> None:
        """Raises as soon as the channel cannot go on; a session that has ended is told by the wrapper, or here."""
        while True:
            await asyncio.sleep(self.terms.recheck_s)
            await check_channel(self._world, session, holder)
