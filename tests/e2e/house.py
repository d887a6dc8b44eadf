"""`quarterdeck up` as a stranger runs it: a process of its own, in empty directories, on free ports."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

QUARTERDECK = Path(sys.executable).with_name("quarterdeck")
START_S = 60.0
STOP_S = 30.0


@dataclass
class House:
    """A running `quarterdeck up`. `link` is the one-time sign-in link that it printed."""

    process: asyncio.subprocess.Process
    root: Path
    link: str
    printed: str

    @property
    def data_dir(self) -> Path:
        return self.root / "data"

    @property
    def origin(self) -> str:
        return self.link.partition("/#/")[0]

    def processes(self) -> list[psutil.Process]:
        """Every process of this house, whoever its parent is now: each carries the root in its environment."""
        return [one for one in psutil.process_iter() if _mentions(one, str(self.root))]

    def ports(self) -> set[int]:
        """TCP and UDP ports that the house listens on."""
        found: set[int] = set()
        for one in self.processes():
            for connection in one.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM:
                    found.add(connection.laddr.port)
        return found

    def strays(self) -> list[Path]:
        """Files that lie in home, temporary or working directory: none of them is the data directory."""
        return [path for name in ("home", "tmp", "work") for path in (self.root / name).rglob("*")]

    def logs(self) -> str:
        """The last lines of every log, for a failure's report."""
        tails = [f"== {log.name}\n{log.read_text()[-3000:]}" for log in sorted(self.data_dir.glob("log/*"))]
        return "\n".join([self.printed, *tails])

    async def read_link(self, pattern: str = r"http://\S+/#/signin/\S+") -> str:
        """The next link of that form that it prints. Raises AssertionError when it ends first."""
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode():
            self.printed += line
            if found := re.search(pattern, line):
                return found[0]
        raise AssertionError(f"it ended:\n{self.logs()}")

    async def interrupt(self) -> int:
        """Ctrl-C; the exit status. Raises TimeoutError after STOP_S."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOP_S):
            return await self.process.wait()

    async def end(self) -> None:
        """Whatever a failed test left behind."""
        try:
            await self.interrupt()
        finally:
            for one in self.processes():
                one.kill()


async def enter(root: Path, http_port: int, grpc_port: int, media_port: int, *options: str) -> House:
    """Starts the house in `root` and waits for its link. Raises TimeoutError with what it printed."""
    for name in ("home", "tmp", "work"):
        (root / name).mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(root / "home"),
        "TMPDIR": str(root / "tmp"),
        "QUARTERDECK_DATA_DIR": str(root / "data"),
        "QUARTERDECK_HTTP_PORT": str(http_port),
        "QUARTERDECK_GRPC_PORT": str(grpc_port),
        "QUARTERDECK_MEDIA_PORTS": f"{media_port}-{media_port + 9}",
    }
    process = await asyncio.create_subprocess_exec(
        str(QUARTERDECK), "up", *options,
        cwd=root / "work", env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    house = House(process, root, "", "")
    try:
        async with asyncio.timeout(START_S):
            house.link = await house.read_link()
    except BaseException as error:
        error.add_note(house.logs())
        await house.end()
        raise
    return house


def _mentions(process: psutil.Process, text: str) -> bool:
    try:
        return any(text in value for value in (*process.environ().values(), *process.cmdline()))
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False
