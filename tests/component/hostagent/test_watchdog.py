"""A wrapper whose loop is stuck (here: stopped) or that ignores the stop keeps no session alive."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from pathlib import Path

import pytest
from quarterdeck.v1 import games_pb2, sessions_pb2, wrapper_pb2

from hostagent import procfs
from hostagent.lifecycle import Phase
from hostagent.plan import WorkloadKey
from hostagent.runtime.process import ProcessRuntime
from hostagent.saves import Saves
from hostagent.sessiondir import SessionDir
from hostagent.surroundings import Surroundings, Timing
from hostagent.transfer import ArchiveLink
from hostagent.watchdog import Terms
from hostagent.workload import Workload
from tests.component.hostagent.conftest import STANDIN, eventually

Reason = sessions_pb2.SessionReason
WITHIN_S = 60.0
GAME = "import time; print('ready', flush=True); time.sleep(600)"
NEVER = 10**9


async def begun(
    root: Path,
    terms: Terms,
    ready_s: int = 60,
    ready: str = "ready",
    longest_s: int = 0,
    wrapper: tuple[str, ...] = ("-m", "wrapper"),
    **environment: str,
) -> Workload:
    spec = wrapper_pb2.SessionSpec(session_id="game-1", generation=1, project="p")
    spec.deployment.command.extend([sys.executable, "-c", GAME])
    spec.deployment.environment.update(environment)
    spec.deployment.picture = games_pb2.PICTURE_NONE
    spec.deployment.readiness.log_pattern = ready
    spec.deployment.readiness.timeout.FromSeconds(ready_s)
    spec.deployment.stop_grace.FromMilliseconds(100)
    spec.limits.max_duration.FromSeconds(longest_s)
    content = spec.SerializeToString(deterministic=True)

    async def specs(_: str) -> bytes:
        return content

    root.mkdir()
    saves = Saves(root.parent / "unstored", ArchiveLink(lambda: None), lambda _: None)
    timing = Timing(firm_margin_s=0.2, watchdog=terms)
    runtime = ProcessRuntime(root, (sys.executable, "-P", *wrapper))
    around = Surroundings(runtime, specs, lambda _: None, saves, timing)
    workload = Workload(SessionDir.of(root, WorkloadKey("game-1", 1)), hashlib.sha256(content).hexdigest(), around)
    workload.begin()
    return workload


async def ending(workload: Workload) -> wrapper_pb2.WorkloadStatus:
    async with asyncio.timeout(WITHIN_S):
        await workload.ended()
    return workload.status()


async def test_a_wrapper_that_answers_nothing_is_killed_with_its_game_and_the_reason_told(tmp_path: Path) -> None:
    terms = Terms(ask_s=0.2, answer_s=1.0, questions=NEVER)
    workload = await begun(tmp_path / "sessions", terms)
    await eventually(lambda: workload.phase is Phase.RUNNING, WITHIN_S)
    # Not before: on a busy machine it is being imported for long, and answers nothing either.
    object.__setattr__(terms, "questions", 3)
    os.kill(workload.status().wrapper_pid, signal.SIGSTOP)
    status = await ending(workload)
    assert status.reason == Reason.SESSION_REASON_WRAPPER_LOST
    assert "stuck" in status.reason_detail


@pytest.mark.parametrize("playable", [True, False], ids=["played too long", "never playable"])
async def test_a_stuck_wrapper_does_not_escape_the_sessions_end(tmp_path: Path, playable: bool) -> None:
    terms = Terms(margin_s=0.5, start_margin_s=5, ask_s=0.1, answer_s=0.5, questions=NEVER)
    patience_s, pattern = (60, "ready") if playable else (5, "never")
    workload = await begun(tmp_path / "sessions", terms, patience_s, pattern, longest_s=3)
    wanted = Phase.RUNNING if playable else Phase.STARTING
    await eventually(lambda: workload.phase is wanted and workload.status().wrapper_pid, WITHIN_S)
    os.kill(workload.status().wrapper_pid, signal.SIGSTOP)
    status = await ending(workload)
    told = Reason.SESSION_REASON_MAX_DURATION if playable else Reason.SESSION_REASON_START_FAILED
    assert (status.reason, "its wrapper let it be" in status.reason_detail) == (told, True)


async def test_a_wrapper_that_ignores_the_stop_is_killed(tmp_path: Path) -> None:
    workload = await begun(tmp_path / "sessions", Terms(), wrapper=(str(STANDIN),), STANDIN="deaf")
    await eventually(lambda: workload.phase is Phase.RUNNING, WITHIN_S)
    workload.ask_stop(Reason.SESSION_REASON_STOP_REQUESTED)
    status = await ending(workload)
    assert status.reason == Reason.SESSION_REASON_STOP_REQUESTED
    assert status.reason_detail == "the wrapper ended by SIGKILL while stopping"
    assert not [row for row in procfs.rows() if row.mark and row.mark.startswith(str(tmp_path))]
