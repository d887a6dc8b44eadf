"""StreamingService: stream tokens, and the relay between a browser and its session's wrapper.

The channel goes browser → gateway → here → (the replica that holds the host's stream) → agent → wrapper. Media never
pass; when a link of this chain breaks the browser asks for a new token and comes again, while the picture goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import structlog
from quarterdeck.v1 import agent_pb2, streaming_pb2, streaming_pb2_grpc

from controlplane.api import identity
from controlplane.api.channels import Channels, closing
from controlplane.api.links import Links
from controlplane.api.mailbox import Mailbox
from controlplane.api.mapping.values import last_part, timestamp
from controlplane.api.specs import Network, ice_server_messages
from controlplane.domain.errors import InvalidRequest, Unavailable, WrongState
from controlplane.domain.session import Session
from controlplane.usecases import streaming
from controlplane.usecases.links import Holder, check_channel, holder_of, unreachable
from controlplane.usecases.world import World

log = structlog.get_logger(__name__)

SIGNALLING_PATH = "/v1/signalling"
PLAYER, VIEWER = "PLAYER", "VIEWER"
ROLES = {
    streaming_pb2.STREAM_ROLE_UNSPECIFIED: PLAYER,
    streaming_pb2.STREAM_ROLE_PLAYER: PLAYER,
    streaming_pb2.STREAM_ROLE_VIEWER: VIEWER,
}


@dataclass(frozen=True)
class ChannelTerms:
    """In seconds. `answer_within_s`: how long a wrapper may take for its first word."""

    token_within_s: float = 10.0
    answer_within_s: float = 10.0
    recheck_s: float = 2.5
    idle_s: float = 300.0


@dataclass
class Channel:
    """One browser's channel. `answered` is set by the wrapper's first word."""

    id: str
    session: Session
    holder: Holder
    inbox: Mailbox[agent_pb2.ChannelSignal]
    answered: bool = False


class StreamingServicer(streaming_pb2_grpc.StreamingServiceServicer):
    def __init__(self, world: World, links: Links, channels: Channels, network: Network, terms: ChannelTerms) -> None:
        self._world = world
        self._links = links
        self._channels = channels
        self._network = network
        self._terms = terms

    async def CreateStreamToken(
        self, request: streaming_pb2.CreateStreamTokenRequest, context: Any
    ) -> streaming_pb2.StreamToken:
        session_id = last_part(request.session)
        token, ends_at = await streaming.create_stream_token(
            self._world, identity.principal(), session_id, ROLES[request.role]
        )
        return streaming_pb2.StreamToken(
            token=token,
            expire_time=timestamp(ends_at),
            signalling_path=SIGNALLING_PATH,
            ice_servers=ice_server_messages(self._network),
        )

    async def Signal(
        self, request_iterator: AsyncIterator[streaming_pb2.SignalRequest], context: Any
    ) -> AsyncIterator[streaming_pb2.SignalResponse]:
        token = await self._token(request_iterator)
        session, role = await streaming.redeem(self._world, token)
        identity.arrived()  # no share of one caller's: of one session few channels may be open
        holder = await holder_of(self._world, session)
        channel_id = self._world.ids.new("ch")
        channel = Channel(channel_id, session, holder, self._channels.open(channel_id, session.id))
        tasks = [asyncio.create_task(channel.inbox.attend(self._channels.receive(channel_id)))]
        try:
            await self._to_host(channel, agent_pb2.ControlMessage(channel_open=_opening(channel, role)))
            tasks.append(asyncio.create_task(channel.inbox.attend(self._read(channel, request_iterator))))
            tasks.append(asyncio.create_task(channel.inbox.attend(self._watch(channel))))
            while (message := await channel.inbox.next()) is not None:
                channel.answered = True
                yield streaming_pb2.SignalResponse(signal=message.signal)
                if message.signal.HasField("close"):
                    return
        finally:
            for task in tasks:
                task.cancel()
            self._channels.close(channel_id, session.id)
            await self._links.to_host(holder.host_id, _message(channel, closing("the browser has left")))

    async def _token(self, requests: AsyncIterator[streaming_pb2.SignalRequest]) -> str:
        """Raises InvalidRequest, WrongState."""
        try:
            async with asyncio.timeout(self._terms.token_within_s):
                first = await anext(requests)
        except (TimeoutError, StopAsyncIteration):
            raise WrongState(
                "STREAM_TOKEN_MISSING", f"no stream token within {self._terms.token_within_s:g} s"
            ) from None
        if not first.HasField("stream_token"):
            raise InvalidRequest(
                "STREAM_TOKEN_FIRST", "the first message must be the stream token", field="stream_token"
            )
        return first.stream_token

    async def _to_host(self, channel: Channel, message: agent_pb2.ControlMessage) -> None:
        """Raises Unavailable when nobody can have taken it."""
        if not await self._links.to_host(channel.holder.host_id, message):
            raise unreachable(channel.session)

    async def _read(self, channel: Channel, requests: AsyncIterator[streaming_pb2.SignalRequest]) -> None:
        async for request in requests:
            if not request.HasField("signal"):
                raise InvalidRequest(
                    "STREAM_TOKEN_TWICE", "a channel takes one stream token, first", field="stream_token"
                )
            await self._to_host(channel, _message(channel, request.signal))
            if request.signal.HasField("close"):
                break
        channel.inbox.end()

    async def _watch(self, channel: Channel) -> None:
        """Raises as soon as the channel may not or cannot go on."""
        try:
            async with asyncio.timeout(self._terms.answer_within_s):
                while not channel.answered:
                    await self._check(channel)
        except TimeoutError:
            raise unreachable(channel.session) from None
        while True:
            await self._check(channel)

    async def _check(self, channel: Channel) -> None:
        await asyncio.sleep(self._terms.recheck_s)
        try:
            await check_channel(self._world, channel.session, channel.holder)
        except Unavailable as error:
            if error.reason == "HOST_UNREACHABLE":
                raise
            log.warning("channel.recheck_postponed", reason=error.reason)


def _opening(channel: Channel, role: str) -> agent_pb2.ChannelOpen:
    return agent_pb2.ChannelOpen(
        channel_id=channel.id,
        session_id=channel.session.id,
        generation=channel.session.generation,
        role=streaming_pb2.STREAM_ROLE_VIEWER if role == VIEWER else streaming_pb2.STREAM_ROLE_PLAYER,
    )


def _message(channel: Channel, signal: streaming_pb2.Signal) -> agent_pb2.ControlMessage:
    return agent_pb2.ControlMessage(signal=agent_pb2.ChannelSignal(channel_id=channel.id, signal=signal))
