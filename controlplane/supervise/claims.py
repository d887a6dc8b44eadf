"""What a house claims before it starts: its data directory, alone, and its ports."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

LEAVING_S = 15.0


class Taken(Exception):
    """Somebody else has it; the message says who, and what to do."""


@contextlib.contextmanager
def data_directory(path: Path) -> Iterator[int]:
    """Holds the directory's lock; yields its descriptor, which children inherit: the claim ends with the last of them.

    Waits a little for children of a parent that was killed. Raises Taken when another `up` is alive.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def ports(listeners: dict[str, tuple[str, int]]) -> None:
    """Raises Taken for the first (host, port) that cannot be listened on, by the name of its setting."""
    for setting, (host, port) in listeners.items():
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.create_server((host, port), family=family):
                pass
        except OSError as error:
            option = {"http_port": "--http-port or ", "grpc_port": "--grpc-port or "}.get(setting, "")
            raise Taken(
                f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}; "
                f"choose another with {option}QUARTERDECK_{setting.upper()}"
            ) from error


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode() or "0"
    if not Path(f"/proc/{holder}").exists():
        with contextlib.suppress(TimeoutError), _alarm(LEAVING_S):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return
    raise Taken(f"`quarterdeck up` runs on {path} already (process {holder}); stop it, or choose another --data-dir")


@contextlib.contextmanager
def _alarm(after_s: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, after_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
