"""What every runtime must do, on each of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from hostagent import procfs
from hostagent.runtime import Instance, Order, Pull, Runtime, StartFailed
from hostagent.runtime.container_spec import Confinement
from hostagent.runtime.docker import DockerRuntime
from hostagent.runtime.dockerhost import Engine
from hostagent.runtime.dockersettings import DockerSettings, default_user
from hostagent.runtime.process import ProcessLimits, ProcessRuntime

# Waits for a signal beside a child that leads a process session of its own; ends with 7 when told by a file.
PROGRAM = """
import os, subprocess, sys, time, json, resource
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
facts = {"env": dict(os.environ), "cwd": os.getcwd(), "child": child.pid, "sid": os.getsid(0), "pid": os.getpid(),
         "core": resource.getrlimit(resource.RLIMIT_CORE), "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
         "stdin": os.read(0, 1) == b"", "nice": os.nice(0), "fds": sorted(os.listdir("/proc/self/fd"))}
open("facts.new", "w").write(json.dumps(facts)); os.rename("facts.new", "facts")
while not os.path.exists("end"): time.sleep(0.02)
child.kill(); child.wait(); sys.exit(7)
"""


@dataclass
class Bench:
    """A runtime's root, and how to make one, or another on the same machine."""

    root: Path
    make: Callable[[Path], Runtime]

    def order(self, name: str = "game.1") -> Order:
        path = self.root / name
        path.mkdir()
        return Order(path)


@pytest.fixture(params=["process", "docker"])
def bench(request: pytest.FixtureRequest, tmp_path: Path):
    root = tmp_path / "sessions"
    root.mkdir()
    if request.param == "docker":
        yield docker_bench(request, root)
        return
    command = (sys.executable, "-c", PROGRAM)
    yield Bench(root, lambda r: ProcessRuntime(r, command))
    for row in list(procfs.rows()):
        if row.mark and row.mark.startswith(str(tmp_path)):
            procfs.send(row.id, signal.SIGKILL)


def docker_bench(request: pytest.FixtureRequest, root: Path) -> Bench:
    socket, image = request.getfixturevalue("docker_engine").socket, request.getfixturevalue("wrapper_image")
    confinement = Confinement("", default_user(), ("python3", "-c", PROGRAM))
    settings = DockerSettings(socket, image, confinement=confinement)

    def make(path: Path) -> DockerRuntime:
        return DockerRuntime(path, settings, Engine(socket))

    async def remove_all() -> None:
        runtime = make(root)
        await runtime.find()
        for path in root.iterdir():
            await runtime.kill(path, None)
        await runtime.close()

    request.addfinalizer(lambda: asyncio.run(remove_all()))
    return Bench(root, make)


async def facts_of(order: Order) -> dict[str, Any]:
    """Once the program is up and has told them."""
    async with asyncio.timeout(60):
        while not (order.session_dir / "facts").exists():
            await asyncio.sleep(0.02)
    facts: dict[str, Any] = json.loads((order.session_dir / "facts").read_text())
    return facts


async def start(runtime: Runtime, order: Order) -> Instance:
    await runtime.prepare(order)
    instance = await runtime.start(order)
    await facts_of(order)
    return instance


async def test_a_started_workload_is_found_by_its_directory(bench: Bench) -> None:
    runtime, order = bench.make(bench.root), bench.order()
    assert await runtime.find() == []
    instance = await start(runtime, order)
    assert instance.session_dir == order.session_dir
    assert await runtime.find() == [instance]


async def test_the_end_of_a_workload_is_awaited_with_its_exit_code(bench: Bench) -> None:
    runtime, order = bench.make(bench.root), bench.order()
    instance = await start(runtime, order)
    waiting = asyncio.create_task(runtime.wait(instance))
    await asyncio.sleep(0)
    assert not waiting.done()
    (order.session_dir / "end").touch()
    assert await asyncio.wait_for(waiting, 60) == 7
    assert await runtime.find() == []


async def test_waiting_can_be_given_up_without_harm(bench: Bench) -> None:
    runtime, order = bench.make(bench.root), bench.order()
    instance = await start(runtime, order)
    waiting = asyncio.create_task(runtime.wait(instance))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await runtime.find() == [instance]
    (order.session_dir / "end").touch()
    assert await asyncio.wait_for(runtime.wait(instance), 60) == 7


async def test_killing_leaves_nothing_and_can_be_repeated(bench: Bench) -> None:
    runtime, order = bench.make(bench.root), bench.order()
    instance = await start(runtime, order)
    assert await runtime.kill(order.session_dir, instance.process) >= 1
    assert await asyncio.wait_for(runtime.wait(instance), 60) == -signal.SIGKILL
    assert await runtime.find() == []
    assert await runtime.kill(order.session_dir, instance.process) == 0


