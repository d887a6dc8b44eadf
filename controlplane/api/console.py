"""ConsoleService: a game's output, lines for its input, and actions, over a channel to its wrapper.

Like signalling, the channel goes through whichever replica holds the host's stream. When a link of the chain breaks
the call ends as UNAVAILABLE, and the client goes on from the last sequence it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from quarterdeck.v1 import agent_pb2
from quarterdeck.v1 import console_pb2 as pb
from quarterdeck.v1 import console_pb2_grpc as rpc

from controlplane.api import identity
from controlplane.api.channels import Channels, closing
from controlplane.api.links import Links
from controlplane.api.mailbox import Mailbox
from controlplane.api.mapping.values import last_part
from controlplane.api.streaming import ChannelTerms
from controlplane.domain.errors import WrongState
from controlplane.domain.session import Session
from controlplane.usecases import console
from controlplane.usecases.links import Holder, check_channel, holder_of, unreachable
from controlplane.usecases.world import World

Inbox = Mailbox[agent_pb2.ChannelSignal]


class ConsoleServicer(rpc.ConsoleServiceServicer):
    def __init__(self, world: World, links: Links, channels: Channels, terms: ChannelTerms) -> None:
        self._world = world
        self._links = links
        self._channels = channels
        self._terms = terms

    async def StreamConsole(self, request: pb.StreamConsoleRequest, context: Any) -> AsyncIterator[pb.ConsoleOutput]:
        session = await console.readable(self._world, identity.principal(), last_part(request.session))
        opening = agent_pb2.ConsoleOpen(after_sequence=request.after_sequence)
        async with self._channel(session, opening) as inbox:
            while (message := await inbox.next()) is not None:
                if message.HasField("console_output"):
                    yield message.console_output
                elif message.signal.HasField("close"):
                    await self._ended(session)
                    return

    async def SendConsoleInput(self, request: pb.SendConsoleInputRequest, context: Any) -> pb.SendConsoleInputResponse:
        who, session_id = identity.principal(), last_part(request.session)
        session = await console.typing(self._world, who, session_id, "SendConsoleInput", identity.request_id())
        return await self._type(session, request.lines)

    async def ExecuteAction(self, request: pb.ExecuteActionRequest, context: Any) -> pb.SendConsoleInputResponse:
        session, lines = await console.action(
            self._world,
            identity.principal(),
            last_part(request.session),
            request.action,
            dict(request.parameters),
            identity.request_id(),
        )
        return await self._type(session, lines)

    async def _type(self, session: Session, lines: Sequence[str]) -> pb.SendConsoleInputResponse:
        """Raises WrongState when the game does not take them, Unavailable when nobody can tell whether it did."""
        async with self._channel(session, agent_pb2.ConsoleOpen(lines=lines)) as inbox:
            try:
                async with asyncio.timeout(self._terms.answer_within_s):
                    message = await inbox.next()
            except TimeoutError:
                raise unreachable(session) from None
            if message is not None and message.HasField("console_taken"):
                return pb.SendConsoleInputResponse(sequence=message.console_taken.sequence)
            why = message.signal.close.reason if message is not None else "the channel has ended"
            raise WrongState("INPUT_NOT_TAKEN", f"{session.name} did not take the input: {why}")

    @asynccontextmanager
    async def _channel(self, session: Session, opening: agent_pb2.ConsoleOpen) -> AsyncIterator[Inbox]:
        """Raises Unavailable when the host cannot be reached; later the inbox does."""
        holder = await holder_of(self._world, session)
        channel_id = self._world.ids.new("ch")
        inbox = self._channels.open(channel_id, session.id)
        receiving = asyncio.create_task(self._attend(inbox, self._channels.receive(channel_id)))
        watching = asyncio.create_task(self._attend(inbox, self._watch(session, holder)))
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

    async def _attend(self, inbox: Inbox, work: Any) -> None:
        """Whatever ends the work ends the channel, with that error."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - raised again by whoever reads the inbox
            inbox.end(error)

    async def _watch(self, session: Session, holder: Holder) -> None:
        """Raises as soon as the channel cannot go on; a session that has ended is told by the wrapper, or here."""
        while True:
            await asyncio.sleep(self._terms.recheck_s)
            await check_channel(self._world, session, holder)

    async def _ended(self, session: Session) -> None:
        """Raises Unavailable unless the session is over, or about to be: its host will say so."""
        if not await console.ending(self._world, session):
            raise unreachable(session)
