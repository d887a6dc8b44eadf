"""What is typed into a game in its own image, the files that it finds, and the HTTP answer that makes it ready."""

from __future__ import annotations

from quarterdeck.v1 import sessions_pb2, wrapper_pb2

from tests.component.docker.rig import Fleet, Reason
from tests.component.hostagent.conftest import eventually
from tests.ports import free_port

TCP = sessions_pb2.PortLease.PROTOCOL_TCP
# Repeats what it reads; 3 is what it answers to SIGTERM.
SERVER = (
    "trap 'exit 3' TERM; cat /data/conf/server.ini $HOME/motd; echo ready;"
    "while read -r line; do echo heard $line; [ $line = quit ] && exit 0; done; echo no more input"
)


async def typed(fleet: Fleet, *lines: str) -> None:
    async with fleet.wrapper() as stub:
        await stub.SendConsoleInput(wrapper_pb2.WrapperConsoleInput(lines=lines))


def add(fleet: Fleet, image: str, **choices) -> str:
    files = {"/data/conf/server.ini": b"slots=8\n", "motd": b"welcome\n"}
    return fleet.add(image, ("sh", "-c", SERVER), volumes=[("data", "/data")], files=files, **choices)


async def test_a_game_in_a_container_reads_its_files_and_its_console(fleet: Fleet, box_image: str) -> None:
    digest = add(fleet, box_image, grace_ms=20_000)
    fleet.start_agent()
    await fleet.run(digest)
    await typed(fleet, "one", "two")
    assert await fleet.printed("heard two") == ["slots=8", "welcome", "ready", "heard one", "heard two"]
    assert (await fleet.stop(digest)).exit_code == 3


async def test_a_container_is_stopped_by_the_games_own_command(fleet: Fleet, box_image: str) -> None:
    digest = add(fleet, box_image, stop_command="quit")
    fleet.start_agent()
    await fleet.run(digest)
    ended = await fleet.stop(digest)
    assert (ended.exit_code, ended.reason) == (0, Reason.SESSION_REASON_STOP_REQUESTED)
    await eventually(lambda: not fleet.containers())


async def test_a_server_is_ready_when_it_answers_http_in_its_own_network(fleet: Fleet, box_image: str) -> None:
    script = "mkdir /tmp/www; echo fine >/tmp/www/health; sleep 1; exec /bin/busybox httpd -f -p 8080 -h /tmp/www"
    port = free_port()
    digest = fleet.add(box_image, ("sh", "-c", script), http=("web", "/health", 200), ports=[("web", TCP, port, 8080)])
    fleet.start_agent()
    status = await fleet.run(digest)
    assert status.first_frame_after.ToNanoseconds() > status.game_started_after.ToNanoseconds()
    await fleet.stop(digest)
