"""A real agent and its spools: handed on once, kept while nobody takes them, given up only for a reason."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from quarterdeck.v1 import wrapper_pb2

from tests.component.hostagent.conftest import Agents, eventually
from tests.component.hostagent.fakeplane import FakePlane, run_line, stop_line

RUNNING, EXITED = wrapper_pb2.WORKLOAD_STATE_RUNNING, wrapper_pb2.WORKLOAD_STATE_EXITED


def spool(session_dir: Path, first: int, last: int) -> None:
    """As a wrapper writes it."""
    log = session_dir / "log"
    log.mkdir(exist_ok=True)
    segment = min((path for path in log.iterdir() if path.name.isdigit()), default=log / f"{first:020d}")
    with segment.open("a") as file:
        file.writelines(f"{n}\t1763715600000\tstdout\tline {n}\n" for n in range(first, last + 1))


def stored(plane: FakePlane, session_id: str = "game-1") -> list[int]:
    return [sequence for sequence, _, _ in plane.logged.get(session_id, [])]


@pytest.fixture
async def digest(plane: FakePlane, agents: Agents) -> str:
    """Of a session that runs."""
    digest = plane.add_spec("game-1")
    plane.plan(run_line("game-1", digest))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    return digest


async def test_lines_are_handed_on_and_the_rest_when_the_session_is_gone(
    plane: FakePlane, agents: Agents, digest: str
) -> None:
    spool(agents.session_dir("game-1"), 1, 5)
    await plane.until(lambda: stored(plane) == [1, 2, 3, 4, 5])
    assert not plane.log_complete
    plane.log_refusal = grpc.StatusCode.UNAVAILABLE
    spool(agents.session_dir("game-1"), 6, 9)
    plane.plan(stop_line("game-1", digest))
    await plane.until(lambda: plane.is_in("game-1", EXITED))
    plane.plan()
    kept = agents.data_dir() / "logs" / "game-1.1"
    await eventually(lambda: kept.is_dir() and not agents.session_dir("game-1").exists())
    plane.log_refusal = None
    await plane.until(lambda: "game-1" in plane.log_complete)
    assert stored(plane) == list(range(1, 10))
    await eventually(lambda: not kept.exists())


async def test_an_agent_that_is_killed_is_followed_by_one_that_goes_on(
    plane: FakePlane, agents: Agents, digest: str
) -> None:
    for first in (1, 11, 21):
        spool(agents.session_dir("game-1"), first, first + 9)
        agents.started[-1].kill()
        agents.started[-1].wait()
        agents.start()
        await plane.until(lambda last=first + 9: stored(plane) == list(range(1, last + 1)))


async def test_lines_that_are_malformed_hold_back_nobody(plane: FakePlane, agents: Agents, digest: str) -> None:
    plane.log_refusal = grpc.StatusCode.INVALID_ARGUMENT
    spool(agents.session_dir("game-1"), 1, 5)
    await eventually(lambda: "they are malformed" in agents.log())
    plane.log_refusal = None
    spool(agents.session_dir("game-1"), 6, 9)
    await plane.until(lambda: stored(plane) == [6, 7, 8, 9])


async def test_the_log_of_an_ended_session_that_nobody_knows_is_given_up(
    plane: FakePlane, agents: Agents, digest: str
) -> None:
    plane.log_refusal = grpc.StatusCode.NOT_FOUND
    spool(agents.session_dir("game-1"), 1, 5)
    await plane.until(lambda: plane.log_refused > 0)
    assert (agents.session_dir("game-1") / "log").exists()
    plane.plan(stop_line("game-1", digest))
    await plane.until(lambda: plane.is_in("game-1", EXITED))
    await eventually(lambda: not (agents.session_dir("game-1") / "log").exists())
    assert "nobody wants it" in agents.log()
