"""Batches of heartbeats into the database. What arrives while one is being written is written together next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import structlog

from controlplane.domain import subjects
from controlplane.domain.errors import Conflict, Unavailable
from controlplane.processor.metrics import Metrics
from controlplane.usecases import hosts
from controlplane.usecases.world import World

log = structlog.get_logger(__name__)

QUEUE = "beats"
MAX_HOSTS = 50_000
CHUNK = 1000


class Heartbeats:
    """`run` for ever. Every replica of the processor is a member of one queue group."""

    def __init__(self, world: World, metrics: Metrics) -> None:
        self._world = world
        self._metrics = metrics
        self._heard: set[str] = set()
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        async with self._world.bus.subscribe(subjects.BEATS, queue=QUEUE) as batches, asyncio.TaskGroup() as group:
            group.create_task(self._collect(batches))
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                await self._write()

    async def _collect(self, batches: AsyncIterator[tuple[str, bytes]]) -> None:
        async for _, payload in batches:
            for host_id in payload.decode(errors="replace").splitlines():
                if subjects.TOKEN.fullmatch(host_id) and len(self._heard) < MAX_HOSTS:
                    self._heard.add(host_id)
            self._arrived.set()

    async def _write(self) -> None:
        heard, self._heard = sorted(self._heard), set()
        # An empty batch counts too: it shows that the feed flows.
        for start in range(0, len(heard) or 1, CHUNK):
            chunk = heard[start : start + CHUNK]
            try:
                await hosts.beat(self._world, chunk)
                self._metrics.beats.inc(len(chunk))
            except (Conflict, Unavailable) as error:
                # Not kept: a late write would make a silent host look alive. The next batch is a second away.
                self._metrics.beats_dropped.inc(len(chunk))
                log.warning("beats.not_written", reason=error.reason, hosts=len(chunk))
