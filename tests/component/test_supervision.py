"""The parent of `quarterdeck up`, with real processes: restarts, readiness, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nats
import psutil
import pytest

from controlplane.supervise import broker, claims
from controlplane.supervise.oneshot import OneShots
from controlplane.supervise.part import Part, PartFailed, Recipe, ended
from tests.house import House

READY = 'import os,sys; os.write(int(sys.argv[1]), b\'{"ready": true, "n": 7}\\n\'); '


def recipe(tmp_path: Path, script: str, **more: object) -> Recipe:
    argv = (sys.executable, "-c", script, "{status_fd}")
    return Recipe("part", argv, tmp_path / "part.log", dict(os.environ), **more)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def running(made: Recipe):
    said: list[str] = []
    part = Part(made, said.append)
    part.start()
    try:
        yield part, said
    finally:
        await part.stop()


async def test_what_dies_is_started_again_and_told(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    os.mkfifo(starts)
    reader = os.open(
        starts, os.O_RDWR | os.O_NONBLOCK
    )  # a writer of our own: readable then means a letter, never an end
    script = READY + f"open({str(starts)!r}, 'w').write('x'); import signal; signal.pause()"
    async with running(recipe(tmp_path, script, first_only=("first",))) as (part, said):
        assert (await part.ready())["n"] == 7
        assert part.process is not None
        first = part.process.pid
        await started(reader)
        assert psutil.Process(first).cmdline()[-1] == "first"

        os.kill(first, signal.SIGKILL)

        await started(reader)
        assert part.process.pid != first
        assert psutil.Process(part.process.pid).cmdline()[-1] != "first"
        assert len(said) == 1
        assert said[0].startswith("part was killed by SIGKILL; starting it again in 0.")
        last = part.process.pid
    assert not psutil.pid_exists(last)
    os.close(reader)


async def started(fifo: int) -> None:
    """Waits until the part has written its one letter."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(fifo, arrived.set)
    await asyncio.wait_for(arrived.wait(), 20)
    loop.remove_reader(fifo)
    assert os.read(fifo, 1) == b"x"


async def test_what_dies_before_it_is_ready_fails_with_its_last_words(tmp_path: Path) -> None:
    async with running(recipe(tmp_path, "raise SystemExit('the database is locked')")) as (part, _):
        with pytest.raises(PartFailed, match=r"exit code 1\n    the database is locked"):
            await part.ready()


async def test_what_does_not_stop_politely_is_ended_firmly(tmp_path: Path) -> None:
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "\nwhile True: signal.pause()"
    async with running(recipe(tmp_path, script, stop_s=0.2)) as (part, said):
        await part.ready()
        assert part.process is not None
    assert part.process.returncode == -signal.SIGKILL
    assert said == ["part does not stop; ending it firmly"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_children_end_with_a_killed_parent(tmp_path: Path, number: signal.Signals) -> None:
    parent_script = f"""
import asyncio, pathlib, signal, sys
sys.path.insert(0, {str(Path.cwd())!r})
from controlplane.supervise.part import Part, Recipe
async def main():
    child = {READY + "import signal; signal.pause()"!r}
    made = Recipe("child", (sys.executable, "-c", child, "{{status_fd}}"), pathlib.Path({str(tmp_path / "log")!r}),
                  {{}}, death_signal=signal.{number.name})
    part = Part(made, print)
    part.start()
    await part.ready()
    print(part.process.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", parent_script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await asyncio.to_thread(parent.stdout.readline))
    watching = asyncio.create_task(ended(child))
    await asyncio.sleep(0)

    parent.kill()
    parent.wait()

    await asyncio.wait_for(watching, 10)


async def test_a_one_shot_gives_its_output_or_its_last_line() -> None:
    runs = OneShots()
    printing = [sys.executable, "-c", "print('{\"a\": 1}')"]
    assert await runs.json(printing, os.environ) == {"a": 1}
    failing = [sys.executable, "-c", "import sys; sys.exit('Traceback\\nError: no such game')"]
    with pytest.raises(PartFailed, match=r"^no such game$"):
        await runs.check(failing, os.environ)
    assert runs.pids == set()


def test_a_data_directory_belongs_to_one_house(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with claims.data_directory(home):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        with pytest.raises(claims.Taken, match=rf"process {os.getpid()}\).*--data-dir"), claims.data_directory(home):
            pass
    with claims.data_directory(home) as claim:
        assert claim > 0


def test_a_house_waits_for_the_children_of_a_killed_one(tmp_path: Path) -> None:
    with claims.data_directory(tmp_path) as claim:
        child = subprocess.Popen(["sh", "-c", 'sleep 0.5; touch "$1"', "sh", tmp_path / "over"], pass_fds=(claim,))
        (tmp_path / "up.lock").write_text("999999999")
    with claims.data_directory(tmp_path):
        assert (tmp_path / "over").exists()
    child.wait()


def test_a_port_in_use_is_named_with_its_option_and_variable(free_port: Callable[[], int]) -> None:
    port = free_port()
    claims.ports({"http_port": ("127.0.0.1", port)})
    with socket.create_server(("127.0.0.1", port)), pytest.raises(claims.Taken) as refused:
        claims.ports({"http_port": ("127.0.0.1", port)})
    assert f"127.0.0.1:{port}" in str(refused.value)
    assert "--http-port or QUARTERDECK_HTTP_PORT" in str(refused.value)


async def test_the_bundled_broker_asks_for_its_token_and_keeps_its_port(tmp_path: Path) -> None:
    prepared = broker.prepare(tmp_path / "nats")
    assert broker.prepare(tmp_path / "nats") == prepared
    secrets = [tmp_path / "nats" / name for name in ("token", "nats.conf")]
    assert [stat.S_IMODE(secret.stat().st_mode) for secret in secrets] == [0o600, 0o600]
    token = prepared.token_file.read_text()
    assert token not in " ".join(prepared.argv) + prepared.url

    made = Recipe("nats-server", prepared.argv, tmp_path / "nats.log", dict(os.environ))
    async with running(made):
        connection = await connected(prepared.url, token)
        assert (await connection.jetstream().account_info()).memory == 0
        await connection.close()
        with pytest.raises(nats.errors.Error):
            await nats.connect(prepared.url, token="wrong", allow_reconnect=False, max_reconnect_attempts=0)


async def connected(url: str, token: str) -> nats.NATS:
    for _ in range(600):
        try:
            return await nats.connect(url, token=token, allow_reconnect=False, connect_timeout=1)
        except (OSError, nats.errors.Error):
            await asyncio.sleep(0.05)
    raise AssertionError("nats-server does not answer")


def test_a_house_hears_no_signal_of_its_childrens_ends(tmp_path: Path) -> None:
    """A game that forks and ends without end once stopped its loop by a flood of them."""
    with House(tmp_path, "--no-agent") as house:
        assert house.process is not None
        (caught,) = re.findall(
            r"^SigCgt:\s+(\w+)$", Path(f"/proc/{house.process.pid}/status").read_text(), re.MULTILINE
        )
        assert not int(caught, 16) >> (signal.SIGCHLD - 1) & 1
