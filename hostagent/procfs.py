"""What /proc tells of processes: who is who across a restart of the agent, and which processes are ours.

A process is named by its pid and start time together, so that a recycled pid is never taken for the old process.
Ours are those whose environment carries the mark: the directory of the session they belong to.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

MARK = "QUARTERDECK_SESSION_DIR"
_DEEPEST = 64


@dataclass(frozen=True, order=True)
class ProcessId:
    """A process, for ever: `start_ticks` is field 22 of /proc/PID/stat (proc(5)), in clock ticks since boot."""

    pid: int
    start_ticks: int


@dataclass(frozen=True)
class ProcessRow:
    """One live process: its parent, its process session, and the session directory in its environment, if any."""

    id: ProcessId
    parent_pid: int
    process_session: int
    mark: str | None


def read_stat(pid: int) -> tuple[ProcessId, int, int] | None:
    """(identity, parent pid, process session) of a live process; None for one that is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name is in parentheses and may itself contain any character, parentheses included.
    fields = text[text.rfind(")") + 2 :].split()
    if fields[0] in ("Z", "X"):
        return None
    return ProcessId(pid, int(fields[19])), int(fields[1]), int(fields[3])


def is_alive(process: ProcessId) -> bool:
    """True while exactly this process runs; a zombie does not."""
    stat = read_stat(process.pid)
    return stat is not None and stat[0] == process


def identify(pid: int) -> ProcessId | None:
    """The process that has this pid now, if there is one."""
    stat = read_stat(pid)
    return stat[0] if stat else None


def rows() -> Iterator[ProcessRow]:
    """Every live process of the machine that this user may look at."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        stat = read_stat(int(entry))
        if stat is not None:
            yield ProcessRow(stat[0], stat[1], stat[2], mark_of(int(entry)))


def tree_of(session_dir: Path, leader: ProcessId | None, words: Set[str] = frozenset()) -> set[ProcessId]:
    """Every live process of one session: the marked ones, the process session of a live leader, those with one of
    `words` among their arguments, and descendants."""
    table = list(rows())
    leader_lives = leader is not None and any(row.id == leader for row in table)
    members = {row.id.pid: row.id for row in table if row.mark == str(session_dir)}
    if words:
        members |= {row.id.pid: row.id for row in table if not words.isdisjoint(_arguments(row.id.pid))}
    if leader is not None and leader_lives:
        members |= {row.id.pid: row.id for row in table if row.process_session == leader.pid}
        members[leader.pid] = leader
    while True:
        children = {r.id.pid: r.id for r in table if r.parent_pid in members and r.id.pid not in members}
        if not children:
            return set(members.values())
        members |= children


def figures_of(marks: set[str]) -> dict[str, tuple[float, int, int, int]]:
    """Of the processes of each of these session directories together: seconds of processor time, bytes of memory now
    and at least at most, how many there are. One look at the table for all of them."""
    table = {row.id.pid: row for row in rows()}

    def found_in(row: ProcessRow) -> str | None:
        for _ in range(_DEEPEST):
            if row.mark in marks:
                return row.mark
            parent = table.get(row.parent_pid)
            if parent is None:
                break
            row = parent
        return None

    found: dict[str, tuple[float, int, int, int]] = {}
    for row in table.values():
        if (mark := found_in(row)) is not None and (own := _figures(row.id.pid)) is not None:
            seconds, memory, _, count = found.get(mark, (0.0, 0, 0, 0))
            memory += own[1]
            found[mark] = (seconds + own[0], memory, memory, count + 1)
    return found


def _figures(pid: int) -> tuple[float, int] | None:
    """Processor time with that of the children it has waited for, and resident memory: proc(5), fields 14-17 and 24."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rfind(")") + 2 :].split()
    ticks = sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")


def send(process: ProcessId, signal_number: signal.Signals) -> bool:
    """Signals exactly this process, never one that has taken over its pid; False when it is gone.

    Raises PermissionError."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(process):
            return False
        signal.pidfd_send_signal(handle, signal_number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def send_all(processes: Iterable[ProcessId], signal_number: signal.Signals) -> set[ProcessId]:
    """Signals each of these processes that still lives; those that this user may not signal."""
    refused: set[ProcessId] = set()
    for process in processes:
        try:
            send(process, signal_number)
        except PermissionError:
            refused.add(process)
    return refused


def _arguments(pid: int) -> list[str]:
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def mark_of(pid: int) -> str | None:
    """The session directory in the environment that the process began with; None where there is none to be seen."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    prefix = MARK.encode() + b"="
    for entry in environment.split(b"\0"):
        if entry.startswith(prefix):
            return os.fsdecode(entry[len(prefix) :])
    return None
