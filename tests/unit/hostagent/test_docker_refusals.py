"""An engine that refuses what it is asked for: that holds up its own session alone, and that one not for ever."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import requests

from hostagent import procfs
from hostagent.runtime import Instance, Order
from hostagent.runtime.both import BothRuntimes
from hostagent.runtime.docker import DockerRuntime
from hostagent.runtime.dockerhost import Engine
from hostagent.runtime.dockersettings import DockerSettings
from hostagent.runtime.process import ProcessRuntime
from tests.fake_engine import FakeEngine, fake_engine


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[FakeEngine]:
    async with fake_engine(tmp_path / "docker.sock") as engine:
        yield engine


@pytest.fixture
async def runtime(tmp_path: Path, engine: FakeEngine) -> AsyncIterator[DockerRuntime]:
    runtime = DockerRuntime(tmp_path / "sessions", DockerSettings(engine.socket), Engine(engine.socket))
    yield runtime
    await runtime.close()


def held(engine: FakeEngine, *wrappers: Path, pid: int = 0, state: str = "running") -> None:
    """Each of these sessions has a wrapper's container, whose process is `pid` if it runs."""
    rows = []
    for path in wrappers:
        labels = {"quarterdeck.role": "wrapper", "quarterdeck.session-dir": str(path)}
        rows.append({"Id": f"id-of-{path.name}", "Labels": labels, "State": state, "Created": 0})
        inspected = {"Running": state == "running", "Pid": pid, "ExitCode": 0}
        for name in (f"id-of-{path.name}", f".*-{path.name}-wrapper"):
            engine.on(
                f"GET /containers/{name}/json",
                {"Id": f"id-of-{path.name}", "State": inspected, "Config": {"Tty": True}},
            )
    engine.on("GET /containers/json", rows)


def session(tmp_path: Path, name: str) -> Path:
    path = tmp_path / "sessions" / name
    path.mkdir(parents=True)
    return path


async def test_containers_that_cannot_be_removed_keep_nobody_elses_from_being_found(
    engine: FakeEngine, runtime: DockerRuntime, tmp_path: Path
) -> None:
    me = procfs.identify(os.getpid())
    assert me is not None
    well, stuck, sick = (session(tmp_path, name) for name in ("well.1", "stuck.1", "sick.1"))
    homeless = tmp_path / "sessions" / "homeless.1"
    held(engine, well, stuck, sick, homeless, pid=me.pid)
    engine.on("GET /containers/(id-of-stuck.1|.*-stuck.1-wrapper)/json", {"Id": "s", "State": {"Running": True}})
    engine.refuse("POST /containers/.*-(stuck|homeless).1-wrapper/kill")
    engine.refuse("GET /containers/(id-of-sick.1|.*-sick.1-wrapper)/json")
    assert await runtime.find() == [Instance(well, me, certain=True)]
    for path in (stuck, sick):
        with pytest.raises(TimeoutError, match="the device is busy"):
            await runtime.kill(path, None)


async def test_a_container_that_the_engine_does_not_answer_for_keeps_no_agent_from_starting(
    engine: FakeEngine, runtime: DockerRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = procfs.identify(os.getpid())
    assert me is not None
    well, hanging = (session(tmp_path, name) for name in ("well.1", "hanging.1"))
    held(engine, well, hanging, pid=me.pid)
    state = Engine.state

    async def unanswered(engine: Engine, container: str, patience_s: float = 0) -> dict[str, Any] | None:
        if "hanging" in container:
            raise requests.exceptions.ReadTimeout("Read timed out.")
        return await state(engine, container, patience_s)

    monkeypatch.setattr(Engine, "state", unanswered)
    assert await runtime.find() == [Instance(well, me, certain=True)]
    with pytest.raises(TimeoutError, match="does not answer"):
        await runtime.kill(hanging, None)


async def test_an_engine_that_refuses_at_an_end_is_asked_again_and_what_it_does_not_tell_is_not_known(
    engine: FakeEngine, runtime: DockerRuntime, tmp_path: Path
) -> None:
    path = session(tmp_path, "game.1")
    held(engine, path, pid=os.getpid())
    (instance,) = await runtime.find()
    over = Instance(path, procfs.ProcessId(instance.process.pid, 1), certain=True)
    engine.refuse("GET /containers/.*/json")
    assert await runtime.wait(over) is None
    assert not await runtime.out_of_memory(path)
    assert await runtime.usage([path]) == {}
    with pytest.raises(TimeoutError, match="the device is busy"):
        await runtime.kill(path, None)
    engine.on("GET /containers/.*/json", {"message": "no such container"}, 404)
    assert await runtime.kill(path, None) == 0


async def test_a_dead_container_that_cannot_be_removed_keeps_no_session_from_its_end(
    engine: FakeEngine, runtime: DockerRuntime, tmp_path: Path
) -> None:
    path = session(tmp_path, "game.1")
    held(engine, path, pid=os.getpid())
    await runtime.find()
    engine.refuse("DELETE /containers/.*")
    engine.on("POST /containers/.*", {"StatusCode": 137})
    with pytest.raises(TimeoutError, match="the device is busy"):
        await runtime.kill(path, None)
    held(engine, path, state="dead")
    assert await runtime.kill(path, None) == 0
    assert await runtime.sweep(grace_s=0) == 0
    engine.on("DELETE /containers/.*", {}, 204)
    assert await runtime.sweep(grace_s=0) == 1


async def test_a_session_without_containers_ends_without_an_engine(tmp_path: Path) -> None:
    root = tmp_path / "sessions"
    nobody = f"unix://{tmp_path}/nobody.sock"
    containers = DockerRuntime(root, DockerSettings(nobody), Engine(nobody))
    runtime = BothRuntimes(ProcessRuntime(root, ("sh", "-c", "exec sleep 600")), containers)
    instance = await runtime.start(Order(session(tmp_path, "game.1")))
    ending = asyncio.create_task(runtime.wait(instance))
    assert await runtime.kill(instance.session_dir, instance.process) == 1
    assert await ending == -signal.SIGKILL
    assert not await runtime.out_of_memory(instance.session_dir)
    await runtime.close()


async def test_one_orphan_that_cannot_be_removed_does_not_keep_the_next(
    engine: FakeEngine, runtime: DockerRuntime, tmp_path: Path
) -> None:
    first, second = session(tmp_path, "a.1"), session(tmp_path, "b.1")
    held(engine, first, second, state="exited")
    engine.on("DELETE /containers/.*", {}, 204)
    engine.refuse(re.escape("DELETE /containers/id-of-a.1"))
    assert await runtime.sweep(grace_s=0) == 1
    assert "DELETE /containers/id-of-b.1" in engine.asked
