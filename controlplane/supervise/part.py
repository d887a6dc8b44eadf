"""One supervised process: started in its own session, told apart by its log, restarted when it dies, stopped in time.

It ends with the parent even if that is killed (PR_SET_PDEATHSIG), and says over a pipe when it is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controlplane.supervise.restarts import Backoff

PR_SET_PDEATHSIG = 1
LOG_KEPT_BYTES = 20 * 1024 * 1024
_libc = ctypes.CDLL(None, use_errno=True)


class PartFailed(Exception):
    """A part ended before it was ready; the message says how, and what it said last."""


@dataclass(frozen=True)
class Recipe:
    """How to start a part. `{status_fd}` in argv becomes the pipe on which it says `{"ready": true, …}` once.

    `first_only` is added to argv at the first start; `keep_open` are descriptors it inherits; `death_signal` is what it
    gets when the parent dies; `stop_s` how long it may take to stop politely. Started again, its whole session is nice
    to others by `restart_group_nice` where the kernel groups by session (autogroup, sched(7)): there `nice` counts
    inside the session only.
    """

    name: str
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    first_only: Sequence[str] = ()
    nice: int = 0
    restart_group_nice: int = 0
    death_signal: signal.Signals = signal.SIGTERM
    stop_s: float = 10.0
    keep_open: tuple[int, ...] = ()


@dataclass
class Part:
    """A recipe at work. `say` gets one line for people whenever something happens to it."""

    recipe: Recipe
    say: Callable[[str], None]
    process: subprocess.Popen[bytes] | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: asyncio.Future[dict[str, Any]] | None = None
    _keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts it and keeps it running until `stop`."""
        self._ready = asyncio.get_running_loop().create_future()
        self._ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())  # who waits hears it too
        if not any("{status_fd}" in argument for argument in self.recipe.argv):
            self._ready.set_result({})
        self._keeper = asyncio.create_task(self._keep(), name=self.recipe.name)

    async def ready(self) -> dict[str, Any]:
        """What it first said when it was ready, nothing for a part that cannot. Raises PartFailed if it ended first."""
        assert self._ready is not None
        return await asyncio.shield(self._ready)

    def give_up(self) -> None:
        """From now on its end is final."""
        self._stopping.set()

    async def stop(self) -> None:
        """Politely, and firmly after `stop_s`."""
        self.give_up()
        if self._keeper is None:
            return
        self.signal(signal.SIGTERM)
        done, _ = await asyncio.wait([self._keeper], timeout=self.recipe.stop_s)
        if not done:
            self.say(f"{self.recipe.name} does not stop; ending it firmly")
            self.signal(signal.SIGKILL)
        await self._keeper

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal if it runs; SIGCONT goes along, so that a suspended process hears it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)

    async def _keep(self) -> None:
        backoff = Backoff(random.uniform)
        while not self._stopping.is_set():
            started = time.monotonic()
            status = await self._run_once()
            if self._stopping.is_set():
                return
            assert self._ready is not None
            if not self._ready.done():
                self._ready.set_exception(PartFailed(f"{self.recipe.name} {status}{_last_lines(self.recipe.log)}"))
                return
            delay_s = backoff.next_delay_s(time.monotonic() - started)
            self.say(f"{self.recipe.name} {status}; starting it again in {delay_s:.1f} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def _run_once(self) -> str:
        """Starts it and waits for its end; says how it ended."""
        read_end, write_end = os.pipe()
        try:
            self.process = _spawn(self.recipe, write_end, first=self.process is None)
        except OSError as error:
            os.close(read_end)
            return f"cannot be started: {error}"
        finally:
            os.close(write_end)
        reading = asyncio.create_task(self._read_status(read_end))
        try:
            await ended(self.process.pid)
            code = self.process.wait()
        finally:
            await reading
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    async def _read_status(self, descriptor: int) -> None:
        """Reads the pipe to its end, which comes when the process has closed it or died."""
        reader = asyncio.StreamReader(limit=64 * 1024)
        pipe = os.fdopen(descriptor, "rb")
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            async for line in reader:
                said = json.loads(line)
                if said.get("ready") and self._ready is not None and not self._ready.done():
                    self._ready.set_result(said)
        finally:
            transport.close()


async def ended(pid: int) -> None:
    """Returns when the process has ended; it is not reaped yet."""
    descriptor = os.pidfd_open(pid)
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def trim_log(log: Path) -> None:
    """Moves a log that has grown large aside. Its writer appends, so it goes on at the start of an empty file."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_KEPT_BYTES:
            log.with_suffix(".log.1").write_bytes(log.read_bytes())
            os.truncate(log, 0)


def _spawn(recipe: Recipe, status_fd: int, *, first: bool) -> subprocess.Popen[bytes]:
    parent = os.getpid()

    def before_exec() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(recipe.death_signal))
        if os.getppid() != parent:  # it died before the line above: nobody would tell us
            os._exit(1)
        os.nice(recipe.nice)
        if recipe.restart_group_nice and not first:
            _be_nice_as_a_group(recipe.restart_group_nice)

    recipe.log.parent.mkdir(parents=True, exist_ok=True)
    trim_log(recipe.log)
    with recipe.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - an argument list of our own, no shell
            [
                argument.replace("{status_fd}", str(status_fd))
                for argument in (*recipe.argv, *(recipe.first_only if first else ()))
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(recipe.environment),
            pass_fds=(status_fd, *recipe.keep_open),
            start_new_session=True,  # a Ctrl-C in the terminal is the parent's to hear
            preexec_fn=before_exec,
        )


def _be_nice_as_a_group(nice: int) -> None:
    with contextlib.suppress(OSError):  # a kernel that does not group by session heeds `nice` itself
        Path("/proc/self/autogroup").write_text(str(nice))


def _last_lines(log: Path, count: int = 15) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:] if log.exists() else []
    return "".join(f"\n    {line}" for line in lines) + f"\n  (the whole log: {log})"
