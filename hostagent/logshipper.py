"""Brings the sessions' logs to the control plane: each line stays on this host's disk until it is stored there.

A failure costs nothing but time: the spools are bounded, the sessions play on, and what was sent twice is stored once.
"""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog
from quarterdeck.v1 import agent_pb2

from hostagent.backoff import full_jitter_s
from hostagent.calls import LinkBroken
from hostagent.logspool import Batch, Spool, size_and_age
from hostagent.plan import WorkloadKey
from hostagent.sessiondir import LOG, SessionDir
from hostagent.workloads import KEPT_LOGS, Workloads

log = structlog.get_logger()
CHUNK_BYTES = 512 * 1024
# A line waits for company: so long in a young session, longer in one that has run for long.
WAIT_S, LONGEST_WAIT_S, WAIT_SHARE = 2.0, 30.0, 0.05
# What one session may send at once, and in the long run; of what it says beyond, the spool loses the oldest lines.
BURST_BYTES = 32 << 20
BYTES_PER_S = 32 << 10
LOOK_S = 0.5
AT_ONCE = 4
BACKOFF_BASE_S, BACKOFF_CAP_S = 1.0, 30.0
# Logs of sessions that are gone, all together.
KEPT_BYTES = 256 << 20

Send = Callable[[agent_pb2.AppendLogRequest], Awaitable[int]]


@dataclass
class Shipment:
    """What is known of one spool. Times are of the event loop."""

    spool: Spool
    known_since: float
    over: bool = False
    pending_since: float | None = None
    not_before: float = 0.0
    failures: int = 0
    allowance: float = BURST_BYTES
    allowed_at: float = 0.0

    def due(self, now: float) -> bool:
        pending = self.spool.pending_bytes()
        if pending == 0:
            self.pending_since = None
        elif self.pending_since is None:
            self.pending_since = now
        if now < self.not_before and not (self.over and self.failures == 0):
            return False
        if self.over or pending >= CHUNK_BYTES:
            return True
        wait_s = min(max(WAIT_S, WAIT_SHARE * (now - self.known_since)), LONGEST_WAIT_S)
        return self.pending_since is not None and now - self.pending_since >= wait_s

    def sent(self, count: int, now: float) -> None:
        """So many bytes are gone; the next may wait for their allowance. What is left of an ended session need not."""
        self.pending_since = None
        earned = (now - max(self.allowed_at, self.known_since)) * BYTES_PER_S
        self.allowance, self.allowed_at = min(BURST_BYTES, self.allowance + earned) - count, now
        if not self.over:
            self.not_before = now + max(0.0, -self.allowance / BYTES_PER_S)


class LogShipper:
    """`send` raises LinkBroken while there is no link, and AioRpcError."""

    def __init__(self, workloads: Workloads, send: Send) -> None:
        self._workloads = workloads
        self._send = send
        self._kept = workloads.root.parent / KEPT_LOGS
        self._shipments: dict[WorkloadKey, Shipment] = {}
        self._under_way: dict[WorkloadKey, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            await self._run(group)

    async def _run(self, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await asyncio.to_thread(self._look, loop.time())
            except OSError as error:
                log.warning("logs cannot be looked through", why=str(error))
            now = loop.time()
            for key, shipment in self._shipments.items():
                if key not in self._under_way and shipment.due(now):
                    self._under_way[key] = task = group.create_task(self._attempt(key, shipment))
                    task.add_done_callback(lambda _, key=key: self._under_way.pop(key))  # type: ignore[misc]
            await asyncio.sleep(LOOK_S)

    def _look(self, now: float) -> None:
        """Takes stock of the spools that there are."""
        kept = {directory.key: directory.path for directory in SessionDir.scan(self._kept)}
        live = {directory.key: directory.path / LOG for directory in SessionDir.scan(self._workloads.root)}
        found: Mapping[WorkloadKey, Path] = kept | {
            key: path for key, path in live.items() if path.is_dir() and not path.is_symlink()
        }
        for key in self._shipments.keys() - found.keys():
            del self._shipments[key]
        for key, path in found.items():
            shipment = self._shipments.setdefault(key, Shipment(Spool(path), now))
            shipment.spool.path = path
            shipment.over = key in kept or self._workloads.over(key)
        self._bound_kept(kept)

    def _bound_kept(self, kept: Mapping[WorkloadKey, Path]) -> None:
        # Those that are delivered go while this looks.
        found = {key: size_and_age(path) for key, path in kept.items()}
        oldest_first = sorted(found, key=lambda key: found[key][1])
        sizes = {key: size for key, (size, _) in found.items()}
        while sum(sizes.values()) > KEPT_BYTES:
            key = oldest_first.pop(0)
            log.warning("log of an ended session given up: too many wait for the control plane", workload=str(key))
            self._shipments.pop(key).spool.remove()
            del sizes[key]

    async def _attempt(self, key: WorkloadKey, shipment: Shipment) -> None:
        try:
            async with self._slots:
                await self._ship(key, shipment)
            shipment.failures = 0
        except (LinkBroken, FileNotFoundError):
            return  # the next look tries again; the log of a session that is over moves meanwhile
        except grpc.aio.AioRpcError as error:
            self._put_off(shipment)
            if shipment.failures in (1, 10):
                why = f"{error.code().name}: {error.details()}"
                log.warning("log not taken by the control plane; it is kept here", workload=str(key), why=why)
        except OSError as error:
            self._put_off(shipment)
            log.warning("log cannot be read", workload=str(key), why=str(error))

    def _put_off(self, shipment: Shipment) -> None:
        delay_s = full_jitter_s(shipment.failures, BACKOFF_BASE_S, BACKOFF_CAP_S, random.uniform)
        shipment.failures += 1
        shipment.not_before = max(shipment.not_before, asyncio.get_running_loop().time() + delay_s)

    async def _ship(self, key: WorkloadKey, shipment: Shipment) -> None:
        """Sends one batch, or tells that there is no more. Raises LinkBroken, AioRpcError, OSError."""
        spool, over = shipment.spool, shipment.over
        batch = await asyncio.to_thread(spool.read, CHUNK_BYTES)
        if batch is None and not over:
            return
        records = await asyncio.to_thread(gzip.compress, batch.records, 6) if batch is not None else b""
        request = agent_pb2.AppendLogRequest(
            session_id=key.session_id, generation=key.generation, records=records, complete=batch is None
        )
        try:
            acknowledged = await self._send(request)
        except grpc.aio.AioRpcError as error:
            if not self._refused(key, shipment, batch, error.code()):
                raise
            return
        if batch is None:
            await asyncio.to_thread(spool.remove)
            return
        # First: whoever keeps his log from being acknowledged does not send without end.
        shipment.sent(len(batch.records), asyncio.get_running_loop().time())
        await asyncio.to_thread(spool.acknowledge, acknowledged, batch)

    def _refused(self, key: WorkloadKey, shipment: Shipment, batch: Batch | None, code: grpc.StatusCode) -> bool:
        """Whether it was refused for good; then it goes, for it would keep everything behind it waiting."""
        if code is grpc.StatusCode.INVALID_ARGUMENT and batch is not None:
            log.error("lines of a log given up: they are malformed", workload=str(key), up_to=batch.last)
            shipment.spool.acknowledge(batch.last, batch)
            return True
        if code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED) and shipment.over:
            log.warning("log of an ended session given up: nobody wants it", workload=str(key), why=code.name)
            shipment.spool.remove()
            return True
        return False
