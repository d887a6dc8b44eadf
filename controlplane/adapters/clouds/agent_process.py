"""One agent as a process of its own session, found again by pid and start time, ended with all that it has started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

# Agents carry the folder of their machine, and their sessions the directory they belong to, however far they have gone
# from their parents.
FOLDER = "QUARTERDECK_LOCAL_MACHINE"
MARKS = (FOLDER, "QUARTERDECK_SESSION_DIR")
START_TOLERANCE_S = 0.02


AGENT = ("-P", "-m", "hostagent", "run")


@dataclass(frozen=True)
class ProcessId:
    """A process, for ever: a pid alone is used again."""

    pid: int
    started_s: float


def spawn(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> ProcessId:
    """Starts an agent in a session of its own, which outlives this process."""
    with (folder / "agent.log").open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - an argument list of our own, no shell
            [sys.executable, *AGENT, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**environment, FOLDER: str(folder)},
            cwd=folder,
            start_new_session=True,
        )
    _children[process.pid] = process
    return ProcessId(process.pid, psutil.Process(process.pid).create_time())


# Those started by this process are reaped here; the others by whoever has adopted them.
_children: dict[int, subprocess.Popen[bytes]] = {}


def find(folder: Path) -> ProcessId | None:
    """The agent of a machine that somebody started who died before he could write it down."""
    for process in psutil.process_iter():
        try:
            agent = process.cmdline()[1 : 1 + len(AGENT)] == list(AGENT)
            if agent and _marks(process.pid).get(FOLDER) == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                return ProcessId(process.pid, process.create_time())
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
    return None


def alive(process: ProcessId | None) -> bool:
    """True while exactly this process runs; a zombie does not."""
    if process is None:
        return False
    child = _children.get(process.pid)
    if child is not None and child.poll() is not None:
        del _children[process.pid]
        return False
    return _running(process) is not None


async def end(process: ProcessId | None, directory: Path, grace_s: float) -> None:
    """Politely, so that it stops its sessions; after `grace_s` firmly, with whatever still belongs to `directory`."""
    if process is not None and (running := _running(process)) is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            running.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await _ended(process.pid)
    while left := [other for other in psutil.process_iter() if _belongs(other, process, directory)]:
        for other in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                other.kill()
        for other in left:
            with contextlib.suppress(ProcessLookupError):
                await _ended(other.pid)
    alive(process)


def _running(process: ProcessId) -> psutil.Process | None:
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started_s) < START_TOLERANCE_S
        return found if same and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _belongs(other: psutil.Process, leader: ProcessId | None, directory: Path) -> bool:
    try:
        if other.status() == psutil.STATUS_ZOMBIE or other.pid == os.getpid():
            return False
        if leader is not None and other.pid == leader.pid:
            return _running(leader) is not None
        return any(Path(mark).is_relative_to(directory) for mark in _marks(other.pid).values())
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return False


def _marks(pid: int) -> dict[str, str]:
    """Which folders a process carries. Raises OSError when it is gone, or not ours to look at."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    pairs = dict(os.fsdecode(entry).partition("=")[::2] for entry in entries if entry)
    return {mark: pairs[mark] for mark in MARKS if pairs.get(mark)}


async def _ended(pid: int) -> None:
    """Returns when the process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
