"""kill -9 of agent, wrapper and engine at each stage of a session in containers: the plan is reached, nothing is left.

A stage is told by what the engine and the session show; a kill follows within milliseconds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from quarterdeck.v1 import games_pb2

from tests import registry as registries
from tests.docker_engine import Engine
from tests.e2e.containers import ROLE, ContainerHouse, eventually, reason_word, state_word
from tests.ports import free_ports
from tests.registry import Registry

pytestmark = pytest.mark.alone

# How many seconds pass before it is ready, and before it has stopped.
SERVER = "trap 'sleep {stops}; exit 0' TERM; sleep {starts}; echo ready; while :; do sleep 0.1; done"
SLOW = {"starts-slowly": (3, 0), "prompt": (0, 0), "stops-slowly": (0, 5)}
SOON_S = 0.005


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, docker_engine: Engine, box_image: str) -> Iterator[Registry]:
    """It has the box, and is waited for until it goes on."""
    for registry in registries.run(tmp_path_factory.mktemp("registry") / "open"):
        client, image = docker_engine.client, f"{registry.name}/box"
        client.tag(box_image, image)
        for line in client.push(image, stream=True, decode=True):
            assert "error" not in line, line
        yield registry
        registry.signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory,
    docker_engine: Engine,
    shipped_image: str,
    box_image: str,
    registry: Registry,
) -> Iterator[ContainerHouse]:
    if not docker_engine.ours:
        pytest.skip("no Docker Engine of our own to kill: QUARTERDECK_TEST_DOCKER is set")
    # Many ports: each engine that is killed while it starts something may keep one.
    house = ContainerHouse(tmp_path_factory.mktemp("house"), docker_engine, shipped_image, media_ports=free_ports(300))
    try:
        house.start()
        for game, (starts, stops) in SLOW.items():
            house.add_server(game, box_image, SERVER.format(starts=starts, stops=stops), grace_s=2.0 * stops + 3)
        prompt = SERVER.format(starts=0, stops=0)
        house.add_server("far", f"{registry.name}/box", prompt, pull=games_pb2.PULL_POLICY_ALWAYS)
        yield house
    finally:
        if not docker_engine.runs:
            docker_engine.start()
        house.stop()
    assert house.networks() == []


def roles(house: ContainerHouse, session: str, *states: str) -> list[str]:
    """Whose containers of this session are in one of these states."""
    return [row["Labels"][ROLE] for row in house.containers(session) if row["State"] in states]


def pulling(house: ContainerHouse, registry: Registry) -> str:
    """Its registry has been asked for the image, and takes its time."""
    registry.signal(signal.SIGSTOP)
    name = house.ask("far").name
    eventually(lambda: house.get(name).progress.startswith("pulling"))
    return name


def creating(house: ContainerHouse, registry: Registry) -> str:
    """The agent has begun with the containers; none has been started."""
    name = house.ask("starts-slowly").name
    eventually(lambda: roles(house, name, "created", "running"), every_s=SOON_S)
    return name


def starting(house: ContainerHouse, registry: Registry) -> str:
    """The wrapper runs; the game is not ready."""
    name = house.ask("starts-slowly").name
    eventually(lambda: "wrapper" in roles(house, name, "running"), every_s=SOON_S)
    assert house.state(name) == "STARTING"
    return name


def running(house: ContainerHouse, registry: Registry, game: str = "prompt") -> str:
    name = house.ask(game).name
    house.until(name, "RUNNING")
    return name


def stopping(house: ContainerHouse, registry: Registry) -> str:
    name = running(house, registry, "stops-slowly")
    house.stop_session(name)
    house.until(name, "STOPPING")
    return name


STAGES = {stage.__name__: stage for stage in (pulling, creating, starting, running, stopping)}


def kill_agent(house: ContainerHouse, session: str) -> None:
    killed = house.house.pid("agent")
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: house.house.pids("agent") not in ([], [killed]))


def kill_wrapper(house: ContainerHouse, session: str) -> None:
    eventually(lambda: "wrapper" in roles(house, session, "running"))
    house.engine.client.kill(house.container(session, "wrapper")["Id"], signal.SIGKILL)


def kill_engine(house: ContainerHouse, session: str) -> None:
    house.engine.kill()
    house.engine.start()


def ends_well(house: ContainerHouse, name: str, stage: str) -> None:
    """It runs as the plan wants it, and stops when asked to."""
    if stage != "stopping":
        house.until(name, "RUNNING")
        assert sorted(roles(house, name, "running")) == ["game", "wrapper"]
        house.stop_session(name)
    session = house.until(name, "STOPPED")
    assert reason_word(session) == "STOP_REQUESTED", session
    # Killed while it started something, an engine may hold its ports until it is started anew: it takes others.
    assert session.generation == 1 or stage in ("creating", "starting"), session


def ends_lost(house: ContainerHouse, name: str, stage: str) -> None:
    """A session is its wrapper: it ends, and says so."""
    session = house.until(name, "CRASHED", "STOPPED")
    if stage == "stopping":
        assert (state_word(session), reason_word(session)) == ("STOPPED", "STOP_REQUESTED"), session
    else:
        assert state_word(session) == "CRASHED"
        assert reason_word(session) in ("WRAPPER_LOST", "START_FAILED"), session
        assert "the wrapper" in session.reason_detail, session


VICTIMS: dict[str, tuple[Callable[[ContainerHouse, str], None], Callable[[ContainerHouse, str, str], None]]] = {
    "agent": (kill_agent, ends_well),
    "wrapper": (kill_wrapper, ends_lost),
    "engine": (kill_engine, ends_well),
}


# A session whose image is on the way has no wrapper yet.
KILLS = [(victim, stage) for victim in VICTIMS for stage in STAGES if (victim, stage) != ("wrapper", "pulling")]


@pytest.mark.parametrize(("victim", "stage"), KILLS)
def test_killed_at_a_stage(house: ContainerHouse, registry: Registry, victim: str, stage: str) -> None:
    kill, ends = VICTIMS[victim]
    name = STAGES[stage](house, registry)
    kill(house, name)
    registry.signal(signal.SIGCONT)
    ends(house, name, stage)
    house.until_nothing_is_left()
