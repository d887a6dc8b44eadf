"""A real agent process against the fake control plane; whatever it started ends with the test."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from hostagent import procfs
from tests.component.hostagent.fakeplane import FakePlane
from tests.encoders import NO_ENCODERS

STANDIN = Path(__file__).with_name("standin.py")


class Agents:
    """Starts agents under `root` and knows what they leave behind."""

    def __init__(self, root: Path, plane: FakePlane) -> None:
        self.root = root
        self.plane = plane
        self.started: list[subprocess.Popen[bytes]] = []

    def data_dir(self, name: str = "agent") -> Path:
        return self.root / name

    def session_dir(self, session_id: str, generation: int = 1, name: str = "agent") -> Path:
        return self.data_dir(name) / "sessions" / f"{session_id}.{generation}"

    def start(self, *options: str, name: str = "agent", token: str = "token-1", pin: str | None = None):
        token_file = self.root / f"{name}.token"
        if not self.data_dir(name).exists():
            token_file.write_text(token)
        command = [sys.executable, "-m", "hostagent", "run", "--data-dir", str(self.data_dir(name))]
        command += ["--enrolment-target", self.plane.enrolment_target, "--ca-sha256", pin or self.plane.ca.ca_sha256]
        command += ["--join-token-file", str(token_file), "--orphan-grace-s", "0.2"]
        command += ["--wrapper-command", f"{sys.executable} -P {STANDIN}", "--probe-command", shlex.join(NO_ENCODERS)]
        command += ["--measure-s", "1", *options]
        with (self.root / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stderr=log, stdout=log, start_new_session=True)
        self.started.append(process)
        return process

    def log(self, name: str = "agent") -> str:
        return (self.root / f"{name}.log").read_text()

    def marked(self) -> list[procfs.ProcessRow]:
        """Every process of any session under this root."""
        return [row for row in procfs.rows() if row.mark and row.mark.startswith(str(self.root))]

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        for row in self.marked():
            procfs.send(row.id, signal.SIGKILL)


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[FakePlane]:
    plane = FakePlane(tmp_path / "ca")
    await plane.start()
    yield plane
    await plane.stop()


@pytest.fixture
def agents(tmp_path: Path, plane: FakePlane) -> Iterator[Agents]:
    yield from _agents(tmp_path, plane)


@pytest.fixture
def deep_agents(deep_folder: Path, plane: FakePlane) -> Iterator[Agents]:
    """For sessions that write trees without an end."""
    yield from _agents(deep_folder, plane)


def _agents(root: Path, plane: FakePlane) -> Iterator[Agents]:
    agents = Agents(root, plane)
    yield agents
    agents.end()
    if os.environ.get("QUARTERDECK_TEST_LOGS"):
        for log in root.glob("*.log"):
            shutil.copyfileobj(log.open(), sys.stderr)


async def exit_code(process: subprocess.Popen[bytes], timeout_s: float = 60) -> int:
    return await asyncio.wait_for(asyncio.to_thread(process.wait), timeout_s)


async def eventually(condition: Callable[[], object], timeout_s: float = 60) -> None:
    """For what only the machine itself shows: processes and files of others."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)
