"""What sessions leave on an engine: nothing; and what is not theirs is left alone (I9)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from docker.errors import APIError

from hostagent.runtime.docker import DockerRuntime
from hostagent.runtime.dockerhost import Engine as EngineLink
from hostagent.runtime.dockersettings import DockerSettings
from tests.component.docker.rig import Fleet
from tests.component.hostagent.conftest import eventually, exit_code
from tests.component.hostagent.fakeplane import run_line
from tests.docker_engine import Engine
from tests.docker_images import build

GAME = ("sh", "-c", "echo ready; exec sleep 600")


class Yard:
    """Containers made by hand on an engine, each of which sleeps or has ended."""

    def __init__(self, engine: Engine, image: str) -> None:
        self._engine, self._image = engine, image
        self._made: list[str] = []

    def add(self, root: Path | None, session_dir: Path | None = None, ended: bool = False) -> str:
        labels = {"quarterdeck.role": "wrapper"} | ({"quarterdeck.sessions-root": str(root)} if root else {})
        if session_dir is not None:
            labels["quarterdeck.session-dir"] = str(session_dir)
        command = ["true"] if ended else ["sleep", "600"]
        made = self._engine.client.create_container(self._image, ["busybox", *command], labels=labels)["Id"]
        self._made.append(made)
        self._engine.client.start(made)
        if ended:
            self._engine.client.wait(made)
        return str(made)

    def there(self) -> set[str]:
        return {row["Id"] for row in self._engine.client.containers(all=True)} & set(self._made)

    def clear(self) -> None:
        for container in self.there():
            self._engine.client.remove_container(container, force=True)


@pytest.fixture
def yard(docker_engine: Engine, box_image: str) -> Iterator[Yard]:
    yard = Yard(docker_engine, box_image)
    yield yard
    yard.clear()


async def test_orphans_are_swept_after_their_grace_and_strangers_are_left(
    docker_engine: Engine, yard: Yard, tmp_path: Path
) -> None:
    root, existing = tmp_path / "sessions", tmp_path / "sessions" / "game-1.1"
    existing.mkdir(parents=True)
    orphans = {yard.add(root, root / "gone-1.1"), yard.add(root, existing, ended=True)}
    kept = {
        "runs, and its directory is there": yard.add(root, existing),
        "of another agent": yard.add(tmp_path / "other", tmp_path / "other" / "gone-1.1"),
        "of another agent, and dead": yard.add(tmp_path / "other", tmp_path / "other" / "gone-2.1", ended=True),
        "a stranger": yard.add(None),
        "a dead stranger": yard.add(None, ended=True),
    }
    runtime = DockerRuntime(root, DockerSettings(docker_engine.socket), EngineLink(docker_engine.socket))
    try:
        assert await runtime.sweep(grace_s=3600) == 0
        assert yard.there() == orphans | set(kept.values())
        assert await runtime.sweep(grace_s=0) == len(orphans)
        assert yard.there() == set(kept.values())
    finally:
        await runtime.close()


async def test_an_agent_removes_at_its_start_what_its_sessions_left_and_nothing_else(
    fleet: Fleet, yard: Yard, box_image: str
) -> None:
    digest = fleet.add(box_image, GAME)
    agent = fleet.start_agent()
    await fleet.run(digest)
    agent.kill()
    agent.wait()
    for container in fleet.containers():
        with suppress(APIError):  # one that has ended with the other
            fleet.engine.client.kill(container["Id"])
    strangers = {yard.add(None), yard.add(None, ended=True), yard.add(fleet.agents.root, ended=True)}
    fleet.start_agent()
    await eventually(lambda: not fleet.containers())
    assert yard.there() == strangers


async def test_a_network_stays_for_running_sessions_and_goes_with_the_last(fleet: Fleet, box_image: str) -> None:
    digest = fleet.add(box_image, GAME)
    agent = fleet.start_agent()
    await fleet.run(digest)
    (network,) = fleet.networks()
    agent.send_signal(signal.SIGTERM)
    assert await exit_code(agent) == 0
    assert fleet.networks() == [network]
    agent = fleet.start_agent()
    await fleet.plane.until(lambda: len(fleet.plane.streams) == 2)
    await fleet.stop(digest)
    agent.send_signal(signal.SIGTERM)
    assert await exit_code(agent) == 0
    assert fleet.networks() == []


async def test_a_network_that_somebody_removed_is_made_again(fleet: Fleet, box_image: str) -> None:
    fleet.start_agent()
    first, second = fleet.add(box_image, GAME), fleet.add(box_image, GAME, session_id="game-2")
    await fleet.run(first)
    await fleet.stop(first)
    await eventually(lambda: not fleet.containers())
    for network in fleet.networks():
        fleet.engine.client.remove_network(network)
    fleet.plane.plan(run_line("game-2", second))
    await fleet.run(second, "game-2")


async def test_volumes_that_an_image_declares_go_with_the_session(fleet: Fleet, box_image: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {box_image}\nVOLUME /world\n")
    image = build(fleet.engine, "quarterdeck-test/volume:latest", tmp_path)
    before = volumes(fleet)
    digest = fleet.add(image, GAME)
    fleet.start_agent()
    await fleet.run(digest)
    assert len(volumes(fleet) - before) == 1
    await fleet.stop(digest)
    await eventually(lambda: volumes(fleet) == before)


def volumes(fleet: Fleet) -> set[str]:
    return {volume["Name"] for volume in fleet.engine.client.volumes()["Volumes"] or []}
