"""Games that use what they reach through their wrapper, whose rights they have: against their host, in vain."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.component.docker.rig import EXITED, Fleet, Reason
from tests.component.hostagent.fakeplane import run_line

# What the wrapper sees of the session's directory, by way of its root.
TRAPS = """
there=/proc/1/root$QUARTERDECK_SESSION_DIR
echo '* * * * * root owned' >/proc/1/fd/1
/bin/busybox ln -s $TRAP/output $there/wrapper.output
/bin/busybox ln -s $TRAP/status $there/.status.binpb.$AGENT
/bin/busybox ln -s $TRAP/launch $there/.launch.json.$AGENT
/bin/busybox mv $there/log $there/log.away
/bin/busybox ln -s $TRAP/log $there/log
/bin/busybox mv $there/wrapper.sock $there/away.sock
/bin/busybox ln -s $TRAP/wrapper.sock $there/wrapper.sock
echo '{"boot_id": "", "boot_s": "forged", "wall_s": 0}' >$there/launch.new
/bin/busybox mv $there/launch.new $there/launch.json </dev/null || echo kept 1
/bin/busybox rm -f $there/spec.binpb || echo kept 2
echo >$STAGE/set
echo ready
exec sleep 600
"""


async def test_a_game_writes_nothing_of_its_hosts_and_forges_none_of_its_agents_records(
    fleet: Fleet, box_image: str, tmp_path: Path
) -> None:
    trap = tmp_path / "host"
    (trap / "log").mkdir(parents=True)
    record = trap / "log" / f"{1:020d}"
    record.write_text("999\t5\tstdout\tof the host\n")
    other = socket.socket(socket.AF_UNIX)  # of another session
    other.bind(str(trap / "wrapper.sock"))
    other.listen()
    other.setblocking(False)
    agent = fleet.start_agent()
    stage = fleet.path() / "stage"
    digest = fleet.add(
        box_image, ("sh", "-c", TRAPS), grace_ms=500, TRAP=str(trap), AGENT=str(agent.pid), STAGE=str(stage)
    )
    await fleet.run(digest)
    assert (stage / "set").exists()
    assert (fleet.path() / "log").is_symlink()
    before = (fleet.path() / "launch.json").read_bytes()
    agent.kill()
    agent.wait()
    fleet.start_agent()
    await fleet.plane.until(lambda: len(fleet.plane.streams) == 2 and fleet.plane.reported("game-1") is not None)
    assert b"forged" not in before
    assert (fleet.path() / "spec.binpb").exists()
    ended = await fleet.stop(digest)
    assert ended.reason == Reason.SESSION_REASON_STOP_REQUESTED
    fleet.plane.plan()
    await fleet.plane.until(lambda: fleet.plane.reported("game-1") is None)
    with pytest.raises(BlockingIOError):
        other.accept()
    other.close()
    assert sorted(path.name for path in trap.iterdir()) == ["log", "wrapper.sock"]
    assert [path.name for path in (trap / "log").iterdir()] == [record.name]
    assert not [line for line in fleet.plane.logged.get("game-1", ()) if "of the host" in line[2]]


async def test_a_report_of_nonsense_by_a_game_ends_its_own_session_with_a_reason(fleet: Fleet, box_image: str) -> None:
    script = "echo ready; yes 9 | /bin/busybox tr -d '\\n' | /bin/busybox head -c 100000 >$STAGE/report; exec sleep 600"
    digest = fleet.add(box_image, ("sh", "-c", script), STAGE=f"{fleet.path()}/stage")
    fleet.start_agent()
    fleet.plane.plan(run_line("game-1", digest))
    await fleet.plane.until(lambda: fleet.plane.is_in("game-1", EXITED), 60)
    ended = fleet.plane.reported("game-1")
    assert ended.reason == Reason.SESSION_REASON_GAME_CRASHED
    assert "container was killed" in ended.reason_detail
