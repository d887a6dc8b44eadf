"""Runs each workload as a process tree of its own, without containers.

Each wrapper leads its own process session, so no signal to the agent's terminal, nor its death, reaches it.
The environment holds only what is listed here; the session directory in it is the mark by which the tree is found.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from hostagent import procfs
from hostagent.procfs import MARK, ProcessId
from hostagent.runtime import Instance, Order, StartFailed, Usage, ending, launch
from hostagent.runtime.environment import check_environment
from hostagent.runtime.pidfd import gone
from hostagent.sessiondir import OUTPUT

log = structlog.get_logger()
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
_KILL_ROUND_S = 0.02
_KILL_ROUNDS = 500


@dataclass(frozen=True)
class ProcessLimits:
    """Limits of each wrapper and all it starts."""

    open_files: int = 65536
    nice: int = 0


def default_command() -> tuple[str, ...]:
    """This interpreter's wrapper. `-P` keeps the session directory, where games write, out of the import path."""
    return (sys.executable, "-P", "-m", "wrapper")


@dataclass
class ProcessRuntime:
    """Wrappers as plain processes under `root`, the directory of session directories (absolute, without links)."""

    root: Path
    command: Sequence[str] = field(default_factory=default_command)
    limits: ProcessLimits = field(default_factory=ProcessLimits)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    names: tuple[str, ...] = ("process",)
    _children: dict[ProcessId, subprocess.Popen[bytes]] = field(default_factory=dict)

    async def prepare(self, order: Order, tell: Callable[[str], None] = lambda _: None) -> None:
        """Nothing to fetch: the program is on the machine. Raises StartFailed for what the order may not have."""
        if order.image:
            raise StartFailed("this host runs processes, not images")
        check_environment(order.environment)

    async def start(self, order: Order) -> Instance:
        """See Runtime.start."""
        return await asyncio.to_thread(self._spawn, order.session_dir)

    def _spawn(self, session_dir: Path) -> Instance:
        output = os.open(session_dir / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        limits = (str(self.limits.open_files), str(self.limits.nice))
        launcher = (sys.executable, "-I", "-S", launch.__file__, *limits)
        try:
            child = subprocess.Popen(  # noqa: S603 - an argument list of our own, no shell
                [*launcher, *self.command, "--session-dir", str(session_dir)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=session_dir,
                env=self._environment(session_dir),
                start_new_session=True,
                close_fds=True,
            )
        except OSError as error:
            raise StartFailed(f"cannot start the wrapper: {error.strerror or error}") from error
        finally:
            os.close(output)
        process = procfs.identify(child.pid)
        if process is None:
            child.wait()
            raise StartFailed(f"the wrapper ended at once{ending(child.returncode)}")
        self._children[process] = child
        return Instance(session_dir, process)

    def _environment(self, session_dir: Path) -> dict[str, str]:
        passed = {name: self.environment[name] for name in _PASSED_ON if name in self.environment}
        home = {"HOME": str(session_dir), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        return {**passed, **home, MARK: str(session_dir)}

    async def find(self) -> Sequence[Instance]:
        """See Runtime.find: the oldest marked process that leads a process session stands for its directory."""
        rows = await asyncio.to_thread(lambda: list(procfs.rows()))
        leaders: dict[str, ProcessId] = {}
        others: dict[str, ProcessId] = {}
        for row in sorted(rows, key=lambda row: row.id.start_ticks):
            if row.mark is None or Path(row.mark).parent != self.root:
                continue
            leads = row.process_session == row.id.pid
            (leaders if leads else others).setdefault(row.mark, row.id)
        return [Instance(Path(mark), process) for mark, process in sorted({**others, **leaders}.items())]

    async def wait(self, instance: Instance) -> int | None:
        """See Runtime.wait; a child is reaped, anyone else is only watched."""
        await gone(instance.process)
        child = self._children.pop(instance.process, None)
        return child.wait() if child is not None else None

    async def kill(self, session_dir: Path, leader: ProcessId | None) -> int:
        """See Runtime.kill. Raises TimeoutError when something cannot be killed (stuck in the kernel)."""
        return await kill_all(session_dir, leader)

    async def usage(self, session_dirs: Sequence[Path]) -> Mapping[Path, Usage]:
        """See Runtime.usage: of the live processes, and of those that they have outlived."""
        trees = await asyncio.to_thread(procfs.figures_of, {str(path) for path in session_dirs})
        return {Path(mark): Usage(*figures) for mark, figures in trees.items()}

    async def out_of_memory(self, session_dir: Path) -> bool:
        """See Runtime.out_of_memory: nothing limits a plain process, and the kernel does not tell whose it took."""
        return False

    async def close(self) -> None:
        """Children go on; they only become init's."""
        for child in self._children.values():
            child.poll()
            child.returncode = child.returncode if child.returncode is not None else 0  # no warning at our own exit
        self._children.clear()


async def kill_all(session_dir: Path, leader: ProcessId | None, words: Set[str] = frozenset()) -> int:
    """Kills the tree of a session, and of every process with one of `words` among its arguments, until none is left;
    how many there were. Those of another user, who alone may kill them, are left and named in the log.

    Raises TimeoutError when something cannot be killed."""
    killed, refused = set[ProcessId](), set[ProcessId]()
    for _ in range(_KILL_ROUNDS):
        members = await asyncio.to_thread(procfs.tree_of, session_dir, leader, words) - refused
        if not members:
            break
        foreign = procfs.send_all(members, signal.SIGKILL)
        refused |= foreign
        killed |= members - foreign
        await asyncio.sleep(_KILL_ROUND_S)
    else:
        raise TimeoutError(f"{len(members)} processes of {session_dir.name} cannot be killed")
    if refused:
        pids = sorted(process.pid for process in refused)
        log.warning("processes of another user are left", of=session_dir.name, pids=pids)
    return len(killed)
