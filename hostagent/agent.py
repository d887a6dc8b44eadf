"""The host agent: enrols, adopts what runs, links, and keeps this host as the plan wants it.

It may die at any moment: sessions go on, and the next agent finds everything it needs in the data directory.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import structlog
from quarterdeck.v1 import agent_pb2, hosts_pb2

from hostagent.adopt import adopt
from hostagent.enrolment import EnrolmentRefused, Invitation, enrol
from hostagent.identity import Identity, IdentityStore
from hostagent.inventory import local_addresses, probe_until_answered, take_inventory, version
from hostagent.link import Link
from hostagent.logshipper import LogShipper
from hostagent.plan import Plan, Want, WorkloadKey, accept, decide
from hostagent.runtime import Runtime
from hostagent.runtime.choice import choose_runtime
from hostagent.runtime.process import ProcessRuntime
from hostagent.saves import Saves
from hostagent.settings import Settings
from hostagent.surroundings import Surroundings
from hostagent.transfer import ArchiveLink, Stub
from hostagent.usage import Meter
from hostagent.workloads import Workloads

log = structlog.get_logger()
_LEAVE_S = 5.0
# Sessions to adopt shall not wait for codecs: encoders that are found later are told by a new hello.
_FIRST_PROBE_S = 5.0


class DataDirectoryBusy(Exception):
    """Another agent works on this data directory."""


class HostAgent:
    """The running agent: what the link tells it becomes the next reconciliation."""

    def __init__(self, settings: Settings, runtime: Runtime) -> None:
        self._settings = settings
        self._start_id = secrets.token_hex(16)
        self._inventory = hosts_pb2.Inventory()
        self._plan: Plan | None = None
        self._acted_version = 0
        self._wake = asyncio.Event()
        self._leases: set[asyncio.Task[None]] = set()
        self._link: Link | None = None
        self._linking: asyncio.Task[None] | None = None
        self._reconciling: asyncio.Task[None] | None = None
        saves = Saves(settings.data_dir / "unstored", ArchiveLink(self._stub), self._changed)
        around = Surroundings(runtime=runtime, specs=self._fetch_spec, changed=self._changed, saves=saves)
        self.workloads = Workloads(settings.sessions_dir, around)

    async def run(self, leave: asyncio.Event) -> None:
        """Adopts what runs, then works until `leave` is set. Raises EnrolmentRefused, IdentityBroken."""
        self.workloads.around.saves.begin(self._settings.sessions_dir)
        await adopt(self.workloads)
        working = asyncio.create_task(self._work(), name="work")
        meter = Meter(self.workloads.around.runtime, self.workloads.measured)
        measuring = asyncio.create_task(meter.run(self.workloads.running, self._settings.measure_s), name="measure")
        measuring.add_done_callback(_log_failure)
        leaving: asyncio.Task[bool] = asyncio.create_task(leave.wait(), name="leave")
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()  # it does not end by itself: this raises what ended it
            await self._leave()
        finally:
            for task in (working, leaving, measuring):
                task.cancel()
            await asyncio.wait({working, leaving, measuring})
            await self.workloads.close()
            await self.workloads.around.saves.close()
            await self.workloads.around.runtime.close()

    async def _work(self) -> None:
        """Enrols if need be, then keeps the link and the plan."""
        settings = self._settings
        self._inventory = await take_inventory(settings.data_dir, self.workloads.around.runtime.names)
        probing = asyncio.create_task(probe_until_answered(settings.probe_command), name="probe")
        probing.add_done_callback(self._on_probed)
        try:
            store = IdentityStore(settings.data_dir)
            identity = await _enrolled(store, settings)
            await asyncio.wait({probing}, timeout=_FIRST_PROBE_S)
            encoders = [encoder.encoder_name for encoder in self._inventory.encoders]
            log.info("agent ready", version=version(), host=identity.host, encoders=encoders)
            self._link = Link(store, identity, self, self.workloads, self._link_lost, settings.link_target)
            await self._link_and_reconcile(self._link, LogShipper(self.workloads, self._link.append_log))
        finally:
            probing.cancel()

    def _on_probed(self, probing: asyncio.Task[list[hosts_pb2.Encoder]]) -> None:
        if not probing.cancelled():
            self._inventory.encoders.extend(probing.result())
            if self._link is not None:
                self._link.again()

    async def _link_and_reconcile(self, link: Link, logs: LogShipper) -> None:
        self._linking = linking = asyncio.create_task(link.run(), name="link")
        self._reconciling = reconciling = asyncio.create_task(self._reconcile_for_ever(), name="reconcile")
        shipping = asyncio.create_task(logs.run(), name="logs")
        tasks = {linking, reconciling, shipping}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _leave(self) -> None:
        if self._reconciling is not None:
            self._reconciling.cancel()
        if self._settings.stop_sessions_on_exit:
            log.info("stopping all sessions")
            await self.workloads.stop_all()
        if self._link is not None and self._linking is not None:
            self._link.leave("the agent stops")
            await asyncio.wait({self._linking}, timeout=_LEAVE_S)
        log.info("agent stopped", sessions_left_running=not self._settings.stop_sessions_on_exit)

    def hello(self) -> agent_pb2.Hello:
        """See LinkedHost."""
        return agent_pb2.Hello(
            inventory=self._inventory,
            start_id=self._start_id,
            addresses=self._settings.advertised_addresses or local_addresses(),
            workloads=self.workloads.report(),
        )

    def on_plan(self, plan: Plan) -> None:
        """See LinkedHost."""
        self._plan = accept(self._plan, plan)
        self._wake.set()

    def observed_plan_version(self) -> int:
        """See LinkedHost."""
        return self._acted_version

    def on_proof(self, proven_at: float) -> None:
        """See LinkedHost: sessions that the plan wants to run here may go on for another lease."""
        if self._plan is None:
            return
        keys = [planned.key for planned in self._plan.sessions if planned.want is Want.RUN]
        task = asyncio.create_task(self.workloads.renew_leases(keys, proven_at))
        self._leases.add(task)
        task.add_done_callback(self._leases.discard)

    def _link_lost(self) -> None:
        # A plan is good for its own link only: on the next one it may be another.
        self._plan = None
        self._acted_version = 0

    def _changed(self, urgent: bool) -> None:
        if urgent:
            self._wake.set()
        if self._link is not None:
            self._link.report(urgent)

    def _stub(self) -> Stub | None:
        return self._link.stub if self._link is not None else None

    async def _fetch_spec(self, digest: str) -> bytes | None:
        return await self._link.fetch_spec(digest) if self._link is not None else None

    async def _reconcile_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        unlisted_since: Mapping[WorkloadKey, float] = {}
        while True:
            self._wake.clear()
            plan = self._plan
            grace_s = self._settings.orphan_grace_s
            spent = self.workloads.ledger.newest
            decision = decide(plan, self.workloads.observed(), unlisted_since, spent, loop.time(), grace_s)
            unlisted_since = decision.unlisted_since
            self.workloads.carry_out(decision.actions)
            for planned in plan.sessions if plan is not None else ():
                self.workloads.back_up(planned.key, planned.backup_id)
            if plan is not None and plan is self._plan and plan.version != self._acted_version:
                self._acted_version = plan.version
                self._changed(urgent=True)
            try:
                async with asyncio.timeout_at(decision.wake_at):
                    await self._wake.wait()
            except TimeoutError:
                continue


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("sessions are no longer measured", exc_info=error)


async def run_agent(settings: Settings) -> None:
    """The whole agent. Raises EnrolmentRefused, IdentityBroken, DataDirectoryBusy, NoRuntime."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(settings.data_dir):
        settings.sessions_dir.mkdir(mode=0o700, exist_ok=True)
        leave = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, leave.set)
        processes = ProcessRuntime(settings.sessions_dir, settings.wrapper_command, settings.limits)
        runtime = await choose_runtime(settings.runtime, settings.sessions_dir, processes, settings.docker)
        await HostAgent(settings, runtime).run(leave)


