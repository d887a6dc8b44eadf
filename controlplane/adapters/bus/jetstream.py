"""The bus on NATS: JetStream for events and work, core NATS for hints.

Starts, and serves hints within the process, without a broker. Survives its death and the loss of all its data: the
database is the truth, and what must exist in the broker is made again on every connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.errors import NoStreamResponseError

from controlplane.adapters.bus import codec, redelivery, resume, streams
from controlplane.adapters.bus.connection import Connection, Link, bus_away
from controlplane.adapters.bus.hints import Feed, Switchboard
from controlplane.adapters.bus.pull import pull
from controlplane.domain import subjects
from controlplane.domain.errors import InvalidRequest, Unavailable
from controlplane.domain.events import Event
from controlplane.interfaces import Bury, Delivery, Handler

log = structlog.get_logger(__name__)

MESSAGE_ID = "Nats-Msg-Id"
MAX_PAYLOAD_BYTES = 1 << 20
ACK_TIMEOUT_S = 5.0
SUBSCRIBE_TIMEOUT_S = 1.0
HANDLERS = 8
EVENT_BATCH = 64
RETRY_PAUSE_S = 0.2


class JetStreamBus:
    """`async with JetStreamBus(["nats://127.0.0.1:4222"]) as bus`. Implements `controlplane.interfaces.Bus`."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        name: str = "quarterdeck",
        token: str = "",
        bounds: streams.Bounds | None = None,
        backoff: redelivery.Backoff | None = None,
        patience_s: float = 5.0,
    ) -> None:
        """`patience_s`: how long readers of events wait for a broker that is away."""
        self._patience_s = patience_s
        self._bounds = bounds or streams.Bounds()
        self._backoff = backoff or redelivery.Backoff()
        self._connection = Connection(servers, name, token, self._bring_up)
        self._local = Switchboard()
        self._attached: dict[Feed, tuple[Link, Subscription | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> JetStreamBus:
        self._tasks.add(asyncio.create_task(self._connection.run(), name="bus connection"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_connected(self, timeout_s: float) -> None:
        """Raises Unavailable when there is no broker by then; it is looked for all the same."""
        await self._connection.wait(timeout_s)

    @property
    def connected(self) -> bool:
        return self._connection.complete

    async def _bring_up(self, link: Link) -> None:
        for feed in self._local:
            await self._attach(feed, link)
        await streams.make_streams(link, self._bounds)

    # Durable messages.

    async def publish(self, subject: str, payload: bytes, message_id: str) -> None:
        streams.stream_of(subject)
        _check_size(payload)
        link = self._connection.require()
        try:
            await self._publish(link, subject, payload, message_id)
        except NoStreamResponseError:
            # Somebody wiped the streams while we were connected.
            await streams.make_streams(link, self._bounds)
            try:
                await self._publish(link, subject, payload, message_id)
            except NoStreamResponseError as error:
                raise bus_away("no stream") from error

    async def _publish(self, link: Link, subject: str, payload: bytes, message_id: str) -> None:
        absent: NoStreamResponseError | None = None
        async with link.within(ACK_TIMEOUT_S):
            try:
                await link.js.publish(subject, payload, timeout=ACK_TIMEOUT_S, headers={MESSAGE_ID: message_id})
            except NoStreamResponseError as error:
                absent = error
        if absent:
            raise absent

    async def publish_event(self, event: Event) -> None:
        subject = subjects.event(event.draft.project_id, event.draft.type)
        await self.publish(subject, codec.encode_event(event), event.id)

    async def consume(self, durable: str, subject: str, handler: Handler, bury: Bury) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(HANDLERS):
                group.create_task(self._consume(durable, subject, handler, bury))

    async def _consume(self, durable: str, subject: str, handler: Handler, bury: Bury) -> None:
        while True:
            link = await self._connection.wait()
            try:
                stream = await streams.make_durable(link, durable, subject)
                async with aclosing(pull(link, stream, durable, batch=1)) as messages:
                    async for message in messages:
                        await self._settle_whole(message, handler, bury)
            except Unavailable as error:
                log.debug("consumer starts again", durable=durable, why=error.details.get("why", ""))
                await asyncio.sleep(RETRY_PAUSE_S)

    async def _settle_whole(self, message: Msg, handler: Handler, bury: Bury) -> None:
        settling = asyncio.create_task(self._settle(message, handler, bury))
        try:
            await asyncio.shield(settling)
        except asyncio.CancelledError:
            # What has begun is finished; a second cancellation ends it.
            await settling
            raise

    async def _settle(self, message: Msg, handler: Handler, bury: Bury) -> None:
        delivery = Delivery(
            message_id=(message.headers or {}).get(MESSAGE_ID) or str(message.metadata.sequence.stream),
            subject=message.subject,
            payload=message.data,
            attempt=message.metadata.num_delivered,
            waited_s=max(0.0, (datetime.now(UTC) - message.metadata.timestamp).total_seconds()),
        )
        attempt = asyncio.create_task(redelivery.attempt(delivery, handler, bury, self._backoff))
        try:
            while not (await asyncio.wait({attempt}, timeout=streams.ACK_WAIT_S / 3))[0]:
                with suppress(OSError, nats.errors.Error):
                    await message.in_progress()
        finally:
            attempt.cancel()
        delay_s = await attempt
        # A lost acknowledgement means one more delivery, which handlers are made for (I5).
        with suppress(OSError, nats.errors.Error):
            await (message.ack() if delay_s is None else message.nak(delay=delay_s))

    async def resume_token(self) -> str:
        info = await streams.events_info(await self._connection.wait(self._patience_s))
        return resume.Position(streams.identity(info), info.state.last_seq).token

    async def events(self, project_id: str, resume_token: str) -> AsyncGenerator[tuple[Event, str], None]:
        subject = subjects.events_of(project_id)
        position = resume.parse(resume_token or await self.resume_token())
        while True:
            link = await self._connection.wait(self._patience_s)
            info = await streams.events_info(link)
            resume.check(position, streams.identity(info), info.state.first_seq, info.state.last_seq)
            watcher = await streams.make_watcher(link, subject, position.sequence + 1)
            try:
                async with aclosing(pull(link, streams.EVENTS, watcher, EVENT_BATCH)) as messages:
                    async for message in messages:
                        position = resume.Position(position.identity, message.metadata.sequence.stream)
                        yield codec.decode_event(message.data), position.token
            except Unavailable as error:
                log.debug("watcher starts again", project=project_id, why=error.details.get("why", ""))
                await asyncio.sleep(RETRY_PAUSE_S)

    # Hints.

    async def hint(self, subject: str, payload: bytes = b"") -> bool:
        _check_size(payload)
        self._local.deliver(subject, payload)
        if (link := self._connection.link) is None:
            return False
        try:
            async with link.within(SUBSCRIBE_TIMEOUT_S) as client:
                await client.publish(subject, payload)
        except Unavailable:
            return False
        return True

    @asynccontextmanager
    async def subscribe(self, subject: str, *, queue: str = "") -> AsyncIterator[AsyncIterator[tuple[str, bytes]]]:
        feed = Feed(subject, queue)
        self._local.add(feed)
        try:
            if link := self._connection.link:
                with suppress(Unavailable):  # the next link attaches every feed anew
                    await self._attach(feed, link)
            yield feed
        finally:
            self._local.remove(feed)
            await self._detach(feed)

    async def _attach(self, feed: Feed, link: Link) -> None:
        """Listens for the feed at the broker too, once per link. Raises Unavailable."""
        if feed in self._attached and self._attached[feed][0] is link:
            return
        self._attached[feed] = (link, None)

        async def take(message: Msg) -> None:
            feed.put(message.subject, message.data)

        async with link.within(SUBSCRIBE_TIMEOUT_S) as client:
            subscription = await client.subscribe(feed.pattern, queue=feed.queue, cb=take)
            self._attached[feed] = (link, subscription)
            # After two round trips nothing published elsewhere can be missed: the client asks for the first one
            # ahead of the subscription.
            await client.flush()
            await client.flush()

    async def _detach(self, feed: Feed) -> None:
        link, subscription = self._attached.pop(feed, (None, None))
        if link is not None and subscription is not None and link.alive:
            with suppress(OSError, nats.errors.Error):
                await subscription.unsubscribe()


def _check_size(payload: bytes) -> None:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise InvalidRequest("MESSAGE_TOO_LARGE", f"A message has at most {MAX_PAYLOAD_BYTES} bytes.")
