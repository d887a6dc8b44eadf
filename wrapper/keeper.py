"""Stands between the wrapper and one program it runs, so that nothing of that program outlives either.

Run as `python -I -S keeper.py STATUS_FD PARENT_PID PROGRAM [ARGUMENT...]`, with the program's environment. SIGTERM asks
the program to stop; SIGUSR1, which is also what the kernel sends when the wrapper dies, kills all that came of it.
Reports "started PID", "failed ERRNO" or "exited CODE" (negative: signal) on STATUS_FD; exited means nothing is left.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Iterator
from itertools import islice

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_REAPED_AT_ONCE = 64
_WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1)


def prctl(option: int, value: int) -> None:
    """Raises OSError when the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def become_subreaper() -> None:
    """Orphans among this process' descendants become its children, instead of init's."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _families() -> dict[int, list[int]]:
    """Children by parent, by /proc; a snapshot."""
    families: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            parent = _parent_of(int(name))
            if parent is not None:
                families.setdefault(parent, []).append(int(name))
    return families


def orphans() -> list[int]:
    """Process ids of this process' own children, zombies included; those of its main thread, which gets the orphans. As
    the kernel lists them: in microseconds, where all of /proc takes longer than a process lives that forks and ends,
    again and again."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as listed:
            return [int(pid) for pid in listed.read().split()]
    except FileNotFoundError:  # a kernel built without it
        return _families().get(os.getpid(), [])


def descendants(root: int) -> list[int]:
    """Process ids of all that came of `root`, without it."""
    families = _families()
    found: list[int] = []
    waiting = [root]
    while waiting:
        for child in families.get(waiting.pop(), ()):
            found.append(child)
            waiting.append(child)
    return found


def _parent_of(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # The name, in brackets, may hold anything; what follows its last bracket is numbers.
            return int(stat.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def kill(pid: int, number: signal.Signals) -> None:
    """Sends a signal to a process that may have gone meanwhile."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _report(descriptor: int, line: str) -> None:
    try:
        os.write(descriptor, line.encode() + b"\n")
    except BrokenPipeError:
        return  # The wrapper is gone; nobody asks any more.


def _spawn(command: list[str]) -> int:
    """The new process' id. Raises OSError with the reason why the program cannot be run."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != keeper:
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.execvpe(command[0], command, os.environ)  # noqa: S606 - an argument list, no shell
        except OSError as error:
            os.write(writer, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(writer)
    refusal = os.read(reader, 16)
    os.close(reader)
    if refusal:
        os.waitpid(pid, 0)
        raise OSError(int(refusal), command[0])
    return pid


def _reaped() -> Iterator[tuple[int, int]]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def _kill_all() -> None:
    for pid in descendants(os.getpid()):
        kill(pid, signal.SIGKILL)


def _keep(game: int) -> int:
    """Waits for the program's end; its exit code, negative for a signal. A flood of ends keeps no signal from being
    heard."""
    more = False
    while True:
        caught = signal.sigtimedwait(_WATCHED, 0) if more else signal.sigwaitinfo(_WATCHED)
        number = caught.si_signo if caught is not None else 0
        if number == signal.SIGTERM:
            try:
                os.killpg(game, signal.SIGTERM)
            except ProcessLookupError:
                continue
        elif number == signal.SIGUSR1:
            _kill_all()
        ended = dict(islice(_reaped(), _REAPED_AT_ONCE))
        if game in ended:
            return os.waitstatus_to_exitcode(ended[game])
        more = len(ended) == _REAPED_AT_ONCE


def _clear_up() -> None:
    """Kills and reaps until nothing is left; each death may hand us new orphans."""
    while True:
        for pid in orphans():
            kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main(arguments: list[str]) -> int:
    status, parent, command = int(arguments[0]), int(arguments[1]), arguments[2:]
    os.set_inheritable(status, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    become_subreaper()
    prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1)
    if os.getppid() != parent:
        return 1
    try:
        game = _spawn(command)
    except OSError as error:
        _report(status, f"failed {error.errno or errno.EIO}")
        return 0
    _report(status, f"started {game}")
    code = _keep(game)
    _clear_up()
    _report(status, f"exited {code}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
