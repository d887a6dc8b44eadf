"""What agents say, on its way in: heartbeats as one batch a second, reports through the durable work queue.

Without a broker both go straight to the use cases, so that nobody goes stale and nothing waits for NATS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from quarterdeck.v1 import agent_pb2

from controlplane.api.links import HostLink
from controlplane.domain import subjects
from controlplane.domain.errors import Conflict, QuarterdeckError, Unavailable, WrongState
from controlplane.domain.reconcile import Report
from controlplane.usecases import hosts
from controlplane.usecases.world import World

log = structlog.get_logger(__name__)

BATCH_S = 1.0
PUBLISH_S = 2.0
RETRY_S = 1.0

DecodeReport = Callable[[bytes], Report]


class Beats:
    """Hosts heard from since the last batch. An empty batch goes out too: it shows that the feed flows."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._heard: set[str] = set()

    def heard(self, host_id: str) -> None:
        self._heard.add(host_id)

    async def run(self) -> None:
        """A batch a second, until cancelled."""
        while True:
            await asyncio.sleep(BATCH_S)
            batch, self._heard = sorted(self._heard), set()
            try:
                if not await self._world.bus.hint(subjects.BEATS, "\n".join(batch).encode()):
                    await hosts.beat(self._world, batch)
            except QuarterdeckError as error:
                # Not kept: a late write would make a silent host look alive, and the next beat is near.
                log.warning("beats.not_written", reason=error.reason, hosts=len(batch))


class Reports:
    """The newest report of one link on its way to the database. A report is whole: a newer one takes the place of
    one that still waits."""

    def __init__(self, world: World, link: HostLink, decode: DecodeReport) -> None:
        self._world = world
        self._link = link
        self._decode = decode
        self._waiting: agent_pb2.Report | None = None
        self._wake = asyncio.Event()

    def take(self, report: agent_pb2.Report) -> None:
        """Raises WrongState (epoch of another start), InvalidRequest naming the field."""
        if report.epoch != self._link.epoch:
            raise WrongState(
                "EPOCH_OLD", f"this link is of epoch {self._link.epoch}, not {report.epoch}; say hello again"
            )
        self._decode(report.SerializeToString())
        self._waiting = report
        self._wake.set()

    async def run(self) -> None:
        """Forwards until cancelled. Raises WrongState when the database knows a newer epoch."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            report, self._waiting = self._waiting, None
            if report is None:
                continue
            try:
                await self._forward(report)
            except (Conflict, Unavailable) as error:
                log.warning("report.postponed", host=self._link.host_id, reason=error.reason)
                await asyncio.sleep(RETRY_S)
                self._waiting = self._waiting or report
                self._wake.set()

    async def _forward(self, report: agent_pb2.Report) -> None:
        payload = report.SerializeToString()
        host_id = self._link.host_id
        try:
            async with asyncio.timeout(PUBLISH_S):
                await self._world.bus.publish(
                    subjects.report(host_id), payload, message_id=f"{host_id}-{report.epoch}-{report.sequence}"
                )
        except (Unavailable, TimeoutError):
            if not await hosts.accept_report(self._world, host_id, self._decode(payload)):
                raise WrongState("EPOCH_OLD", "a newer start of this host's agent is known; say hello again") from None
            self._link.ack(report.sequence)
