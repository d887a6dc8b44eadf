"""What the kernel counts for a session in containers, and a game that wants more memory than it may have."""

from __future__ import annotations

from pathlib import Path

from hostagent.runtime import cgroups
from tests.component.docker.rig import EXITED, RUNNING, Fleet, Reason
from tests.component.hostagent.conftest import eventually
from tests.component.hostagent.fakeplane import run_line

MIB = 1 << 20
# busybox tail keeps all of a file that has no lines.
# The kernel counts what it killed a little later: the game's own end leaves it the time.
GREEDY = "echo ready; /bin/busybox tail /dev/zero; code=$?; sleep 1; exit $code"


async def test_a_game_that_wants_more_memory_than_it_may_have_says_so(fleet: Fleet, box_image: str) -> None:
    bounded = {"memory_bytes": 64 * MIB}
    fleet.plane.plan(run_line("game-1", fleet.add(box_image, ("sh", "-c", GREEDY), container=bounded)))
    fleet.start_agent()
    await fleet.plane.until(lambda: fleet.plane.is_in("game-1", EXITED), 60)
    status = fleet.plane.reported("game-1")
    assert status is not None
    assert status.reason == Reason.SESSION_REASON_OUT_OF_MEMORY, status
    assert "64 MiB" in status.reason_detail
    await eventually(lambda: not fleet.containers())


async def test_a_crash_for_another_reason_is_no_want_of_memory(fleet: Fleet, box_image: str) -> None:
    fleet.plane.plan(run_line("game-1", fleet.add(box_image, ("sh", "-c", "echo ready; kill -9 $$"))))
    fleet.start_agent()
    await fleet.plane.until(lambda: fleet.plane.is_in("game-1", EXITED), 60)
    assert fleet.plane.reported("game-1").reason == Reason.SESSION_REASON_GAME_CRASHED


async def test_what_a_session_uses_is_reported(fleet: Fleet, box_image: str) -> None:
    script = "echo ready; while :; do :; done"
    digest = fleet.add(box_image, ("sh", "-c", script), container={"cpu_millis": 200})
    fleet.start_agent()
    await fleet.run(digest)
    await fleet.plane.until(lambda: fleet.plane.reported("game-1").HasField("usage"), 60)
    told = fleet.plane.reported("game-1")
    assert told.state == RUNNING
    assert told.usage.cpu_time.ToNanoseconds() > 0
    assert told.usage.processes >= 2
    assert 0 < told.usage.memory_bytes <= told.usage.memory_peak_bytes
    game = cgroups.of_process(fleet.container("game")["State"]["Pid"])
    assert game is not None
    own = cgroups.read(game)
    assert own is not None
    assert own.cpu_s > 0
    assert own.processes >= 1
    await fleet.stop(digest)
    ended = fleet.plane.reported("game-1")
    assert ended.usage.cpu_time.ToNanoseconds() >= told.usage.cpu_time.ToNanoseconds()
    assert cgroups.read(game) is None


async def test_a_game_that_fills_a_volume_beyond_its_bound_is_stopped(fleet: Fleet, box_image: str) -> None:
    script = "echo ready; /bin/busybox dd if=/dev/urandom of=/data/world bs=1M count=8; exec sleep 600"
    digest = fleet.add(box_image, ("sh", "-c", script), volumes=[("world", "/data")], disk_bytes=4 * MIB)
    fleet.start_agent()
    fleet.plane.plan(run_line("game-1", digest))
    status = await fleet.until(EXITED)
    assert status.reason == Reason.SESSION_REASON_DISK_LIMIT, status
    assert "its deployment allows 4.0 MiB" in status.reason_detail
    await eventually(lambda: not fleet.containers())


async def test_under_a_bound_no_game_starts_whose_image_keeps_what_nobody_counts(
    fleet: Fleet, box_image: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {box_image}\nVOLUME /world /tmp\n")
    image = "quarterdeck-test/keeping:latest"
    built = fleet.engine.client.build(path=str(tmp_path), tag=image, rm=True, decode=True)
    assert not [line for line in built if "error" in line]
    script = ("sh", "-c", "echo ready; exec sleep 600")
    fleet.start_agent()
    fleet.plane.plan(run_line("game-1", fleet.add(image, script, disk_bytes=4 * MIB)))
    status = await fleet.until(EXITED)
    assert status.reason == Reason.SESSION_REASON_START_FAILED
    assert "disk_bytes does not count /world, a volume of its image" in status.reason_detail
    digest = fleet.add(image, script, "game-2", volumes=[("world", "/world")], disk_bytes=4 * MIB)
    await fleet.run(digest, "game-2")
    mounts = {mount["Destination"]: mount["Type"] for mount in fleet.container("game")["Mounts"]}
    assert mounts["/world"] == "bind"
    assert "volume" not in mounts.values()
