"""A game whose processes fork and end without end: each is gone before anybody who looks for it can kill it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from quarterdeck.v1 import games_pb2, sessions_pb2

from hostagent import procfs
from tests.component.wrapper.rig import spec, wrapper

COMETS = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
end = time.monotonic() + 40
for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        while os.fork() == 0 and time.monotonic() < end:
            pass
        os._exit(0)
time.sleep(600)
"""


async def test_comets_end_with_their_session(tmp_path: Path) -> None:
    message = spec((sys.executable, "-c", COMETS), games_pb2.PICTURE_NONE)
    message.deployment.readiness.stays_up.FromMilliseconds(500)
    async with wrapper(tmp_path, message) as running:
        await running.until_running()
        await running.stop(grace_s=1)
        ended = await running.until_exited()
    assert "was killed" in ended.reason_detail
    assert not [row for row in procfs.rows() if row.mark == str(tmp_path)]


async def test_comets_end_with_their_session_though_its_game_has_killed_its_keeper(tmp_path: Path) -> None:
    message = spec((sys.executable, "-c", COMETS), games_pb2.PICTURE_NONE)
    message.deployment.readiness.stays_up.FromMilliseconds(500)
    async with wrapper(tmp_path, message) as running:
        status = await running.until_running()
        stat = Path(f"/proc/{status.game_pid}/stat").read_text(encoding="ascii")
        os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
        ended = await running.until_exited()
    assert ended.reason == sessions_pb2.SESSION_REASON_GAME_CRASHED
    assert not [row for row in procfs.rows() if row.mark == str(tmp_path)]