async def test_another_runtime_on_the_same_directory_takes_over(bench: Bench) -> None:
    first, order = bench.make(bench.root), bench.order()
    instance = await start(first, order)
    await first.close()
    second = bench.make(bench.root)
    assert await second.find() == [instance]
    waiting = asyncio.create_task(second.wait(instance))
    await second.kill(order.session_dir, instance.process)
    # Who did not start it may not know; Docker tells everybody.
    assert await asyncio.wait_for(waiting, 60) in (None, -signal.SIGKILL)


async def test_workloads_of_another_directory_are_invisible_and_safe(bench: Bench, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    mine, other, order = bench.make(bench.root), bench.make(elsewhere), bench.order()
    instance = await start(mine, order)
    assert await other.find() == []
    assert await other.kill(elsewhere / order.session_dir.name, None) == 0
    assert await mine.find() == [instance]


async def test_an_image_is_refused_where_there_are_none(bench: Bench) -> None:
    with pytest.raises(StartFailed):
        await bench.make(bench.root).prepare(Order(bench.root, image="game:1", pull=Pull.NEVER))


async def test_a_directory_that_is_not_there_cannot_be_started_in(bench: Bench) -> None:
    with pytest.raises((StartFailed, OSError)):
        await bench.make(bench.root).start(Order(bench.root / "none.1"))


async def test_a_process_has_a_clean_surrounding_of_its_own(tmp_path: Path) -> None:
    order = Order(tmp_path / "game.1")
    order.session_dir.mkdir()
    secret = {"SECRET_TOKEN": "s", "PATH": os.environ["PATH"], "LD_PRELOAD": ""}
    limits = ProcessLimits(open_files=512, nice=3)
    runtime = ProcessRuntime(tmp_path, (sys.executable, "-c", PROGRAM), limits, secret)
    instance = await runtime.start(order)
    try:
        facts = await facts_of(order)
        assert facts["env"].keys() - {"LC_CTYPE"} == {
            "PATH", "HOME", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", procfs.MARK,
        }  # fmt: skip
        assert facts["env"][procfs.MARK] == facts["cwd"] == str(order.session_dir)
        assert facts["pid"] == facts["sid"] == instance.process.pid
        assert facts["core"] == [0, 0]
        assert facts["nofile"] == [512, 512]
        assert facts["nice"] == os.nice(0) + 3
        assert facts["stdin"]
        assert len(facts["fds"]) <= 4  # the three standard ones and the listing itself
    finally:
        await runtime.kill(order.session_dir, instance.process)
    assert procfs.identify(facts["child"]) is None
    assert await runtime.wait(instance) == -signal.SIGKILL


async def test_what_a_workload_uses_is_told_while_it_runs(bench: Bench) -> None:
    order = bench.order()
    runtime = bench.make(bench.root)
    instance = await runtime.start(order)
    try:
        await facts_of(order)
        used = await runtime.usage([order.session_dir, bench.root / "none.1"])
        assert list(used) == [order.session_dir]
        assert used[order.session_dir].processes >= 1
        assert used[order.session_dir].memory_peak_bytes >= used[order.session_dir].memory_bytes >= 0
    finally:
        await runtime.kill(order.session_dir, instance.process)
    await runtime.wait(instance)
    assert not await runtime.out_of_memory(order.session_dir)
    assert await runtime.usage([order.session_dir]) == {}


async def test_a_foreign_process_of_the_same_group_of_names_is_never_touched(tmp_path: Path) -> None:
    order = Order(tmp_path / "game.1")
    order.session_dir.mkdir()
    environment = {**os.environ, procfs.MARK: str(tmp_path / "game.11")}
    foreign = await asyncio.create_subprocess_exec("sleep", "60", env=environment)
    plain = await asyncio.create_subprocess_exec("sleep", "60", cwd=order.session_dir)
    runtime = ProcessRuntime(tmp_path, (sys.executable, "-c", PROGRAM))
    instance = await runtime.start(order)
    try:
        assert await runtime.kill(order.session_dir, instance.process) >= 1
        assert foreign.returncode is None
        assert plain.returncode is None
        assert psutil.pid_exists(foreign.pid)
        assert psutil.pid_exists(plain.pid)
    finally:
        foreign.kill()
        plain.kill()
        await foreign.wait()
        await plain.wait()


async def test_a_recycled_pid_is_not_taken_for_the_old_process() -> None:
    me = procfs.identify(os.getpid())
    assert me is not None
    assert procfs.is_alive(me)
    ghost = procfs.ProcessId(me.pid, me.start_ticks - 1)
    assert not procfs.is_alive(ghost)
    assert procfs.send(ghost, signal.SIGKILL) is False
    assert procfs.tree_of(Path("/no/such/session"), ghost) == set()
