"""The streams of hosts that this replica holds: what goes down them, and when one must end.

Level-triggered: once a second, and at once on a hint, the database is asked what each host should know; a lost hint
costs a second, a lost second costs another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import structlog
from quarterdeck.v1 import agent_pb2

from controlplane.api.channels import Channels, closing
from controlplane.api.mailbox import Mailbox
from controlplane.api.specs import Network, plan_message
from controlplane.domain import subjects
from controlplane.domain.errors import Conflict, Forbidden, QuarterdeckError, Unavailable, WrongState
from controlplane.domain.host import LinkState
from controlplane.usecases import hosts
from controlplane.usecases.links import link_states
from controlplane.usecases.world import World

log = structlog.get_logger(__name__)

MAX_WAITING_MESSAGES = 256
MAX_CHANNELS_PER_HOST = 64
MAX_CHANNELS_PER_SESSION = 8
PLANS_AT_ONCE = 8
POLL_S = 1.0


@dataclass
class OpenChannel:
    session_id: str
    last_active: float


@dataclass
class HostLink:
    """One host's stream. `plan_version` and `acked` are what it was last told."""

    host_id: str
    epoch: int
    token: str
    outbox: Mailbox[agent_pb2.ControlMessage]
    plan_version: int = -1
    acked: int = 0
    channels: dict[str, OpenChannel] = field(default_factory=dict)

    def ack(self, sequence: int) -> None:
        if sequence > self.acked:
            self.acked = sequence
            self.outbox.put(
                agent_pb2.ControlMessage(report_ack=agent_pb2.ReportAck(epoch=self.epoch, sequence=sequence))
            )


def verdict(link: HostLink, state: LinkState | None) -> QuarterdeckError | None:
    """Why a stream must end, given what the database says of its host now. Pure."""
    if state is None or state.revoked:
        return Forbidden("HOST_REVOKED", "this host is unknown or revoked; enrol it again with a new join token")
    if state.epoch != link.epoch:
        return WrongState("EPOCH_OLD", f"a newer start of this host's agent is known: {state.epoch}; say hello again")
    if state.link_token != link.token:
        return Conflict("LINK_SUPERSEDED", "a newer link of this host has taken over")
    return None


