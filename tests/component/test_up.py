"""`quarterdeck up` as a user meets it: it starts, is used, survives the death of its parts, and leaves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.house import House
from tests.ports import free_port

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as started:
        yield started


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def gone(pids: list[int], timeout_s: float = 20) -> list[int]:
    """Those that are still there after a while."""
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=timeout_s)
    return [process.pid for process in alive]


def until_answered(house: House, *verb: str, timeout_s: float = 60) -> str:
    """A verb's output, tried again while the API is away."""
    deadline = time.monotonic() + timeout_s
    while True:
        ran = house.run(*verb, "--output", "json")
        if ran.returncode == 0:
            return ran.stdout
        assert time.monotonic() < deadline, ran.stderr + house.logs()


def test_it_starts_serves_and_leaves_nothing(house: House) -> None:
    with urllib.request.urlopen(f"{house.url}/readyz") as answer:
        assert answer.status == 200
    assert house.page.startswith(f"{house.url}/#/signin/")
    token = house.data_dir / "operator.token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    vms = house.json("vms", "list")["vms"]
    assert [(vm["name"], vm["provider"], vm["region"]) for vm in vms] == [("vms/local", "static", "local")]
    session = house.json("sessions", "create", "broadside", "--wait")
    assert session["state"] == "SESSION_STATE_RUNNING"
    assert set(session["stages"]) >= {"allocatedTime", "gameStartedTime", "firstFrameTime"}
    family = house.family()
    secrets = [token.read_text().strip(), (house.data_dir / "nats" / "token").read_text().strip()]
    assert not [line for line in family.values() for secret in secrets if secret in line]
    ports = [int(house.environment[f"QUARTERDECK_{name}_PORT"]) for name in ("HTTP", "GRPC", "LINK", "ENROLMENT")]
    assert all(listening(port) for port in ports)

    assert house.stop() == 0

    assert house.lines[-1] == "Stopped.\n"
    assert not [line for line in house.lines if "firmly" in line and "once more" not in line]
    assert gone(list(family), timeout_s=0.5) == []
    assert not [port for port in ports if listening(port)]
    assert [str(path) for path in house.outside.rglob("*") if not path.is_dir()] == []
    assert "Error" not in "".join(house.lines)


def test_what_is_killed_comes_back_and_the_game_plays_on(house: House) -> None:
    session = house.json("sessions", "create", "broadside", "--wait")
    wrapper = house.pid("wrapper")
    for part in ("all", "nats-server", "agent"):
        killed = house.pid(part)
        os.kill(killed, signal.SIGKILL)
        house.hear(rf"^{part} was killed by SIGKILL; starting it again")
        until_answered(house, "hosts", "list")
        assert house.pid("wrapper") == wrapper
    again = json.loads(until_answered(house, "sessions", "get", session["name"]))
    assert (again["state"], again["generation"]) == ("SESSION_STATE_RUNNING", session["generation"])
    ended = house.json("sessions", "stop", session["name"], "--wait")
    assert (ended["state"], ended["reason"]) == ("SESSION_STATE_STOPPED", "SESSION_REASON_STOP_REQUESTED")
    assert gone([wrapper]) == []


def test_a_killed_house_leaves_its_games_to_the_next(house: House) -> None:
    session = house.json("sessions", "create", "broadside", "--wait")
    wrapper = house.pid("wrapper")
    others = [house.pid(part) for part in ("all", "nats-server", "agent")]
    assert house.process is not None

    house.process.kill()
    house.process.wait()

    assert gone(others) == []
    assert psutil.Process(wrapper).is_running()
    house.environment["QUARTERDECK_LINK_PORT"] = str(free_port())  # another house may have taken the old one
    house.start()
    watched = house.run("sessions", "stop", session["name"], "--wait", timeout_s=60)
    assert watched.returncode == 0, watched.stderr
    assert gone([wrapper]) == []


def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    house = House(tmp_path)
    with socket.create_server(("127.0.0.1", house.grpc_port)):
        ran = house.run("up")
    assert ran.returncode == 1
    assert ran.stdout == (
        f"Error: cannot listen on 127.0.0.1:{house.grpc_port}: Address already in use; "
        "choose another with --grpc-port or QUARTERDECK_GRPC_PORT\n"
    )


