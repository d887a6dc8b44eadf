"""One workload from its spec to its end: prepares, starts or adopts the wrapper, follows it, stops it, tells its end.

The end is told only when no process of it is left, so that its ports are free when the control plane reads EXITED.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

import structlog
from google.protobuf.message import DecodeError
from quarterdeck.v1 import sessions_pb2, wrapper_pb2

from hostagent import netports, statuses, watchdog
from hostagent.lifecycle import Phase, Trigger, after
from hostagent.orders import leases_of, order_of, reason_of, stop_grace_s
from hostagent.plan import WorkloadKey
from hostagent.procfs import ProcessId
from hostagent.runtime import Instance, StartFailed, Usage, ending
from hostagent.sessiondir import STATUS, Launch, SessionDir, launch_now
from hostagent.surroundings import Surroundings
from hostagent.threads import in_a_thread_of_its_own
from hostagent.usage import grown
from hostagent.wrapperlink import WrapperLink, WrapperUnreachable

log = structlog.get_logger()
Reason = sessions_pb2.SessionReason


class Workload:
    """One workload. Its task runs until the workload has ended; `forget` then removes its directory."""

    def __init__(self, directory: SessionDir, digest: str, around: Surroundings) -> None:
        self.directory = directory
        self.phase = Phase.PREPARING
        self._digest = digest
        self._around = around
        self._spec = wrapper_pb2.SessionSpec()
        self._launch = launch_now()
        self._last: wrapper_pb2.WorkloadStatus | None = None
        self._progress = ""
        self._usage: Usage | None = None
        self._heard = False
        self._stop_reason: sessions_pb2.SessionReason | None = None
        self._stop_detail = ""
        self._stop_asked = asyncio.Event()
        self._preparing: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._link: WrapperLink | None = None
        self._lease_renewed_at = float("-inf")
        self._backups: dict[str, asyncio.Task[None]] = {}

    @property
    def key(self) -> WorkloadKey:
        """Which workload this is."""
        return self.directory.key

    @property
    def link(self) -> WrapperLink | None:
        """The connection to the wrapper, while there is one."""
        return self._link

    @property
    def lease_s(self) -> float | None:
        """The lease of a session that may be re-placed; None for all others."""
        return self._spec.lease.ToNanoseconds() / 1e9 if self._spec.HasField("lease") else None

    @property
    def disk_limit_bytes(self) -> int:
        """What its files may take together; 0: no bound."""
        return self._spec.deployment.disk_bytes

    def status(self) -> wrapper_pb2.WorkloadStatus:
        """What to report now."""
        return statuses.snapshot(self.key, self.phase, self._last, self._launch.age_s(), self._progress, self._usage)

    def used(self, usage: Usage) -> None:
        """Takes in a measurement, told with the next report."""
        self._usage = grown(self._usage, usage)
        self._around.changed(False)
        if statuses.breaks_disk_limit(usage, self.disk_limit_bytes):
            self.ask_stop(Reason.SESSION_REASON_DISK_LIMIT)

    def begin(self) -> None:
        """Starts the workload; call once, and only where no trace of it is on this host."""
        self._run(self._live)

    def adopt(self, instance: Instance, launch: Launch, last: wrapper_pb2.WorkloadStatus | None) -> None:
        """Takes over a running wrapper that an earlier agent started."""
        self._launch, self._last = launch, last
        self._load_spec(self.directory.spec() or b"")
        self._move(Trigger.LAUNCHED)
        if last is not None:
            self._take(last)
        self._run(partial(self._oversee, instance, adopted=True))

    def finish(self, status: wrapper_pb2.WorkloadStatus, launch: Launch | None) -> None:
        """Ends what an earlier agent started and nobody runs any more: kills what is left, then tells `status`."""
        self._launch, self._last = launch or self._launch, status
        self._move(Trigger.LAUNCHED)
        self.ask_stop(status.reason)
        self._run(partial(self._clear_and_settle, status))

    def settle(self, status: wrapper_pb2.WorkloadStatus) -> None:
        """Makes `status` the workload's end, durably."""
        try:
            # First: a full disk has room for this. And it ends all the same, whatever a game has made of its files.
            self._around.saves.set_aside(self.directory)
        except Exception:
            log.exception("an ended workload's files could not be set aside", workload=str(self.key))
        try:
            if not self.directory.path.exists():
                self.directory.create()
            if statuses.parse(self.directory.read(STATUS), self.key) != status:
                self.directory.write(STATUS, status.SerializeToString())
        except OSError as error:
            log.error("a workload's end could not be recorded", workload=str(self.key), why=str(error))
        self._last = status
        self._move(Trigger.ENDED)
        self._around.changed(True)

    def ask_stop(self, reason: sessions_pb2.SessionReason, detail: str = "") -> None:
        """Begins the polite stop, once; the firm one follows by itself."""
        if self._stop_asked.is_set() or self.phase is Phase.EXITED:
            return
        self._stop_detail = detail
        self._begin_stop(reason)
        self._move(Trigger.STOP_BEGAN)
        if self._preparing is not None:
            self._preparing.cancel()
        self._around.changed(True)

    def back_up(self, backup_id: str) -> None:
        """Begins to make a backup of the running game, once; one that its end cuts off is not made."""
        if self.phase is Phase.RUNNING and self._link is not None and backup_id not in self._backups:
            work = self._around.saves.back_up(self.directory, self._spec, self._link, backup_id)
            self._backups[backup_id] = asyncio.create_task(work, name=f"backup {backup_id}")
            self._backups[backup_id].add_done_callback(self._log_failure)

    def refuse(self, reason: sessions_pb2.SessionReason, detail: str) -> None:
        """Ends a workload of which there is no trace here: from now on it can never be started."""
        self.settle(statuses.exited(self.key, reason, detail))

    async def forget(self, keep_log_in: Path, note: Callable[[], None]) -> None:
        """Removes the directory of an ended workload, once nothing in it is to be kept. Raises OSError.

        `note` remembers the end for good: once its files are gone, whose room it may need, and before its records are.
        """
        await self.close()
        self._around.saves.set_aside(self.directory)
        self._around.saves.forget(self.key)
        await in_a_thread_of_its_own(lambda: self.directory.strip(keep_log_in), "remove")
        note()
        await in_a_thread_of_its_own(self.directory.remove, "remove")

    async def ended(self) -> None:
        """Returns when the workload has ended, or its task was closed."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def close(self) -> None:
        """Lets go; a running wrapper goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def renew_lease(self, proven_at: float) -> None:
        """Extends the lease, counted from when this host was last surely known (event-loop time, seconds)."""
        lease_s, now = self.lease_s, asyncio.get_running_loop().time()
        if lease_s is None or self._link is None or now - self._lease_renewed_at < lease_s / 10:
            return
        remaining_s = lease_s - (now - proven_at)
        if remaining_s > 0 and not self._stop_asked.is_set():
            self._lease_renewed_at = now
            try:
                await self._link.renew_lease(remaining_s)
            except WrapperUnreachable as error:
                self._lease_renewed_at = float("-inf")
                log.warning("lease not renewed", workload=str(self.key), why=str(error))

    def _run(self, life: Callable[[], Awaitable[None]]) -> None:
        self._task = asyncio.create_task(self._to_its_end(life), name=f"workload {self.key}")

    async def _to_its_end(self, life: Callable[[], Awaitable[None]]) -> None:
        """Whatever escapes, the workload ends and that is told: nobody else would."""
        try:
            await life()
        except (Exception, asyncio.CancelledError) as error:
            if self._task is not None and self._task.cancelling():
                raise
            log.exception("a workload is no longer followed", workload=str(self.key))
            unbegun = self.phase is Phase.PREPARING
            reason = Reason.SESSION_REASON_START_FAILED if unbegun else Reason.SESSION_REASON_WRAPPER_LOST
            detail = f"its agent failed: {type(error).__name__}"
            await self._clear_and_settle(statuses.exited(self.key, self._stop_reason or reason, detail, self._last))

    async def _live(self) -> None:
        try:
            self._preparing = asyncio.create_task(self._prepare(), name=f"prepare {self.key}")
            try:
                await asyncio.wait({self._preparing})
            finally:
                preparing, self._preparing = self._preparing, None
                preparing.cancel()
            if self._stop_reason is not None:
                self.settle(statuses.exited(self.key, self._stop_reason, "stopped before it was started"))
                return
            preparing.result()
            instance = await self._start()
        except (StartFailed, OSError) as error:
            log.warning("workload not started", workload=str(self.key), why=str(error))
            await self._clear_and_settle(statuses.exited(self.key, reason_of(error), str(error)))
            return
        await self._oversee(instance, adopted=False)

    async def _prepare(self) -> None:
        while True:
            if (content := await self._around.specs(self._digest)) is not None:
                break
            await asyncio.sleep(self._around.timing.spec_retry_s)
        if hashlib.sha256(content).hexdigest() != self._digest or not self._load_spec(content):
            raise StartFailed("the spec does not match the plan")
        self.directory.create()
        self.directory.write_spec(content)
        await asyncio.to_thread(netports.check, leases_of(self._spec))
        await self._around.saves.restore(self.directory, self._spec, self._tell)
        await self._around.runtime.prepare(order_of(self.directory.path, self._spec), self._tell)

    def _tell(self, progress: str) -> None:
        # Not urgent: a long fetch must not become a flood of reports, only never silence.
        self._progress = progress
        self._around.changed(False)

    async def _start(self) -> Instance:
        # Once more: the time that a save and an image take is long enough for others to come.
        await asyncio.to_thread(netports.check, leases_of(self._spec))
        self._launch = launch_now()
        self.directory.record_launch(self._launch)
        instance = await self._around.runtime.start(order_of(self.directory.path, self._spec))
        self._launch = self._launch.of(instance.process)
        self._move(Trigger.LAUNCHED)
        if self._stop_asked.is_set():
            self._move(Trigger.STOP_BEGAN)
        self._around.changed(True)
        log.info("workload started", workload=str(self.key), wrapper_pid=instance.process.pid)
        return instance

    async def _oversee(self, instance: Instance, adopted: bool) -> None:
        self._link = link = WrapperLink(self.directory.path)
        helpers = (
            asyncio.create_task(self._follow(link, instance.process, adopted)),
            asyncio.create_task(self._stop_when_asked(link, instance.process)),
            asyncio.create_task(self._guard(link)),
            asyncio.create_task(
                self._around.saves.keep(self.directory, self._spec, link, lambda: self.phase is Phase.RUNNING)
            ),
        )
        for helper in helpers:
            helper.add_done_callback(self._log_failure)
        try:
            # What the wrapper said last may still be on its way; its durable status says the same.
            exit_code = await self._around.runtime.wait(instance)
        finally:
            self._link = None
            working = (*helpers, *self._backups.values())
            for helper in working:
                helper.cancel()
            await asyncio.wait(working)
            await link.close()
        starved = await self._around.runtime.out_of_memory(self.directory.path)
        await self._clear()
        limits_bytes = self._spec.deployment.container.memory_bytes, self.disk_limit_bytes
        self.settle(statuses.measured(self._end(exit_code), self._usage, starved, *limits_bytes))
        log.info("workload ended", workload=str(self.key), exit_code=exit_code)

    async def _follow(self, link: WrapperLink, process: ProcessId, adopted: bool) -> None:
        while True:
            begins = not adopted and not self._heard
            try:
                if begins:  # no game may hide the socket before: its wrapper waits for the record
                    await link.hold(self._around.timing.ready_s)
                    self.directory.record_launch(self._launch)
                await link.until_ready(self._around.timing.ready_s)
            except (WrapperUnreachable, OSError) as error:
                log.warning("wrapper unreachable", workload=str(self.key), why=str(error))
                if begins:
                    self.ask_stop(Reason.SESSION_REASON_START_FAILED, str(error))
                    await self._kill(process)
                    return
            async with aclosing(link.watch(self._around.timing.pace_s)) as said:
                async for status in said:
                    if not self._hear(status):
                        break
            await asyncio.sleep(self._around.timing.reconnect_s)

    def _hear(self, status: wrapper_pb2.WorkloadStatus) -> bool:
        """False: it is not this session's wrapper that speaks."""
        if (status.session_id, status.generation) != (self.key.session_id, self.key.generation):
            log.error("a wrapper speaks of another session", workload=str(self.key), of=status.session_id[:80])
            return False
        status = statuses.bounded(status)
        urgent = not statuses.same_but_for_figures(self._last, status)
        self._heard = True
        self._take(status)
        self._around.changed(urgent)
        return True

    def _take(self, status: wrapper_pb2.WorkloadStatus) -> None:
        self._last = status
        if trigger := statuses.trigger_of(status):
            self._move(trigger)
        if status.state in (wrapper_pb2.WORKLOAD_STATE_STOPPING, wrapper_pb2.WORKLOAD_STATE_EXITED):
            self._begin_stop(status.reason)

    def _begin_stop(self, reason: sessions_pb2.SessionReason) -> None:
        # Also when the wrapper stops by itself: then only the firm end remains to be watched.
        if not self._stop_asked.is_set():
            self._stop_reason = reason or Reason.SESSION_REASON_STOP_REQUESTED
            self._stop_asked.set()

    async def _stop_when_asked(self, link: WrapperLink, process: ProcessId) -> None:
        await self._stop_asked.wait()
        timing = self._around.timing
        grace_s = stop_grace_s(self._spec.deployment, timing.default_grace_s)
        try:
            async with asyncio.timeout(grace_s + timing.firm_margin_s):
                await self._ask_politely(link)
                await asyncio.Event().wait()  # the end of the wrapper cancels this
        except TimeoutError:
            killed = await self._kill(process)
            log.warning("workload killed: it did not stop in time", workload=str(self.key), processes=killed)

    async def _guard(self, link: WrapperLink) -> None:
        """Stops what its own wrapper should have stopped."""
        terms = self._around.timing.watchdog
        verdict = await watchdog.watch(
            link.answers, lambda: watchdog.overdue(self._spec, self._last, self._launch.age_s(), terms), terms
        )
        log.warning("workload to stop: its wrapper fails", workload=str(self.key), why=verdict.detail)
        self.ask_stop(verdict.reason, verdict.detail)

    async def _clear(self) -> None:
        left = await self._kill(None)
        if left:
            log.warning("processes left behind by a wrapper were killed", workload=str(self.key), processes=left)

    async def _clear_and_settle(self, status: wrapper_pb2.WorkloadStatus) -> None:
        await self._clear()
        self.settle(status)

    async def _kill(self, leader: ProcessId | None) -> int:
        """Returns how many processes were killed, once none is left: until then the workload has not ended."""
        why = ""
        while True:
            try:
                return await self._around.runtime.kill(self.directory.path, leader)
            except OSError as error:  # also for want of descriptors or memory: both come back
                if str(error) != why:
                    why = str(error)
                    log.error("a workload cannot be killed", workload=str(self.key), why=why)
            await asyncio.sleep(self._around.timing.kill_again_s)

    def _log_failure(self, helper: asyncio.Task[None]) -> None:
        if not helper.cancelled() and (error := helper.exception()):
            log.error("a workload is no longer followed", workload=str(self.key), exc_info=error)

    async def _ask_politely(self, link: WrapperLink) -> None:
        while True:
            try:
                return await link.stop(self._stop_reason or Reason.SESSION_REASON_STOP_REQUESTED)
            except WrapperUnreachable as error:
                log.warning("wrapper does not hear the stop", workload=str(self.key), why=str(error))
                await asyncio.sleep(self._around.timing.reconnect_s)

    def _end(self, exit_code: int | None) -> wrapper_pb2.WorkloadStatus:
        durable = statuses.parse(self.directory.read(STATUS), self.key)
        # On a full disk only the word of its socket is left.
        told = (durable, self._last)
        if self._stop_reason is not None:
            return statuses.stopped(self.key, told, ending(exit_code), self._stop_reason, self._stop_detail)
        return statuses.died(self.key, told, ending(exit_code), self.directory.output_tail())

    def _load_spec(self, content: bytes) -> bool:
        try:
            spec = wrapper_pb2.SessionSpec.FromString(content)
        except DecodeError:
            return False
        if (spec.session_id, spec.generation) != (self.key.session_id, self.key.generation):
            return False
        self._spec = spec
        return True

    def _move(self, trigger: Trigger) -> None:
        self.phase = after(self.phase, trigger)
