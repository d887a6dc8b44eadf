"""A real Docker Engine for tests, in folders of its own, and images made of what this machine has.

QUARTERDECK_TEST_DOCKER names the socket of an engine to use instead, or a folder that keeps its images between runs.
What cannot be had skips with the reason.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import docker
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
WRAPPER_IMAGE = "quarterdeck-test/wrapper:latest"
BOX_IMAGE = "quarterdeck-test/box:latest"
_START_S = 120
LAUNCHER = "opt/quarterdeck/launcher"


class Engine:
    """A running dockerd. `kill` is -9; `start` again takes up the containers that play on (live restore)."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.socket = f"unix://{home}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["dockerd", "--data-root", f"{self.home}/data", "--exec-root", f"{self.home}/exec"]
        command += ["--pidfile", f"{self.home}/dockerd.pid", "--host", self.socket, "--live-restore"]
        # Where nobody reaps orphans, the dead of the last start look alive to the next one.
        for stale in ("dockerd.pid", "exec/containerd/containerd.pid"):
            (self.home / stale).unlink(missing_ok=True)
        with (self.home / "dockerd.log").open("ab") as log, _no_other_starts():
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            deadline = time.monotonic() + _START_S
            while not self._answers():  # it has no way to call back
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.end()
                    tail = (self.home / "dockerd.log").read_text()[-2000:]
                    pytest.fail(f"dockerd does not start: {tail}")
                time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            client = docker.APIClient(base_url=self.socket, version="1.41", timeout=2)
            client.ping()
            client.close()
        except (docker.errors.DockerException, OSError):
            return False
        return True

    @property
    def ours(self) -> bool:
        return self._process is not None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        assert self._process is not None, "this engine is not ours to kill"
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
        # containerd and its shims are no children of ours, but all of this engine carry its folder in their arguments.
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and str(self.home).encode() in _command_line(entry):
                os.kill(int(entry.name), signal.SIGKILL)

    @functools.cached_property
    def client(self) -> docker.APIClient:
        return docker.APIClient(base_url=self.socket, version="1.41", timeout=120)

    def has(self, image: str) -> bool:
        return bool(self.client.images(name=image))

    def load(self, image: str, archive: Path, changes: Iterable[str] = ()) -> str:
        self.client.import_image(src=str(archive), repository=image, changes=list(changes))
        return image


