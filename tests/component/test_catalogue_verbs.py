"""The catalogue on the command line against a whole house: a game written down in files is deployed, previewed, played
and typed to; templates, presets and regions are listed, added, changed and forgotten."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.house import House

pytestmark = pytest.mark.timeout(240)

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "games.md"
GAME = """\
import os, sys
print("difficulty", os.environ["DIFFICULTY"], flush=True)
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
"""
DEPLOYMENT = {
    "command": [sys.executable, "-u", "-c", GAME],
    "environment": {"DIFFICULTY": "{{difficulty}}"},
    "picture": "PICTURE_NONE",
    "readiness": {"logPattern": "difficulty"},
    "parameters": [
        {"parameterName": "difficulty", "type": "PARAMETER_TYPE_CHOICE", "choices": ["easy", "hard"]},
        {"parameterName": "secret", "type": "PARAMETER_TYPE_SECRET", "defaultValue": "s3cret"},
    ],
    "actions": [
        {
            "actionName": "weather",
            "lines": ["weather {{kind}}"],
            "parameters": [{"parameterName": "kind", "type": "PARAMETER_TYPE_STRING"}],
        }
    ],
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("catalogue")) as house:
        yield house


def written(house: House, name: str, text: str) -> str:
    path: Path = house.outside / name
    path.write_text(text)
    return str(path)


def complaint(house: House, *verb: str) -> str:
    ran = house.run(*verb)
    assert ran.returncode == 1, ran.stdout
    assert ran.stderr.startswith("Error: ")
    return ran.stderr


@contextmanager
def console(house: House, session: str) -> Iterator[Iterator[str]]:
    """The lines that `sessions console` prints, as they come."""
    verb = [sys.executable, "-m", "controlplane", "sessions", "console", session]
    with subprocess.Popen(verb, env=house.environment, cwd=house.outside, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield (line.strip() for line in process.stdout)
        finally:
            process.terminate()


def test_a_game_from_files_is_deployed_previewed_played_and_typed_to(house: House) -> None:
    game = written(house, "game.yaml", "displayName: Island\nsummary: A small one.\n")
    assert house.json("games", "create", "island", game)["displayName"] == "Island"
    assert "has no deployment yet" in complaint(house, "games", "preview", "island")
    deployed = house.json("games", "deploy", "island", written(house, "deployment.json", json.dumps(DEPLOYMENT)))
    assert deployed["name"] == "games/island/deployments/1"
    house.json("games", "update", "island", written(house, "change.yaml", "summary: A larger one.\n"))
    shown = house.json("games", "get", "island")
    assert (shown["displayName"], shown["summary"]) == ("Island", "A larger one.")
    assert "difficulty" in complaint(house, "games", "preview", "island")
    preview = house.json("games", "preview", "island", "--parameter", "difficulty=hard")
    assert preview["environment"]["DIFFICULTY"] == "hard"
    assert "s3cret" not in json.dumps([preview, house.json("games", "deployment", "island")])
    assert "games/island" in house.run("games", "list").stdout

    assert "easy" in complaint(house, "sessions", "create", "island", "-p", "difficulty=absurd")
    session = house.json("sessions", "create", "island", "-p", "difficulty=hard", "--wait")["name"]
    assert house.run("sessions", "act", session, "weather", "-p", "kind=squall").returncode == 0
    assert "NAME=VALUE" in complaint(house, "sessions", "act", session, "weather", "-p", "squall")
    assert "storm" in complaint(house, "sessions", "act", session, "storm")
    assert house.run("sessions", "send", session, "ahoy").returncode == 0
    with console(house, session) as lines:
        assert [next(lines) for _ in range(3)] == ["difficulty hard", "heard weather squall", "heard ahoy"]
        assert house.json("sessions", "stop", session, "--wait")["state"] == "SESSION_STATE_STOPPED"
        assert "asked to stop: stop_requested" in list(lines)  # and then it ends


def test_the_examples_of_the_document_are_what_it_says(house: House) -> None:
    """The one for any host plays, and its save is in the next session; the one in an image is one that would do."""
    server, image = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    house.json("games", "create", "harbour", written(house, "harbour-game.yaml", "displayName: Harbour\n"))
    house.json("games", "deploy", "harbour", written(house, "harbour.yaml", server))
    wish = ("sessions", "create", "harbour", "--parameter", "greeting=Ahoy", "--save", "alices-harbour", "--wait")
    session = house.json(*wish)
    (port,) = (lease["hostPort"] for lease in session["ports"] if lease["portName"] == "web")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=20) as page:
        assert page.read() == b"<h1>Ahoy</h1>"
    assert house.json("sessions", "stop", session["name"], "--wait")["state"] == "SESSION_STATE_STOPPED"
    deployed = house.json("games", "deploy", "harbour", written(house, "image.yaml", image))
    assert deployed["name"] == "games/harbour/deployments/2"


def test_a_file_that_is_no_resource_is_told_with_its_name_and_fault(house: House) -> None:
    for text, said in (
        ("displayname: x\n", "displayname"),
        ("- a\n", "fields of a Game"),
        ("{", "neither YAML nor JSON"),
    ):
        assert said in complaint(house, "games", "create", "broken", written(house, "broken.yaml", text))
    assert "cannot read" in complaint(house, "games", "create", "broken", "nowhere.yaml")
    assert "GAME_NOT_FOUND" in complaint(house, "games", "get", "broken")


@pytest.mark.parametrize(
    ("kind", "listed", "made", "changed", "shown"),
    [
        ("templates", "L4-90", {"seats": 3, "vcpus": 8, "gpuModel": "L4"}, {"seats": 4}, ("seats", 4)),
        (
            "presets",
            "default-high",
            {
                "width": 1280,
                "height": 720,
                "fps": 60,
                "bitrateKbps": 6000,
                "minBitrateKbps": 4000,
                "maxBitrateKbps": 8000,
                "encoderPreset": "p3",
            },
            {"fps": 30},
            ("fps", 30),
        ),
        (
            "regions",
            "eu-west-1",
            {"displayName": "Harbour"},
            {"fallbackChain": ["eu-west-1"]},
            ("fallbackChain", ["eu-west-1"]),
        ),
    ],
)
def test_what_there_is_can_be_listed_added_changed_and_forgotten(
    house: House, kind: str, listed: str, made: dict[str, object], changed: dict[str, object], shown: tuple[str, object]
) -> None:
    assert listed in house.run(kind, "list").stdout
    house.json(kind, "create", "ours", written(house, "made.json", json.dumps(made)))
    house.json(kind, "update", f"{kind}/ours", written(house, "changed.json", json.dumps(changed)))
    after = house.json(kind, "get", "ours")
    assert after[shown[0]] == shown[1]
    assert {name: after[name] for name in made if name not in changed} == {
        name: value for name, value in made.items() if name not in changed
    }
    assert house.run(kind, "delete", "ours").returncode == 0
    assert "NOT_FOUND" in complaint(house, kind, "get", "ours")


def test_regions_tell_how_much_room_they_have(house: House) -> None:
    lines = house.run("regions", "capacity").stdout.splitlines()
    assert lines[0].startswith("REGION")
    assert any(line.startswith("local ") for line in lines)
