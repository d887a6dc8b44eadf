"""A whole house for tests: `quarterdeck up` as a user starts it, on ports of its own, all of it below one folder."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.ports import free_port, free_ports

START_S = 90.0


class House:
    """`directory` gets the data directory, an empty HOME and a TMPDIR. Use as a context manager: leaving it stops it.

    After `start`, `page` is the sign-in link. `run` and `json` are verbs of the command line.
    """

    def __init__(self, directory: Path, *options: str, **settings: str) -> None:
        self.data_dir = directory / "data"
        self.outside = directory / "outside"
        self.http_port, self.grpc_port = free_port(), free_port()
        self._options = options
        for folder in (self.outside / "home", self.outside / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        ours = {
            "DATA_DIR": str(self.data_dir),
            "HTTP_PORT": str(self.http_port),
            "GRPC_PORT": str(self.grpc_port),
            "LINK_PORT": str(free_port()),
            "ENROLMENT_PORT": str(free_port()),
            "MEDIA_PORTS": free_ports(20),
            "LOCAL_VM_PORTS": free_ports(40),
            "QUEUE_TIMEOUT_S": "120",  # a session that is asked for at once waits for the agent, however slow it starts
        } | {name.upper(): value for name, value in settings.items()}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("QUARTERDECK_")}
        self.environment = clean | {f"QUARTERDECK_{name}": value for name, value in ours.items()}
        self.environment |= {"HOME": str(self.outside / "home"), "TMPDIR": str(self.outside / "tmp")}
        self.lines: list[str] = []
        self.page = ""
        self._said: queue.Queue[str | None] = queue.Queue()
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> House:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.http_port}"

    def start(self) -> None:
        """Returns when the house has greeted, or fails with everything it said."""
        self.spawn()
        self.page = self.hear(r"Page\s+(http\S+)")[1]

    def spawn(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controlplane", "up", *self._options],
            env=self.environment,
            cwd=self.outside,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._said = queue.Queue()
        threading.Thread(target=self._listen, args=(self.process, self._said), daemon=True).start()

    def hear(self, pattern: str, timeout_s: float = START_S) -> re.Match[str]:
        """Waits for a line that matches, from what has not been heard yet."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._said.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"the house never said {pattern!r}:\n" + "".join(self.lines) + self.logs()
            found = re.search(pattern, line)
            if found:
                return found

    def run(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "controlplane", *arguments],
            env=self.environment,
            cwd=self.outside,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def json(self, *arguments: str, timeout_s: float = 60) -> Any:
        """What a verb prints with --output json. Fails with its complaint when it refuses."""
        ran = self.run(*arguments, "--output", "json", timeout_s=timeout_s)
        assert ran.returncode == 0, ran.stderr + self.logs()
        return json.loads(ran.stdout)

    def get(self, name: str) -> Any:
        """A resource, or a list of them, by the gateway: for who looks again and again, a verb takes a second."""
        token = (self.data_dir / "operator.token").read_text().strip()
        answer = httpx.get(f"{self.url}/v1/{name}", headers={"authorization": f"Bearer {token}"}, timeout=60)
        assert answer.is_success, answer.text + self.logs()
        return answer.json()

    def family(self) -> dict[int, str]:
        """Command lines of all processes below `up`, by id."""
        assert self.process is not None
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                found[child.pid] = " ".join(child.cmdline())
            except psutil.Error:
                continue
        return found

    def pid(self, part: str) -> int:
        """Of `nats-server`, `agent`, a role such as `all`, or a `wrapper`."""
        found = self.pids(part)
        assert len(found) == 1, (part, self.family())
        return found[0]

    def pids(self, part: str) -> list[int]:
        mark = {"agent": "-m hostagent ", "nats-server": "/nats-server ", "wrapper": "-m wrapper "}
        wanted = mark.get(part, f"-m controlplane {part} ")
        return [pid for pid, line in self.family().items() if wanted in line]

    def logs(self) -> str:
        """The last lines of each part's log."""
        logs = {log.name: log.read_text(errors="replace") for log in sorted((self.data_dir / "log").glob("*.log"))}
        return "\n".join(f"--- {name}\n" + "".join(text.splitlines(True)[-30:]) for name, text in logs.items())

    def stop(self, number: signal.Signals = signal.SIGINT, timeout_s: float = 60) -> int:
        """Politely; returns the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            for pid in self.family():
                psutil.Process(pid).kill()
            self.process.kill()
            self.process.wait()
            raise

    def _listen(self, process: subprocess.Popen[str], said: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line)
            said.put(line)
        said.put(None)
