"""Runs one program, takes its output, stops it politely and then firmly, and knows how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from wrapper import keeper
from wrapper.gameinput import GameInput, InputRefusedError
from wrapper.spool import Stream

_CHUNK_BYTES = 65536
_PIECE_BYTES = 16384
# Children that are ours by intent; any other child is an orphan.
_keepers: set[int] = set()


class StartError(Exception):
    """The program could not be started; the text says why."""


class KeeperLostError(Exception):
    """The process between the wrapper and the program was killed, and the program with it."""


class Supervised:
    """One program and all that comes of it. start() once; wait() until it is over."""

    def __init__(self, take: Callable[[Stream, bytes], None]) -> None:
        """`take` is called with each piece of output, and with b"" at the end of either stream."""
        self.pid = 0
        self._take = take
        self._keeper: asyncio.subprocess.Process | None = None
        self._status: asyncio.StreamReader | None = None
        self._pump: asyncio.Task[None] | None = None
        self._input: GameInput | None = None

    async def start(
        self, command: Sequence[str], environment: Mapping[str, str], directory: Path, pass_fds: Sequence[int] = ()
    ) -> None:
        """Runs `command` in `directory` with exactly this environment.

        Raises StartError when there is no such program or it may not be run.
        """
        reader, writer = os.pipe2(os.O_CLOEXEC)
        # A pipe, not asyncio's socket: programs may open /dev/stdin, which a socket does not allow.
        input_reader, input_writer = os.pipe2(os.O_CLOEXEC)
        loop = asyncio.get_running_loop()
        self._status = asyncio.StreamReader()
        try:
            self._keeper = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", keeper.__file__, str(writer), str(os.getpid())),
                *command,
                env=dict(environment),
                cwd=directory,
                stdin=input_reader,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(writer, *pass_fds),
                limit=_CHUNK_BYTES,
            )
        except OSError as error:
            os.close(reader)
            os.close(input_writer)
            raise StartError(f"cannot start a process in {directory}: {error.strerror}") from error
        finally:
            os.close(writer)
            os.close(input_reader)
        self._input = await GameInput.open(input_writer)
        _keepers.add(self._keeper.pid)
        protocol = asyncio.StreamReaderProtocol(self._status)
        await loop.connect_read_pipe(lambda: protocol, os.fdopen(reader, "rb", 0))
        self._pump = loop.create_task(self._take_output())
        word, number = await self._next_report()
        if word != "started":
            await self._over(word)
            why = os.strerror(number) if word == "failed" else "its keeper ended"
            raise StartError(f"cannot run {command[0]!r}: {why}")
        self.pid = number

    async def wait(self) -> int:
        """The exit code, negative for a signal, once nothing of the program is left.

        Raises KeeperLostError when nobody can tell the code.
        """
        word, number = await self._next_report()
        await self._over(word)
        if word != "exited":
            raise KeeperLostError("the keeper of the program was killed")
        return number

    def write(self, data: bytes) -> None:
        """To the program's standard input; returns at once.

        Raises InputRefusedError when the program does not read, or has closed its input.
        """
        if self._input is None:
            raise InputRefusedError("the game does not run")
        self._input.write(data)

    def ask_to_stop(self) -> None:
        """SIGTERM to the program's process group."""
        if self._keeper is not None and self._keeper.returncode is None:
            self._keeper.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the program and everything that came of it."""
        if self._keeper is not None and self._keeper.returncode is None:
            self._keeper.send_signal(signal.SIGUSR1)

    async def _next_report(self) -> tuple[str, int]:
        if self._status is None:
            raise RuntimeError("no program was started")
        word, _, number = (await self._status.readline()).decode().strip().partition(" ")
        return word, int(number or 0)

    async def _over(self, last_word: str) -> None:
        if self._keeper is None or self._pump is None:
            raise RuntimeError("no program was started")
        if last_word not in ("exited", "failed"):
            # Only the kernel or a stranger ends a keeper so. What it kept has come to us, and may hold the output open.
            await _death(self._keeper.pid)
            await asyncio.to_thread(_kill_orphans)
        await self._keeper.wait()
        if self._input is not None:
            self._input.close()
        _keepers.discard(self._keeper.pid)
        await self._pump

    async def _take_output(self) -> None:
        """Always reads, so that the program never waits for its log."""
        if self._keeper is None or self._keeper.stdout is None or self._keeper.stderr is None:
            raise RuntimeError("no program was started")
        pipes = ((Stream.STDOUT, self._keeper.stdout), (Stream.STDERR, self._keeper.stderr))
        await asyncio.gather(*(pump(pipe, partial(self._take, stream)) for stream, pipe in pipes))


async def pump(pipe: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
    """All that comes, and b"" at the end. Between two pieces others get as much time as the piece took: a game that
    floods its log fills half of the loop, and a player's or an operator's word waits for one piece at most."""
    while chunk := await pipe.read(_PIECE_BYTES):
        began_s = time.perf_counter()
        take(chunk)
        await asyncio.sleep(time.perf_counter() - began_s)
    take(b"")


async def _death(pid: int) -> None:
    """Waits until a process has died and its children have new parents."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    dead = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, dead.set)
    try:
        await dead.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _kill_orphans() -> None:
    """Kills and reaps the children that came to us because their own parents, keepers included, are gone; each death
    may hand us new ones."""
    while orphans := [pid for pid in keeper.orphans() if pid not in _keepers]:
        for orphan in orphans:
            keeper.kill(orphan, signal.SIGKILL)
        for orphan in orphans:
            with suppress(ChildProcessError):
                os.waitpid(orphan, 0)
