"""`quarterdeck up`: starts broker, control plane and a local agent, keeps them running, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from controlplane import __version__
from controlplane.settings import Settings, child_environment, sign_in_link
from controlplane.supervise import broker, claims, containers, family
from controlplane.supervise.oneshot import OneShots
from controlplane.supervise.part import Part, PartFailed, Recipe, trim_log

CONTROL_PLANE_NICE = 5  # a start or a busy minute of the control plane must not starve a stream on the same cores
RESTART_GROUP_NICE = 5  # what starts again gives way to what still plays; its games start groups of their own
AGENT_STOP_S = 30.0
ORPHAN_STOP_S = 5.0
LOG_CHECK_S = 60.0
REAP_S = 1.0
SAME_REQUEST_S = 0.5  # make and timeout signal us and our group: one wish, heard twice
DEMO_GAME = "broadside"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(settings: Settings, *, separate: bool, agent: bool, demo: bool) -> int:
    """Runs the house until a signal ends it; returns the exit code."""
    if separate and settings.uses_sqlite:
        tell("Error: --separate needs PostgreSQL: set QUARTERDECK_DATABASE_URL=postgresql+psycopg://…")
        return 2
    hosts = {"http_port": settings.http_host, "grpc_port": settings.grpc_host}
    listeners = {name: (hosts.get(name, settings.link_host), port) for name, port in settings.listeners().items()}
    try:
        with claims.data_directory(settings.data_dir) as claim:
            claims.ports(listeners)
            family.adopt_orphans()
            return asyncio.run(House(settings, claim, separate=separate, agent=agent, demo=demo).live())
    except (claims.Taken, broker.NoBroker, OSError) as error:
        tell(f"Error: {error}")
        return 1


def tell(line: str) -> None:
    """One line for people; nobody listening is no reason to stop."""
    with contextlib.suppress(OSError):
        print(line, flush=True)  # noqa: T201


class House:
    """The parts in the order in which they start; they stop in reverse."""

    def __init__(self, settings: Settings, claim: int, *, separate: bool, agent: bool, demo: bool):
        self._settings = settings
        self._claim = claim
        self._separate, self._with_agent, self._with_demo = separate, agent, demo
        self._parts: list[Part] = []
        self._stop, self._firm = asyncio.Event(), asyncio.Event()
        self._asked_at = 0.0
        self._one_shots = OneShots()
        self._environment = child_environment()

    async def live(self) -> int:
        """Starts everything, waits for the end, stops everything. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._asked_to_stop)
        code = 0
        try:
            await self._until_stopped(self._open())
            looked_at = time.monotonic()
            while not self._stop.is_set():
                # Not by their signals: a game whose processes end without end would flood the loop, and stop it.
                await self._pause(REAP_S)
                self._reap()
                if time.monotonic() - looked_at >= LOG_CHECK_S:
                    looked_at = time.monotonic()
                    for part in self._parts:
                        trim_log(part.recipe.log)
        except PartFailed as error:
            tell(f"Error: {error}")
            code = 1
        await self._close()
        return code

    async def _open(self) -> None:
        started = time.monotonic()
        tell(f"Quarterdeck {__version__} starts on {self._settings.data_dir}")
        if not self._settings.nats_url:
            self._start_broker()
        welcome = await (self._start_separate() if self._separate else self._start_together())
        tell(f"Control plane ready after {time.monotonic() - started:.1f} s")
        if self._with_agent and "join_token_file" in welcome:
            self._start_agent(welcome)
        elif self._with_agent:
            tell("No host agent: an operator has terminated vms/local. Another --data-dir starts afresh.")
        self._greet(welcome, await asyncio.to_thread(containers.notice, self._environment) if self._with_agent else "")
        if self._with_demo:
            await self._first_session()

    def _start_broker(self) -> None:
        prepared = broker.prepare(self._settings.data_dir / "nats")
        self._environment = child_environment(nats_url=prepared.url, nats_token_file=str(prepared.token_file))
        self._start("nats-server", prepared.argv, stop_s=10)
        tell(f"nats-server on {prepared.url}")

    async def _start_together(self) -> dict[str, Any]:
        return await self._start_role("all", "--welcome").ready()

    async def _start_separate(self) -> dict[str, Any]:
        await self._one_shots.check(self._role_argv("migrate", None), self._environment)
        api = self._start_role("api", "--welcome")
        others = [self._start_role("gateway"), self._start_role("processor")]
        welcome = await api.ready()
        for part in others:
            await part.ready()
        return welcome

    def _start_role(self, role: str, *first_only: str) -> Part:
        return self._start(
            role,
            self._role_argv(role, "{status_fd}"),
            first_only=first_only,
            nice=CONTROL_PLANE_NICE,
            restart_group_nice=RESTART_GROUP_NICE,
            keep_open=(self._claim,),
        )

    def _role_argv(self, role: str, status_fd: str | None) -> tuple[str, ...]:
        settings = self._settings
        ports = {
            "all": ("--http-port", str(settings.http_port), "--grpc-port", str(settings.grpc_port)),
            "api": ("--grpc-port", str(settings.grpc_port)),
            "gateway": ("--http-port", str(settings.http_port), "--api", settings.own_target),
        }.get(role, ())
        status = ("--status-fd", status_fd) if status_fd else ()
        return (*_python("controlplane", role), "--data-dir", str(settings.data_dir), *ports, *status)

    def _start_agent(self, welcome: dict[str, Any]) -> None:
        settings = self._settings
        argv = (
            *_python("hostagent", "run"),
            *("--data-dir", str(settings.data_dir / "agent")),
            *("--enrolment-target", welcome["enrolment_target"]),
            # It may have enrolled when the house was on another port.
            *("--link-target", welcome["link_target"]),
            *("--ca-sha256", welcome["ca_sha256"]),
            *("--join-token-file", welcome["join_token_file"]),
            "--stop-sessions-on-exit",
        )
        # Killed with the parent, not asked to stop: sessions play on, and the next `up` takes them over.
        self._start(
            "agent",
            argv,
            stop_s=AGENT_STOP_S,
            death_signal=signal.SIGKILL,
            restart_group_nice=RESTART_GROUP_NICE,
        )
        tell("Host agent started: this machine is vms/local")

    def _start(self, name: str, argv: tuple[str, ...], **more: Any) -> Part:
        more.setdefault("keep_open", (self._claim,) if name != "agent" else ())
        log = self._settings.data_dir / "log" / f"{name}.log"
        part = Part(Recipe(name=name, argv=argv, log=log, environment=self._environment, **more), tell)
        part.start()
        self._parts.append(part)
        return part

    def _greet(self, welcome: dict[str, Any], about_containers: str) -> None:
        settings = self._settings
        tell("")
        if about_containers:
            tell(f"  Docker   {about_containers}")
        tell(f"  Page     {sign_in_link(settings.gateway_url, welcome['sign_in_code'])}")
        tell("           (signs one browser in; `quarterdeck signin` makes another link)")
        tell(f"  gRPC     {settings.own_target}, token in {settings.token_file}")
        tell(f"  Logs     {settings.data_dir / 'log'}")
        tell("  Ctrl-C stops everything.")
        tell("")

    async def _first_session(self) -> None:
        tell("Starting a first session of the demo game …")
        access = ("--target", self._settings.own_target, "--token-file", str(self._settings.token_file))
        create = ("sessions", "create", DEMO_GAME, "--wait", "--disconnect-timeout", "900", "--output", "json")
        try:
            session = await self._one_shots.json(_python("controlplane", *create, *access), self._environment)
            name = session["name"]
            if session.get("state") != "SESSION_STATE_RUNNING":
                raise PartFailed(f"{name} is {session.get('state')}: {session.get('reasonDetail', '')}")
            link = _python("controlplane", "signin", "--session", name, "--url", self._settings.gateway_url)
            signed = await self._one_shots.json((*link, "--output", "json", *access), self._environment)
            tell(f"  Play     {signed['url']}")
            tell("")
        except PartFailed as error:  # the house stands; only its first guest is missing
            tell(f"No first session: {error}")

    def _asked_to_stop(self) -> None:
        now = time.monotonic()
        if not self._stop.is_set():
            self._asked_at = now
            tell("Stopping … (once more: firmly)")
            self._stop.set()
        elif now - self._asked_at > SAME_REQUEST_S and not self._firm.is_set():
            tell("Stopping firmly …")
            self._firm.set()

    async def _until_stopped(self, work: Awaitable[None]) -> None:
        task, stop = asyncio.ensure_future(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _close(self) -> None:
        """In reverse order, or all at once and firmly when asked a second time; then whatever is left below us."""
        closing, firm = asyncio.create_task(self._close_parts()), asyncio.create_task(self._firm.wait())
        await asyncio.wait([closing, firm], return_when=asyncio.FIRST_COMPLETED)
        firm.cancel()
        if not closing.done():
            for part in self._parts:
                part.give_up()
            family.send(family.descendants(), signal.SIGKILL)
            await closing
        await self._end_orphans()
        tell("Stopped.")

    async def _close_parts(self) -> None:
        self._one_shots.end()
        for part in reversed(self._parts):
            await part.stop()

    async def _end_orphans(self) -> None:
        """Wrappers whose agent died before it could stop them."""
        deadline = time.monotonic() + ORPHAN_STOP_S
        number = signal.SIGTERM
        while orphans := family.descendants():
            family.send(orphans, number)
            self._reap()
            if time.monotonic() > deadline:
                number = signal.SIGKILL
            await asyncio.sleep(0.05)  # there is no event for "the last descendant is gone"

    def _reap(self) -> None:
        kept = {part.process.pid for part in self._parts if part.process is not None}
        family.reap_orphans(kept | self._one_shots.pids)


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (str(Path(sys.executable)), "-m", module, *arguments)
