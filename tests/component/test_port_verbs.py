"""Ports on the command line against a whole house: a real server on the one port that its deployment asks for, kept for
it by an operator, asked by HTTP whether it is ready; who comes second, or finds a stranger there, is told why."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator

import pytest

from tests.house import House
from tests.ports import free_port

pytestmark = pytest.mark.timeout(240)

SERVER = """\
import http.server, os
address = "127.0.0.1", int(os.environ["QUARTERDECK_PORT_WEB"])
http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("ports")) as house:
        yield house


def deploy(house: House, game: str, port: int) -> None:
    deployment = {
        "command": [sys.executable, "-c", SERVER],
        "picture": "PICTURE_NONE",
        "ports": [{"portName": "web", "protocol": "tcp", "hostPort": port}],
        "readiness": {"http": {"portName": "web", "path": "/", "expectedStatus": 200}, "timeout": "60s"},
    }
    named, file = house.outside / f"{game}.json", house.outside / f"{game}-1.json"
    named.write_text(json.dumps({"displayName": game}))
    file.write_text(json.dumps(deployment))
    house.json("games", "create", game, str(named))
    house.json("games", "deploy", game, str(file))


def ended(house: House, name: str) -> dict[str, object]:
    house.run("sessions", "stop", name, "--wait", timeout_s=120)
    return house.json("sessions", "get", name)


def listed(house: House) -> dict[str, dict[str, object]]:
    return {port["name"]: port for port in house.json("ports", "list", "local")["ports"]}


def test_a_port_kept_for_a_game_is_its_sessions_and_outlives_them(house: House) -> None:
    port = free_port()
    name = f"vms/local/ports/tcp-{port}"
    for game in ("arena", "rival"):
        deploy(house, game, port)
    kept = house.json(
        "ports",
        "allocate",
        "local",
        "--protocol",
        "tcp",
        "--port",
        str(port),
        "--purpose",
        "the cup",
        "--game",
        "arena",
    )
    assert (kept["name"], kept["state"]) == (name, "PORT_STATE_RESERVED")

    refused = house.run("sessions", "create", "rival", "--queue-timeout", "0")
    assert refused.returncode == 1
    assert f"tcp port {port} is reserved for the cup" in refused.stderr

    played = house.json("sessions", "create", "arena", "--wait", timeout_s=120)
    assert played["state"] == "SESSION_STATE_RUNNING"
    assert [held["hostPort"] for held in played["ports"]] == [port]
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    held = listed(house)[name]
    assert (held["state"], held["session"], held["purpose"]) == ("PORT_STATE_HELD", played["name"], "the cup")

    ended(house, played["name"])
    assert listed(house)[name]["state"] == "PORT_STATE_RESTING"
    assert house.run("ports", "release", name).returncode == 0
    again = house.run("ports", "release", name)
    assert (again.returncode, "is held by sessions/" in again.stderr) == (1, True)


def test_a_stranger_on_the_port_ends_the_session_with_its_name(house: House) -> None:
    with socket.socket() as stranger:
        stranger.bind(("0.0.0.0", port := free_port()))
        stranger.listen()
        deploy(house, "unlucky", port)
        session = house.json("sessions", "create", "unlucky", "--wait", timeout_s=120)
    assert (session["state"], session["reason"]) == ("SESSION_STATE_CRASHED", "SESSION_REASON_PORT_TAKEN")
    assert f"tcp port {port}" in session["reasonDetail"]
    assert "is taken by" in session["reasonDetail"]
    assert house.run("audit").returncode == 0