async def _keep(loop: Callable[[], Awaitable[None]]) -> None:
    """Runs `loop` for ever: what breaks one round must not leave all hosts without plans."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("links.loop_broke", loop=loop.__name__)
        await asyncio.sleep(POLL_S)


class Links:
    """`channel_idle_s`: a channel without a message for that long is closed; its media go on."""

    def __init__(self, world: World, channels: Channels, network: Network, channel_idle_s: float) -> None:
        self._world = world
        self._channels = channels
        self._network = network
        self._channel_idle_s = channel_idle_s
        self._held: dict[str, HostLink] = {}
        self._due: set[str] = set()
        self._wake = asyncio.Event()

    def count(self) -> int:
        """Hosts whose stream is held here."""
        return len(self._held)

    def open(self, host_id: str, epoch: int, token: str) -> HostLink:
        """Takes the host's stream; an older one here ends."""
        older = self._held.get(host_id)
        if older is not None:
            older.outbox.end(Conflict("LINK_SUPERSEDED", "a newer link of this host has taken over"))
        link = HostLink(host_id, epoch, token, Mailbox(MAX_WAITING_MESSAGES, "this agent"))
        self._held[host_id] = link
        self._ask_about(host_id)
        return link

    async def close(self, link: HostLink) -> None:
        """The stream is over: so are the channels that went through it."""
        if self._held.get(link.host_id) is link:
            del self._held[link.host_id]
        for channel_id in list(link.channels):
            await self._drop_channel(link, channel_id, "the host's link has closed; connect again")

    def end_all(self, error: QuarterdeckError) -> None:
        for link in self._held.values():
            link.outbox.end(error)

    async def run(self) -> None:
        """Serves all held streams, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for loop in (self._poll, self._plans_hinted, self._reports_accepted, self._messages_relayed):
                group.create_task(_keep(loop))

    # Down the stream.

    async def _poll(self) -> None:
        last_full = 0.0
        while True:
            pause_s = max(0.0, last_full + POLL_S - time.monotonic())
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                last_full = time.monotonic()
                self._due = set(self._held)
                await self._sweep_channels()
            self._wake.clear()
            due, self._due = self._due & set(self._held), set()
            if not due:
                continue
            try:
                await self._bring_up_to_date(due)
            except QuarterdeckError as error:
                log.warning("links.poll_failed", reason=error.reason)

    async def _bring_up_to_date(self, host_ids: Iterable[str]) -> None:
        before = {host_id: self._held[host_id] for host_id in host_ids}
        states = await link_states(self._world, list(before))
        behind: list[HostLink] = []
        for host_id, link in before.items():
            state = states.get(host_id)
            error = verdict(link, state)
            if error is not None or state is None:
                link.outbox.end(error)
                continue
            link.ack(state.report_sequence)
            if state.plan_version != link.plan_version:
                behind.append(link)
        gate = asyncio.Semaphore(PLANS_AT_ONCE)
        await asyncio.gather(*(self._send_plan(link, gate) for link in behind))

    async def _send_plan(self, link: HostLink, gate: asyncio.Semaphore) -> None:
        try:
            async with gate:
                plan = await hosts.plan_of(self._world, link.host_id)
            link.outbox.put(agent_pb2.ControlMessage(plan=plan_message(plan, self._network)))
            link.plan_version = plan.version
        except Unavailable as error:
            log.warning("link.plan_postponed", host=link.host_id, reason=error.reason)
        except Exception as error:  # noqa: BLE001 - one host's plan must not stop the others'; its stream raises it
            link.outbox.end(error)

    def _ask_about(self, host_id: str) -> None:
        if host_id in self._held:
            self._due.add(host_id)
            self._wake.set()

    async def _plans_hinted(self) -> None:
        async with self._world.bus.subscribe(subjects.PLANS) as hints:
            async for subject, _ in hints:
                self._ask_about(subjects.last_token(subject))

    async def _reports_accepted(self) -> None:
        async with self._world.bus.subscribe(subjects.ACCEPTED) as hints:
            async for subject, payload in hints:
                link = self._held.get(subjects.last_token(subject))
                epoch, _, sequence = payload.partition(b":")
                if link is not None and epoch == str(link.epoch).encode() and sequence.isdigit():
                    link.ack(int(sequence))

    # Signalling, on its way to and from the host.

    async def to_host(self, host_id: str, message: agent_pb2.ControlMessage) -> bool:
        """Part of a channel towards a host, whichever replica holds its stream. False when nobody can have it."""
        link = self._held.get(host_id)
        if link is not None:
            await self._deliver(link, message)
            return True
        return await self._world.bus.hint(subjects.link(host_id), message.SerializeToString())

    async def from_host(self, link: HostLink, message: agent_pb2.ChannelSignal) -> None:
        """Only channels that were opened down this very stream may be answered: no host speaks for another."""
        channel = link.channels.get(message.channel_id)
        if channel is None:
            return
        channel.last_active = time.monotonic()
        await self._channels.answer(message)
        if message.signal.HasField("close"):
            link.channels.pop(message.channel_id, None)

    async def _messages_relayed(self) -> None:
        async with self._world.bus.subscribe(subjects.LINKS) as messages:
            async for subject, payload in messages:
                link = self._held.get(subjects.last_token(subject))
                if link is not None:
                    await self._deliver(link, agent_pb2.ControlMessage.FromString(payload))

    async def _deliver(self, link: HostLink, message: agent_pb2.ControlMessage) -> None:
        kind = message.WhichOneof("kind")
        if kind == "channel_open":
            opened = message.channel_open
            of_session = sum(1 for c in link.channels.values() if c.session_id == opened.session_id)
            if len(link.channels) >= MAX_CHANNELS_PER_HOST or of_session >= MAX_CHANNELS_PER_SESSION:
                full = closing("too many open channels; close one")
                await self._channels.answer(agent_pb2.ChannelSignal(channel_id=opened.channel_id, signal=full))
                return
            link.channels[opened.channel_id] = OpenChannel(opened.session_id, time.monotonic())
        elif kind == "signal" and message.signal.channel_id in link.channels:
            link.channels[message.signal.channel_id].last_active = time.monotonic()
            if message.signal.signal.HasField("close"):
                del link.channels[message.signal.channel_id]
        else:
            return
        link.outbox.put(message)

    async def _sweep_channels(self) -> None:
        idle_since = time.monotonic() - self._channel_idle_s
        for link in list(self._held.values()):
            for channel_id in [c for c, channel in link.channels.items() if channel.last_active < idle_since]:
                await self._drop_channel(link, channel_id, "nothing was said for too long")

    async def _drop_channel(self, link: HostLink, channel_id: str, reason: str) -> None:
        link.channels.pop(channel_id, None)
        message = agent_pb2.ChannelSignal(channel_id=channel_id, signal=closing(reason))
        link.outbox.put(agent_pb2.ControlMessage(signal=message))
        await self._channels.answer(message)