@contextlib.contextmanager
def _no_other_starts() -> Iterator[None]:
    """Engines that two workers start at once trip over each other's chains of iptables."""
    with (Path(tempfile.gettempdir()) / "quarterdeck-docker-starts").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    given = os.environ.get("QUARTERDECK_TEST_DOCKER", "")
    kept = Path(given) if given.startswith("/") and Path(given).is_dir() else None
    if given and kept is None:
        engine = Engine(Path(given.removeprefix("unix://")).parent)
        engine.socket = given
        yield engine
        return
    for program in ("dockerd", "iptables"):
        if shutil.which(program) is None:
            pytest.skip(f"no Docker Engine: {program} is not installed")
    # A machine that is itself a container may do neither.
    for needed in (["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], ["iptables", "--list", "--numeric"]):
        tried = subprocess.run(needed, capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            pytest.skip(f"no Docker Engine: {' '.join(needed)}: {tried.stderr.strip()}")
    home = kept or Path(tempfile.mkdtemp(prefix="quarterdeck-docker-", dir="/var/tmp"))
    engine = Engine(home)
    engine.start()
    yield engine
    for container in engine.client.containers(all=True):
        engine.client.remove_container(container["Id"], force=True, v=True)
    for network in engine.client.networks(filters={"driver": "bridge"}):
        if network["Name"] != "bridge":
            engine.client.remove_network(network["Id"])
    engine.end()
    for mount in Path("/proc/self/mounts").read_text().splitlines():
        if mount.split()[1].startswith(str(home)):
            subprocess.run(["umount", "-l", mount.split()[1]], check=False)
    if kept is None:  # tens of thousands of files: nobody waits for their end
        subprocess.Popen(["rm", "-rf", str(home)], start_new_session=True)


@pytest.fixture(scope="session")
def box_image(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Nothing but a shell: for games that misbehave."""
    busybox = shutil.which("busybox")
    if busybox is None or _libraries([Path(busybox)]):
        pytest.skip("no static busybox: install busybox-static")
    archive = tmp_path_factory.mktemp("box") / "box.tar"
    with tarfile.open(archive, "w") as tar:
        _folders(tar, "bin", "proc", "sys", "dev", "etc", "run")
        _folders(tar, "tmp", mode=0o1777)
        tar.add(busybox, "bin/busybox")
        for name in ("sh", "sleep", "cat", "echo", "id", "yes", "httpd", "nc", "env", "touch", "ls"):
            _link(tar, f"bin/{name}", "busybox")
    return docker_engine.load(BOX_IMAGE, archive, ['CMD ["sh","-c","echo plain; sleep 600"]', "ENV FROM_IMAGE=yes"])


@pytest.fixture(scope="session")
def wrapper_image(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """This checkout's wrapper with the interpreter, libraries and X server that run these tests."""
    if docker_engine.has(WRAPPER_IMAGE):
        return _with_this_checkout(docker_engine, tmp_path_factory)
    needed = [shutil.which(name) for name in ("Xvfb", "xkbcomp", "busybox", "sh")]
    if None in needed:
        pytest.skip("the wrapper's image needs Xvfb, xkbcomp and busybox on this machine")
    archive = tmp_path_factory.mktemp("wrapper") / "wrapper.tar"
    programs = [Path(str(program)) for program in needed]
    base, site = Path(sys.base_prefix), Path(sysconfig.get_path("platlib"))
    stdlib = Path(sysconfig.get_path("stdlib"))
    packages = _packages(site)
    binaries = [base / "bin" / "python3.11", *programs, *(stdlib / "lib-dynload").glob("*.so")]
    binaries += [so for package in packages for so in package.rglob("*.so*") if not package.name.endswith(".libs")]
    with tarfile.open(archive, "w") as tar:
        _folders(tar, "bin", "proc", "sys", "dev", "etc", "run", "usr", "usr/bin", "lib64", LAUNCHER)
        _folders(tar, "tmp", mode=0o1777)
        _add(tar, stdlib, ("test", "site-packages", "idlelib", "ensurepip", "lib2to3", "tkinter"))
        for package in packages:
            # Elsewhere than here: a checkout below /tmp would be hidden in a session.
            _add(tar, package, ("tests",), f"packages/{package.name}")
        for library in sorted(_libraries(binaries)):
            tar.add(os.path.realpath(library), _inside(library), recursive=False)
        for program in programs:
            tar.add(os.path.realpath(program), f"usr/bin/{program.name}")
        _link(tar, "bin/sh", "../usr/bin/sh")
        tar.add(os.path.realpath(base / "bin" / "python3.11"), _inside(base / "bin" / "python3.11"))
        _link(tar, "usr/bin/python3", str(base / "bin" / "python3.11"))
        _link(tar, "usr/bin/python", str(base / "bin" / "python3.11"))
        _add(tar, Path("/usr/share/X11/xkb"), ())
        _add(tar, Path("/usr/share/fonts/X11/misc"), ()) if Path("/usr/share/fonts/X11/misc").is_dir() else None
        tar.add(os.path.realpath(str(shutil.which("busybox"))), f"{LAUNCHER}/busybox")
        _checkout(tar)
    changes = ["ENV PATH=/usr/bin:/bin", "ENV PYTHONPATH=/checkout:/checkout/gen:/packages", "USER 10001"]
    return docker_engine.load(WRAPPER_IMAGE, archive, changes)


def _with_this_checkout(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of an earlier run, with today's code: for whoever keeps an engine running while working."""
    context = tmp_path_factory.mktemp("context")
    with tarfile.open(context / "checkout.tar", "w") as tar:
        _checkout(tar)
    (context / "Dockerfile").write_text(f"FROM {WRAPPER_IMAGE}\nADD checkout.tar /\n")
    fresh = "quarterdeck-test/wrapper:fresh"
    for line in engine.client.build(path=str(context), tag=fresh, rm=True, decode=True):
        assert "error" not in line, line
    return fresh


def _packages(site: Path) -> list[Path]:
    """What the wrapper imports of the installed packages, found by importing it."""
    program = (
        "import sys, wrapper.__main__, wrapper.stream.hub, wrapper.stream.capture, wrapper.stream.xtest\n"
        "import examples.broadside\n"
        "print('\\n'.join(m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/gen"}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    tops = {
        Path(line).relative_to(site).parts[0] for line in run.stdout.splitlines() if Path(line).is_relative_to(site)
    }
    found = {site / top for top in tops}
    found |= set(site.glob("*.libs")) | set(site.glob("_cffi_backend*")) | set(site.glob("structlog-*"))
    return sorted(found)


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    """Shared libraries that these need, by ldd, without those that lie beside them in a wheel."""
    run = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False)
    found = set()
    for line in run.stdout.splitlines():
        words = line.split()
        path = words[2] if "=>" in words and len(words) > 2 else words[0] if words and words[0].startswith("/") else ""
        if path.startswith("/") and not path.endswith(":") and "site-packages" not in path:
            found.add(Path(path))
    return found


def _inside(path: Path) -> str:
    return str(path).lstrip("/")


def _folders(tar: tarfile.TarFile, *names: str, mode: int = 0o755) -> None:
    for name in names:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        tar.addfile(entry)


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)


def _add(tar: tarfile.TarFile, path: Path, without: tuple[str, ...], name: str = "") -> None:
    def keep(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if Path(entry.name).name in without:
            return None
        entry.uid = entry.gid = 0
        entry.mode |= 0o755 if entry.isdir() else 0o444
        return entry

    if path.exists():
        tar.add(path, name or _inside(path), filter=keep)


def _checkout(tar: tarfile.TarFile) -> None:
    for part in ("wrapper", "gen", "examples"):
        _add(tar, REPOSITORY / part, ("__pycache__",), f"checkout/{part}")
    _add(tar, REPOSITORY / "wrapper" / "launcher.sh", (), f"{LAUNCHER}/launcher.sh")