async def _enrolled(store: IdentityStore, settings: Settings) -> Identity:
    stored = store.load()
    pin = settings.ca_sha256.lower() if settings.ca_sha256 else None
    token = _token(settings)
    known = stored is not None and pin in (None, stored.ca_sha256())
    if stored is not None and known and not (stored.seems_over() and token):
        if settings.join_token_file is not None:
            settings.join_token_file.unlink(missing_ok=True)  # not needed any more, and a secret
        return stored
    if settings.enrolment_target is None or pin is None or token is None:
        raise EnrolmentRefused(
            "this host is not enrolled: give --enrolment-target, --ca-sha256 and --join-token-file "
            "(or QUARTERDECK_AGENT_JOIN_TOKEN); an operator makes a join token with the VM"
        )
    return await enrol(store, Invitation(settings.enrolment_target, pin, token, settings.join_token_file))


def _token(settings: Settings) -> str | None:
    if settings.join_token:
        return settings.join_token
    try:
        path = settings.join_token_file
        return (path.read_text(encoding="ascii").strip() or None) if path is not None else None
    except FileNotFoundError:
        return None


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Holds the data directory; the kernel lets go when the process ends, however it ends. Raises DataDirectoryBusy."""
    descriptor = os.open(data_dir / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataDirectoryBusy(f"another agent works on {data_dir}") from error
        yield
    finally:
        os.close(descriptor)


def configure_logs() -> None:
    """One line per event on standard error: for people on a terminal, JSON otherwise."""
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    errors = () if terminal else (structlog.processors.format_exc_info,)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *errors,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
