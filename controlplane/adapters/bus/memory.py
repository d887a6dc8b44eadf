"""The bus within one process: what NATS does for us, as far as users can tell, for unit tests and simulation.

One `MemoryBroker` is the broker; each `MemoryBus` is one program's connection to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from controlplane.adapters.bus import codec, redelivery, resume, streams
from controlplane.adapters.bus.connection import bus_away
from controlplane.adapters.bus.hints import Feed, Switchboard
from controlplane.domain import subjects
from controlplane.domain.events import Event
from controlplane.interfaces import Bury, Delivery, Handler

HANDLERS = 8


@dataclass
class Stored:
    sequence: int
    subject: str
    payload: bytes
    message_id: str


@dataclass
class Log:
    """One stream. Work leaves it when it is settled, events stay."""

    identity: str
    messages: list[Stored] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    last_sequence: int = 0

    @property
    def first_sequence(self) -> int:
        return self.messages[0].sequence if self.messages else self.last_sequence + 1


@dataclass
class Durable:
    """Where a consumer is: the next message, those that wait for another try, and the tries of each."""

    next_sequence: int = 1
    again: list[Stored] = field(default_factory=list)
    tries: dict[int, int] = field(default_factory=dict)


class MemoryBroker:
    """`kill`, `restart` and `wipe` do to it what befalls a real one."""

    def __init__(self) -> None:
        self.up = True
        self.buses: list[MemoryBus] = []
        self.changed = asyncio.Condition()
        self._lives = 0
        self.wipe()

    def wipe(self) -> None:
        self._lives += 1
        self.logs = {name: Log(f"{self._lives:016x}") for name in (streams.EVENTS, streams.WORK, streams.EXTERNAL)}
        self.durables: dict[str, Durable] = {}

    async def kill(self) -> None:
        self.up = False
        await self.stir()

    async def restart(self) -> None:
        self.up = True
        await self.stir()

    async def stir(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    def require(self) -> None:
        if not self.up:
            raise bus_away("not connected")

    async def wait_up(self, timeout_s: float) -> None:
        """Raises Unavailable."""
        try:
            async with asyncio.timeout(timeout_s), self.changed:
                await self.changed.wait_for(lambda: self.up)
        except TimeoutError as error:
            raise bus_away("not connected") from error

    async def store(self, subject: str, payload: bytes, message_id: str) -> None:
        log = self.logs[streams.stream_of(subject)]
        if message_id in log.ids:
            return
        log.ids.add(message_id)
        log.last_sequence += 1
        log.messages.append(Stored(log.last_sequence, subject, payload, message_id))
        await self.stir()

    def forget_events(self, before_sequence: int) -> None:
        """What age does to the oldest events."""
        log = self.logs[streams.EVENTS]
        log.messages = [message for message in log.messages if message.sequence >= before_sequence]

    async def next_for(self, durable: str, subject: str) -> Stored:
        """Waits until the consumer has something to do; counts the try."""
        while True:
            if self.up and (message := self._due(self.durables.setdefault(durable, Durable()), subject)):
                return message
            async with self.changed:
                await self.changed.wait()

    def _due(self, durable: Durable, subject: str) -> Stored | None:
        if durable.again:
            return durable.again.pop(0)
        for message in self.logs[streams.stream_of(subject)].messages:
            if message.sequence >= durable.next_sequence and subjects.matches(subject, message.subject):
                durable.next_sequence = message.sequence + 1
                return message
        return None

    def settled(self, durable: str, message: Stored) -> None:
        log = self.logs[streams.stream_of(message.subject)]
        self.durables.setdefault(durable, Durable()).tries.pop(message.sequence, None)
        if log is self.logs[streams.WORK] and message in log.messages:
            log.messages.remove(message)

    async def again(self, durable: str, message: Stored, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        self.durables.setdefault(durable, Durable()).again.append(message)
        await self.stir()


class MemoryBus:
    """Implements `controlplane.interfaces.Bus`."""

    def __init__(
        self,
        broker: MemoryBroker | None = None,
        *,
        backoff: redelivery.Backoff | None = None,
        patience_s: float = 5.0,
    ) -> None:
        self._patience_s = patience_s
        self._broker = broker or MemoryBroker()
        self._broker.buses.append(self)
        self._backoff = backoff or redelivery.Backoff()
        self._local = Switchboard()
        self._waiting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> MemoryBus:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._broker.buses.remove(self)
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    @property
    def connected(self) -> bool:
        return self._broker.up

    async def publish(self, subject: str, payload: bytes, message_id: str) -> None:
        streams.stream_of(subject)
        self._broker.require()
        await self._broker.store(subject, payload, message_id)

    async def publish_event(self, event: Event) -> None:
        subject = subjects.event(event.draft.project_id, event.draft.type)
        await self.publish(subject, codec.encode_event(event), event.id)

    async def hint(self, subject: str, payload: bytes = b"") -> bool:
        self._local.deliver(subject, payload)
        if not self._broker.up:
            return False
        others = Switchboard()
        for bus in self._broker.buses:
            for feed in bus._local if bus is not self else ():
                others.add(feed)
        others.deliver(subject, payload)
        return True

    @asynccontextmanager
    async def subscribe(self, subject: str, *, queue: str = "") -> AsyncIterator[AsyncIterator[tuple[str, bytes]]]:
        feed = Feed(subject, queue)
        self._local.add(feed)
        try:
            yield feed
        finally:
            self._local.remove(feed)

    async def consume(self, durable: str, subject: str, handler: Handler, bury: Bury) -> None:
        streams.stream_of(subject)
        async with asyncio.TaskGroup() as group:
            for _ in range(HANDLERS):
                group.create_task(self._consume(durable, subject, handler, bury))

    async def _consume(self, durable: str, subject: str, handler: Handler, bury: Bury) -> None:
        while True:
            message = await self._broker.next_for(durable, subject)
            settling = asyncio.create_task(self._settle(durable, message, handler, bury))
            try:
                await asyncio.shield(settling)
            except asyncio.CancelledError:
                await settling
                raise

    async def _settle(self, durable: str, message: Stored, handler: Handler, bury: Bury) -> None:
        tries = self._broker.durables.setdefault(durable, Durable()).tries
        tries[message.sequence] = tries.get(message.sequence, 0) + 1
        delivery = Delivery(message.message_id, message.subject, message.payload, tries[message.sequence])
        delay_s = await redelivery.attempt(delivery, handler, bury, self._backoff)
        if delay_s is None:
            self._broker.settled(durable, message)
            return
        task = asyncio.create_task(self._broker.again(durable, message, delay_s))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def resume_token(self) -> str:
        await self._broker.wait_up(self._patience_s)
        log = self._broker.logs[streams.EVENTS]
        return resume.Position(log.identity, log.last_sequence).token

    async def events(self, project_id: str, resume_token: str) -> AsyncGenerator[tuple[Event, str], None]:
        pattern = subjects.events_of(project_id)
        position = resume.parse(resume_token or await self.resume_token())
        while True:
            await self._broker.wait_up(self._patience_s)
            log = self._broker.logs[streams.EVENTS]
            resume.check(position, log.identity, log.first_sequence, log.last_sequence)
            following = next((m for m in log.messages if m.sequence > position.sequence), None)
            if following is None:
                async with self._broker.changed:
                    await self._broker.changed.wait()
                continue
            position = resume.Position(log.identity, following.sequence)
            if subjects.matches(pattern, following.subject):
                yield codec.decode_event(following.payload), position.token