def test_a_control_plane_that_cannot_start_is_told_with_its_reason(tmp_path: Path) -> None:
    house = House(tmp_path, database_url="postgresql://nobody@127.0.0.1:1/none")
    ran = house.run("up")
    assert ran.returncode == 1
    assert "Error: all ended with exit code 1" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "Stopped."


def test_separate_processes_need_postgres(tmp_path: Path) -> None:
    ran = House(tmp_path).run("up", "--separate")
    assert ran.returncode == 2
    assert "QUARTERDECK_DATABASE_URL" in ran.stdout


def test_separate_processes_serve_as_one(tmp_path: Path, postgres_url: str) -> None:
    with House(tmp_path, "--separate", database_url=postgres_url) as house:
        session = house.json("sessions", "create", "broadside", "--wait")
        wrapper = house.pid("wrapper")
        for part in ("api", "gateway", "processor"):
            os.kill(house.pid(part), signal.SIGKILL)
            house.hear(rf"^{part} was killed by SIGKILL; starting it again")
        until_answered(house, "sessions", "get", session["name"])
        house.json("sessions", "stop", session["name"], "--wait")
        assert gone([wrapper]) == []
        assert house.stop() == 0


def test_two_wishes_to_stop_end_it_firmly(house: House) -> None:
    house.json("sessions", "create", "broadside", "--wait")
    family = house.family()
    assert house.process is not None
    os.kill(house.pid("agent"), signal.SIGSTOP)  # so that it cannot stop its session politely

    house.process.send_signal(signal.SIGINT)
    house.hear("Stopping … ")
    with contextlib.suppress(subprocess.TimeoutExpired):
        house.process.wait(0.6)  # sooner, it would be the same wish heard twice
    house.process.send_signal(signal.SIGINT)

    assert house.process.wait(30) == 0
    assert "Stopping firmly …\n" in house.lines
    assert gone(list(family)) == []


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """For tests that leave a house as it was."""
    with House(tmp_path_factory.mktemp("kept")) as started:
        yield started


def test_the_command_line_tells_refusals_in_one_line_and_writes_tables(kept: House) -> None:
    refusals = {
        ("sessions", "get", "no-such"): (1, "Error: NOT_FOUND SESSION_NOT_FOUND: "),
        ("sessions", "create", "Not-An-Id"): (1, "Error: INVALID_ARGUMENT "),
        ("sessions", "create", "no-such"): (1, "Error: NOT_FOUND GAME_NOT_FOUND: "),
        ("sessions", "list", "--target", "127.0.0.1:1"): (1, "Error: UNAVAILABLE: nobody answers at 127.0.0.1:1"),
        ("sessions", "create"): (2, "Usage: "),
        ("sessions", "list", "--state", "NAPPING"): (2, "Usage: "),
        ("up", "--http-port", "0"): (2, "Usage: "),
    }
    for verb, (code, start) in refusals.items():
        ran = kept.run(*verb)
        assert (ran.returncode, ran.stdout) == (code, ""), verb
        assert ran.stderr.startswith(start), (verb, ran.stderr)
        assert code == 2 or len(ran.stderr.splitlines()) == 1, (verb, ran.stderr)
    assert "(game" in kept.run("sessions", "create", "Not-An-Id").stderr
    (kept.outside / "home" / "token").write_text("stolen")
    stranger = kept.run("vms", "list", "--token-file", str(kept.outside / "home" / "token"))
    assert (stranger.returncode, stranger.stderr.split(":")[1].strip()) == (1, "UNAUTHENTICATED TOKEN_INVALID")
    table = kept.run("vms", "list").stdout.splitlines()
    assert table[0].split() == ["VM", "STATE", "PROVIDER", "REGION", "TEMPLATE", "SESSIONS", "UNITS", "ADDRESS"]
    assert table[1].split()[0] == "vms/local"
    link = kept.json("signin", "--session", "sessions/s-1")["url"]
    assert link.startswith(f"{kept.url}/#/signin/")
    assert link.endswith("/play/s-1")


def test_a_second_house_on_the_same_directory_is_refused(kept: House) -> None:
    ran = kept.run("up")
    assert ran.returncode == 1
    assert ran.stdout.startswith("Error: `quarterdeck up` runs on ")
    assert "--data-dir" in ran.stdout
    assert len(ran.stdout.splitlines()) == 1
