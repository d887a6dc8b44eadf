"""Programs that run once and say something: the migration, and verbs of our own command line."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, Any

from controlplane.supervise.part import PartFailed, ended


class OneShots:
    """Runs them; `pids` are those that run now, for whoever must not reap them."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def pids(self) -> set[int]:
        return {process.pid for process in self._running}

    async def check(self, argv: Sequence[str], environment: Mapping[str, str]) -> bytes:
        """What the program printed. Raises PartFailed with its last line when it ended with anything but 0."""
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - a fork is short, and `ended` waits without a thread
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        self._running.append(process)
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            said, complained, _ = await asyncio.gather(_all(process.stdout), _all(process.stderr), ended(process.pid))
            if process.wait() != 0:
                lines = complained.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
                raise PartFailed(lines[-1].removeprefix("Error: "))
            return said
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            self._running.remove(process)

    async def json(self, argv: Sequence[str], environment: Mapping[str, str]) -> Any:
        """The JSON that the program printed. Raises PartFailed."""
        return json.loads(await self.check(argv, environment))

    def end(self) -> None:
        for process in self._running:
            process.kill()


async def _all(stream: IO[bytes]) -> bytes:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), stream
    )
    try:
        return await reader.read()
    finally:
        transport.close()
