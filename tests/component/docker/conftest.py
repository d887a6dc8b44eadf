from collections.abc import Iterator

import pytest

from tests.component.docker.rig import Fleet
from tests.component.hostagent.conftest import Agents, agents, plane
from tests.component.hostagent.fakeplane import FakePlane
from tests.docker_engine import Engine
from tests.docker_images import debian_image, games_image

__all__ = ["agents", "debian_image", "games_image", "plane"]


@pytest.fixture
def fleet(plane: FakePlane, agents: Agents, docker_engine: Engine, wrapper_image: str) -> Iterator[Fleet]:
    fleet = Fleet(plane, agents, docker_engine, wrapper_image)
    yield fleet
    for process in agents.started:
        if process.poll() is None:
            process.kill()
            process.wait()
    fleet.remove_all()


@pytest.fixture
def own_fleet(fleet: Fleet) -> Iterator[Fleet]:
    """One whose engine may be killed; it is up again for the next test."""
    if not fleet.engine.ours:
        pytest.skip("the engine is not ours to kill: QUARTERDECK_TEST_DOCKER is set")
    yield fleet
    if not fleet.engine.runs:
        fleet.engine.start()
