"""All workloads of this host: carries out what the plan diff decides, and tells what there is to report."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import cast

import structlog
from quarterdeck.v1 import sessions_pb2, wrapper_pb2

from hostagent.ledger import Ledger
from hostagent.lifecycle import Phase
from hostagent.plan import Action, Forget, Start, Stop, StopCause, WorkloadKey
from hostagent.runtime import Usage
from hostagent.sessiondir import InvalidSessionId, SessionDir
from hostagent.surroundings import Surroundings
from hostagent.workload import Workload

log = structlog.get_logger()
# Beside the sessions: logs of those that are gone.
KEPT_LOGS = "logs"
# At once: the disk has sessions to serve, and a directory may be large; one that hangs holds up no other.
_REMOVALS = 2
_STOP_REQUESTED = sessions_pb2.SESSION_REASON_STOP_REQUESTED
_WRAPPER_LOST = sessions_pb2.SESSION_REASON_WRAPPER_LOST
_STOPPED_EARLY = "stopped before it was started"
_SPENT = "this generation has already ended on this host"


class Workloads:
    """The workloads of one data directory; adopted and started ones alike."""

    def __init__(self, root: Path, around: Surroundings) -> None:
        self.root = root
        self.around = around
        self.ledger = Ledger(root.parent / "ended")
        self._by_key: dict[WorkloadKey, Workload] = {}
        self._forgetting: dict[WorkloadKey, asyncio.Task[None]] = {}
        self._removals = asyncio.Semaphore(_REMOVALS)

    def add(self, workload: Workload) -> None:
        """Takes in a workload that adoption found."""
        self._by_key[workload.key] = workload

    def get(self, key: WorkloadKey) -> Workload | None:
        """The workload, if this host has it."""
        return self._by_key.get(key)

    def over(self, key: WorkloadKey) -> bool:
        """Whether nothing of this workload runs any more, and this host knows it."""
        workload = self._by_key.get(key)
        return workload is not None and workload.phase is Phase.EXITED

    def observed(self) -> Mapping[WorkloadKey, Phase]:
        """What the plan diff compares with the plan."""
        return {key: workload.phase for key, workload in self._by_key.items()}

    def running(self) -> Mapping[Path, int]:
        """The directories of those that have something to measure, with the bound of each one's disk (0: none)."""
        live = (Phase.STARTING, Phase.RUNNING, Phase.STOPPING)
        return {w.directory.path: w.disk_limit_bytes for w in self._by_key.values() if w.phase in live}

    def measured(self, usage: Mapping[Path, Usage]) -> None:
        """Takes in what some of them use."""
        for workload in self._by_key.values():
            if (used := usage.get(workload.directory.path)) is not None:
                workload.used(used)

    def report(self) -> list[wrapper_pb2.WorkloadStatus]:
        """The whole of what there is to report now."""
        return [self._by_key[key].status() for key in sorted(self._by_key)]

    def carry_out(self, actions: Iterable[Action]) -> None:
        """Acts on a decision; what is begun goes on by itself afterwards."""
        for action in actions:
            match action:
                case Start(key, digest):
                    self._start(key, digest)
                case Stop(key, cause, reason):
                    self._stop(key, cause, reason)
                case Forget(key):
                    self._forget(key)

    def back_up(self, key: WorkloadKey, backup_id: str) -> None:
        """Has this backup made of a running workload, once; "" is none."""
        workload = self._by_key.get(key)
        if backup_id and workload is not None:
            workload.back_up(backup_id)

    def shortest_lease_s(self) -> float:
        """The shortest lease of a workload that has one; infinite when none has."""
        leases = [w.lease_s for w in self._by_key.values() if w.lease_s and w.phase is not Phase.EXITED]
        return min(leases, default=float("inf"))

    async def renew_leases(self, keys: Iterable[WorkloadKey], proven_at: float) -> None:
        """Renews leases, counted from `proven_at` (event-loop time): then the control plane knew this host."""
        leased = [w for key in keys if (w := self._by_key.get(key)) and w.lease_s is not None]
        await asyncio.gather(*(workload.renew_lease(proven_at) for workload in leased))

    async def stop_all(self) -> None:
        """Stops every workload politely, then firmly; returns when all have ended."""
        for workload in self._by_key.values():
            workload.ask_stop(_STOP_REQUESTED)
        await asyncio.gather(*(workload.ended() for workload in self._by_key.values()))

    async def close(self) -> None:
        """Lets go of all; running wrappers go on, and the next agent removes what is left."""
        for forgetting in self._forgetting.values():
            forgetting.cancel()
        await asyncio.gather(*self._forgetting.values(), return_exceptions=True)
        await asyncio.gather(*(workload.close() for workload in self._by_key.values()))

    def _new(self, key: WorkloadKey, digest: str) -> Workload | None:
        if key in self._by_key:
            return None
        try:
            directory = SessionDir.of(self.root, key)
        except InvalidSessionId as error:
            log.error("the plan names a session badly", why=str(error))
            return None
        self._by_key[key] = Workload(directory, digest, self.around)
        return self._by_key[key]

    def _start(self, key: WorkloadKey, digest: str) -> None:
        if (workload := self._new(key, digest)) is not None:
            workload.begin()
            self.around.changed(True)

    def _stop(self, key: WorkloadKey, cause: StopCause, reason: int) -> None:
        known = self._by_key.get(key)
        wanted = cast("sessions_pb2.SessionReason", reason) if reason else _STOP_REQUESTED
        if known is not None:
            log.info("workload to stop", workload=str(key), cause=cause.value)
            known.ask_stop(wanted)
        elif (workload := self._new(key, "")) is not None:
            spent = cause is StopCause.SPENT
            workload.refuse(_WRAPPER_LOST if spent else wanted, _SPENT if spent else _STOPPED_EARLY)

    def _forget(self, key: WorkloadKey) -> None:
        if key not in self._forgetting:
            self._forgetting[key] = asyncio.create_task(self._remove(key), name=f"forget {key}")

    async def _remove(self, key: WorkloadKey) -> None:
        why = ""
        while True:
            try:
                async with self._removals:
                    await self._by_key[key].forget(self.root.parent / KEPT_LOGS, partial(self.ledger.add, key))
                break
            except Exception as error:
                if repr(error) != why:
                    why = repr(error)
                    log.exception("an ended workload's directory cannot be removed", workload=str(key))
            await asyncio.sleep(self.around.timing.remove_again_s)
        del self._by_key[key], self._forgetting[key]
        self.around.changed(True)
