"""A game in a container beside the wrapper's: the same process ids, network and shared memory, another file system.

The host agent starts that container; its launcher waits for the stage that is set here, and reports over a pipe.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from wrapper import keeper
from wrapper.gameinput import GameInput, InputRefusedError
from wrapper.spool import Stream
from wrapper.supervisor import KeeperLostError, StartError, pump

_CHUNK_BYTES = 65536
_APPEARS_S = 60.0
_LAST_WORDS_S = 2.0
_REPORT = re.compile(rb"(started|exited) ([0-9]{1,9})\n")


class Beside:
    """One game, with the face of Supervised. `stage` is a directory that both containers have, at the same path."""

    def __init__(self, stage: Path, take: Callable[[Stream, bytes], None]) -> None:
        self.pid = 0
        self._stage = stage
        self._take = take
        self._reports = asyncio.StreamReader()
        self._pump: asyncio.Task[None] | None = None
        self._input: GameInput | None = None
        self._killed = False

    async def start(
        self, command: Sequence[str], environment: Mapping[str, str], directory: Path, pass_fds: Sequence[int] = ()
    ) -> None:
        """Lets the game begin; its program, home and own variables are its container's.

        Raises StartError when the container does not appear or its program cannot be run.
        """
        lines = [f"{name}={value}\n" for name, value in environment.items()]
        if any(line.count("\n") > 1 for line in lines):
            raise StartError("a variable of more than one line")
        (self._stage / "environment").write_text("".join(lines))
        output = await self._open(self._stage / "output", asyncio.StreamReader(limit=_CHUNK_BYTES))
        errors = await self._open(self._stage / "errors", asyncio.StreamReader(limit=_CHUNK_BYTES))
        os.mkfifo(self._stage / "stdin", 0o600)
        # There is no writing into a pipe that nobody has open for reading; the game will have it so when it has begun.
        reading = os.open(self._stage / "stdin", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            writing = os.open(self._stage / "stdin", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._input = await GameInput.open(writing)
            await self._begin(output, errors)
        finally:
            os.close(reading)

    async def _begin(self, output: asyncio.StreamReader, errors: asyncio.StreamReader) -> None:
        # Its appearance, under the final name, is what the launcher waits for.
        os.mkfifo(self._stage / "report.new", 0o600)
        await self._open(self._stage / "report.new", self._reports, made=True)
        (self._stage / "report.new").rename(self._stage / "report")
        self._pump = asyncio.get_running_loop().create_task(self._take_output(output, errors))
        try:
            async with asyncio.timeout(_APPEARS_S):
                word, number = await self._next_report()
        except TimeoutError as error:
            raise StartError(f"the game's container did not appear within {_APPEARS_S:g} s") from error
        if word != "started":
            raise StartError("the game's container ended before the game began")
        self.pid = number

    async def wait(self) -> int:
        """The exit code, negative for a signal, once nothing of the game is left.

        Raises KeeperLostError when nobody can tell the code.
        """
        word, number = await self._next_report()
        await asyncio.to_thread(_kill_foreign)
        if self._input is not None:
            self._input.close()
        if self._pump is not None:
            await asyncio.wait({self._pump}, timeout=_LAST_WORDS_S)
            self._pump.cancel()
        if word == "exited":
            return number if number <= 128 else 128 - number
        if self._killed:
            return -signal.SIGKILL
        raise KeeperLostError("the game's container was killed: out of memory, or from outside")

    def write(self, data: bytes) -> None:
        """As Supervised.write."""
        if self._input is None:
            raise InputRefusedError("the game does not run")
        self._input.write(data)

    def ask_to_stop(self) -> None:
        """SIGTERM to the game's process group."""
        if self.pid:
            try:
                os.killpg(self.pid, signal.SIGTERM)
            except ProcessLookupError:
                return

    def kill(self) -> None:
        """SIGKILL to everything in the game's container."""
        self._killed = True
        _kill_foreign()

    async def _open(self, path: Path, reader: asyncio.StreamReader, made: bool = False) -> asyncio.StreamReader:
        if not made:
            os.mkfifo(path, 0o600)
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", 0)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
        return reader

    async def _next_report(self) -> tuple[str, int]:
        """("", 0) at the end, and for what no launcher says: the game has the launcher's rights."""
        try:
            line = await self._reports.readline()
        except ValueError:  # longer than any line of a launcher's
            return "", 0
        match = _REPORT.fullmatch(line)
        return (match[1].decode(), int(match[2])) if match else ("", 0)

    async def _take_output(self, output: asyncio.StreamReader, errors: asyncio.StreamReader) -> None:
        await asyncio.gather(
            pump(output, partial(self._take, Stream.STDOUT)), pump(errors, partial(self._take, Stream.STDERR))
        )


def _kill_foreign() -> None:
    """All in this namespace of process ids but its first process, ourselves, and what came of us."""
    own = {1, os.getpid(), *keeper.descendants(os.getpid())}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in own:
            keeper.kill(int(name), signal.SIGKILL)
