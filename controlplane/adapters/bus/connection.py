"""A connection to NATS that never gives up. Every connection is a new client, so that nothing of a dead one lingers:
what must exist on it (subscriptions, streams, consumers) is made again by one path, at start-up as after a failure."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client

from controlplane.domain.errors import Unavailable

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 2
PING_INTERVAL_S = 2
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
LOOK_INTERVAL_S = 0.5


def bus_away(why: str = "") -> Unavailable:
    return Unavailable("BUS_AWAY", "The message broker is away; it is tried again by itself.", why=why)


class Patience:
    """Notices a cancellation that code in between has swallowed, as asyncio.wait_for of Python 3.11 does when what it
    waits for ends in the same moment, and as the client library does when its connection closes."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._before = self._task.cancelling() if self._task else 0

    def check(self) -> None:
        """Raises CancelledError when the task was cancelled since."""
        if self._task and self._task.cancelling() > self._before:
            raise asyncio.CancelledError


class Link:
    """One live connection. `within` bounds a conversation in time, and ends it at once when the connection dies."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.js = client.jetstream(timeout=5)
        self.down = asyncio.Event()
        self._conversations: set[asyncio.Timeout] = set()

    @property
    def alive(self) -> bool:
        return not self.down.is_set() and bool(self.client.is_connected)

    @asynccontextmanager
    async def within(self, timeout_s: float) -> AsyncIterator[Client]:
        """Raises Unavailable when the broker does not answer in time, refuses, or goes away."""
        if not self.alive:
            raise bus_away("not connected")
        timeout = asyncio.timeout(timeout_s)
        patience = Patience()
        try:
            async with timeout:
                self._conversations.add(timeout)
                yield self.client
        except (TimeoutError, OSError, nats.errors.Error) as error:
            patience.check()
            raise bus_away(repr(error)) from error
        finally:
            self._conversations.discard(timeout)
        patience.check()

    def drop(self) -> None:
        self.down.set()
        now = asyncio.get_running_loop().time()
        for timeout in list(self._conversations):
            if not timeout.expired():
                timeout.reschedule(now)

    async def close(self) -> None:
        self.drop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self.client.close()
        except (TimeoutError, OSError, nats.errors.Error) as error:
            log.debug("closing a dead connection failed", error=repr(error))


class Connection:
    """Keeps one `Link` to one of `servers` alive; `on_up` makes what must exist on each new one."""

    def __init__(self, servers: Sequence[str], name: str, token: str, on_up: Callable[[Link], Awaitable[None]]) -> None:
        self._servers = list(servers)
        self._name = name
        self._token = token
        self._on_up = on_up
        self._link: Link | None = None
        self._up = asyncio.Event()

    @property
    def link(self) -> Link | None:
        """The live link, or None while the broker is away."""
        return self._link if self._link is not None and self._link.alive else None

    @property
    def complete(self) -> bool:
        """There is a link, and everything is made on it."""
        return self._up.is_set() and self.link is not None

    def require(self) -> Link:
        """Raises Unavailable while the broker is away."""
        if (link := self.link) is None:
            raise bus_away("not connected")
        return link

    async def wait(self, timeout_s: float | None = None) -> Link:
        """A link on which everything is made. Raises Unavailable after `timeout_s`; None waits for ever."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    await self._up.wait()
                    if link := self.link:
                        return link
                    # The client knows of its death a moment before its watcher does.
                    await asyncio.sleep(LOOK_INTERVAL_S / 10)
        except TimeoutError as error:
            raise bus_away("not connected") from error

    async def run(self) -> None:
        """For ever: connects, watches, connects again with a growing, jittered pause."""
        failures = 0
        while True:
            link = await self._connect()
            served = link is not None and await self._serve(link)
            failures = 0 if served else failures + 1
            longest_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures, 10))
            await asyncio.sleep(longest_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret

    async def _connect(self) -> Link | None:
        client = Client()
        link = Link(client)

        async def gone() -> None:
            link.drop()

        async def failed(error: Exception) -> None:
            log.debug("the broker's client complains", error=repr(error))

        try:
            async with asyncio.timeout(2 * CONNECT_TIMEOUT_S):
                await client.connect(
                    self._servers,
                    name=self._name,
                    token=self._token or None,
                    no_echo=True,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_TIMEOUT_S,
                    ping_interval=PING_INTERVAL_S,
                    max_outstanding_pings=2,
                    error_cb=failed,
                    closed_cb=gone,
                    disconnected_cb=gone,
                )
        except (TimeoutError, OSError, ValueError, nats.errors.Error) as error:
            log.debug("the broker is away", error=repr(error))
            await link.close()
            return None
        return link

    async def _serve(self, link: Link) -> bool:
        """Returns when the link is dead; False when it never came fully up."""
        self._link = link
        log.info("bus connected", server=str(link.client.connected_url.netloc) if link.client.connected_url else "")
        try:
            await self._on_up(link)
            self._up.set()
            while link.alive:
                try:
                    async with asyncio.timeout(LOOK_INTERVAL_S):
                        await link.down.wait()
                except TimeoutError:
                    continue
            log.warning("bus away")
            return True
        except Unavailable as error:
            log.warning("bus away", error=error.details.get("why", ""))
            return False
        finally:
            self._up.clear()
            self._link = None
            await link.close()
