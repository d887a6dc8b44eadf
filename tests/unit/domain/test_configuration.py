"""Deployments are checked before they are accepted, and what is accepted renders."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.domain.choice import Choice
from controlplane.domain.configuration import action_lines, declare, made_up_ports, render
from controlplane.domain.container import Container, ContainerVolume
from controlplane.domain.errors import InvalidRequest, NotFound
from controlplane.domain.game import Action, Deployment, Picture, PortSpec, Volume
from controlplane.domain.parameters import MASK, Parameter, ParameterType
from controlplane.domain.render import ConfigFile, FileFormat

SECRET = "correct horse"
DATA = ContainerVolume("data", "/data")
PARAMETERS = (
    Parameter("slots", ParameterType.INTEGER, default="8", minimum=1, maximum=64),
    Parameter("password", ParameterType.SECRET),
    Parameter("listen", ParameterType.PORT, default="game"),
)
DEPLOYMENT = Deployment(
    "arena",
    "default",
    0,
    ("/usr/games/arena", "--port", "{{port.game}}", "--slots={{slots}}"),
    Picture.NONE,
    datetime(2026, 1, 1, tzinfo=UTC),
    environment={"RCON": "{{password}}"},
    ports=(PortSpec("game", "udp", 2302), PortSpec("query", "tcp")),
    parameters=PARAMETERS,
    volumes=(Volume("config", "data/config"),),
    files=(
        ConfigFile("config", "server.json", FileFormat.JSON, {"slots": "{{slots}}", "port": "{{listen}}"}),
        ConfigFile("config", "motd.txt", FileFormat.TEMPLATE, template="Welcome to {{session.id}}\n"),
    ),
    actions=(
        Action("kick", ("say bye {{who}}", "kick {{who}}"), parameters=(Parameter("who", ParameterType.STRING),)),
    ),
    stop_command="quit {{password}}",
)


def test_a_session_gets_command_environment_and_files() -> None:
    deployment = declare(DEPLOYMENT, ())
    chosen = Choice.of({"slots": "16", "password": SECRET}, {"config/server.json": {"port": None, "pvp": True}})
    rendered = render(deployment, chosen, {"game": 2302, "query": 28010}, "s-1")
    assert rendered.command == ("/usr/games/arena", "--port", "2302", "--slots=16")
    assert rendered.environment == {"RCON": SECRET}
    assert rendered.files == {
        "data/config/server.json": '{\n  "pvp": true,\n  "slots": 16\n}\n',
        "data/config/motd.txt": "Welcome to s-1\n",
    }
    assert rendered.stop_command == f"quit {SECRET}"


def test_a_container_gets_files_in_its_volumes_and_its_home() -> None:
    in_volume = ConfigFile("data", "arena/server.json", FileFormat.JSON, {"slots": "{{slots}}"})
    container = Container("arena:1", volumes=(DATA,))
    deployment = declare(replace(DEPLOYMENT, container=container, files=(*DEPLOYMENT.files, in_volume)), ())
    rendered = render(deployment, Choice.of({"password": SECRET}), {"game": 2302, "query": 1}, "s-1")
    assert rendered.files["/data/arena/server.json"] == '{\n  "slots": 8\n}\n'
    assert rendered.files["data/config/motd.txt"] == "Welcome to s-1\n"


def test_eyes_see_no_secret() -> None:
    deployment = declare(DEPLOYMENT, ())
    chosen = Choice.of({"password": SECRET})
    shown = render(deployment, chosen, made_up_ports(deployment), "s-1", for_eyes=True)
    assert SECRET not in repr(shown)
    assert shown.environment == {"RCON": MASK}
    assert shown.values["password"] == MASK


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"command": ("arena", "{{password}}")}, "PARAMETER_UNDECLARED"),
        ({"environment": {"A": "{{nobody}}"}}, "PARAMETER_UNDECLARED"),
        ({"stop_command": "{{nobody}}"}, "PARAMETER_UNDECLARED"),
        ({"actions": (Action("a", ("{{who}}",)),)}, "PARAMETER_UNDECLARED"),
        ({"actions": (Action("a", ("x",)), Action("a", ("y",)))}, "ACTION_DECLARED_TWICE"),
        ({"volumes": ()}, "VOLUME_UNKNOWN"),
        ({"volumes": (Volume("config", "a"), Volume("b", "a/b"))}, "VOLUMES_OVERLAP"),
        ({"volumes": (Volume("config", "../up"),)}, "PATH_INVALID"),
        ({"files": (ConfigFile("config", "../x", FileFormat.JSON, {"a": 1}),)}, "PATH_INVALID"),
        ({"files": (ConfigFile("config", "x", FileFormat.JSON),)}, "FILE_CONTENT"),
        ({"files": DEPLOYMENT.files[:1] * 2}, "FILE_DECLARED_TWICE"),
        ({"ports": ()}, "PARAMETER_INVALID"),
        ({"container": Container("arena:1", volumes=(ContainerVolume("config", "/data"),))}, "VOLUMES_OVERLAP"),
        ({"container": Container("arena:1", volumes=(DATA, ContainerVolume("b", "/data/b")))}, "VOLUMES_OVERLAP"),
    ],
)
def test_a_deployment_that_cannot_be_rendered_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        declare(replace(DEPLOYMENT, **change), ())
    assert refused.value.reason == reason


def test_actions_type_their_own_parameters() -> None:
    deployment = declare(DEPLOYMENT, ())
    ports = made_up_ports(deployment)
    lines = action_lines(deployment, "kick", {"who": "eve"}, {"password": SECRET}, ports, "s-1")
    assert lines == ("say bye eve", "kick eve")
    with pytest.raises(NotFound, match="kick"):
        action_lines(deployment, "ban", {}, {"password": SECRET}, ports, "s-1")
    with pytest.raises(InvalidRequest):
        action_lines(deployment, "kick", {"who": "eve\nop eve"}, {"password": SECRET}, ports, "s-1")
