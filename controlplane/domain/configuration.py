"""What a session's game is given: its deployment's command, environment and files, rendered with the session's values.

Whatever CreateSession accepts renders: it is rendered once, with ports made up, before it is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import permutations

from controlplane.domain.choice import Choice
from controlplane.domain.errors import InvalidRequest, NotFound
from controlplane.domain.game import Deployment
from controlplane.domain.parameters import (
    Parameter,
    ParameterType,
    Value,
    check_declarations,
    declared,
    masked,
    resolved,
    word,
)
from controlplane.domain.render import ConfigFile, FileFormat, below, check_path, merge_patch, render_file, render_text

MAX_FILES_BYTES = 512 << 10


@dataclass(frozen=True)
class Rendered:
    """`files` by path below the game's home, or by absolute path in a volume of its container."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, str]
    stop_command: str
    values: Mapping[str, str]


def values_of(
    deployment: Deployment, chosen: Mapping[str, str], ports: Mapping[str, int], session_id: str
) -> dict[str, Value]:
    """Everything that a reference may name. `ports`: the numbers that the game listens on, by port name.

    Raises InvalidRequest."""
    values = resolved(deployment.parameters, chosen, ports)
    return values | {f"port.{name}": number for name, number in ports.items()} | {"session.id": session_id}


def render(
    deployment: Deployment, choice: Choice, ports: Mapping[str, int], session_id: str, *, for_eyes: bool = False
) -> Rendered:
    """`for_eyes`: with secrets masked. Raises InvalidRequest naming the file, and the line or key."""
    values = values_of(deployment, choice.values(), ports, session_id)
    if for_eyes:
        values = masked(deployment.parameters, values)
    secrets = _secrets(deployment.parameters)
    # The command shows in the machine's list of processes.
    public = {name: value for name, value in values.items() if name not in secrets}
    homes = dict(_volumes(deployment))
    files = {f"{homes[file.volume]}/{file.path}": render_file(file, values) for file in patched(deployment, choice)}
    if sum(len(text.encode("utf-8", "surrogatepass")) for text in files.values()) > MAX_FILES_BYTES:
        raise InvalidRequest("FILES_TOO_LARGE", f"all files together: at most {MAX_FILES_BYTES} bytes", field="files")
    return Rendered(
        command=tuple(render_text(text, public, f"command[{i}]") for i, text in enumerate(deployment.command)),
        environment={
            name: render_text(text, values, f"environment.{name}") for name, text in deployment.environment.items()
        },
        files=files,
        stop_command=render_text(deployment.stop_command, values, "stop_command"),
        values={name: word(value) for name, value in values.items()},
    )


def patched(deployment: Deployment, choice: Choice) -> tuple[ConfigFile, ...]:
    """Raises InvalidRequest when a patch is for no file that can be patched."""
    by_name = {file.name: file for file in deployment.files}
    patches = choice.patches()
    for name in sorted(patches):
        if name not in by_name or by_name[name].format is FileFormat.TEMPLATE:
            raise InvalidRequest(
                "FILE_PATCH_UNKNOWN",
                f"there is no file '{name[:200]}' with a content to patch",
                field="file_patches",
            )
    return tuple(
        replace(file, content=merge_patch(file.content, patches[file.name])) if file.name in patches else file
        for file in deployment.files
    )


def accepted(deployment: Deployment, choice: Choice) -> None:
    """Raises InvalidRequest unless a session with this choice can be rendered, whatever ports it will get."""
    render(deployment, choice, made_up_ports(deployment), "s-0")


def made_up_ports(deployment: Deployment) -> dict[str, int]:
    """Numbers for a session that has no leases yet: those that are known, or 0 for those the host will choose."""
    return {port.name: port.game_port or port.host_port for port in deployment.ports}


def declare(deployment: Deployment, of_game: tuple[Parameter, ...]) -> Deployment:
    """The deployment with the game's parameters taken over, and all of it rendered once with defaults.

    Raises InvalidRequest naming the field, or the file and its line."""
    parameters = declared(of_game, deployment.parameters)
    check_declarations(parameters, [port.name for port in deployment.ports], "deployment.parameters")
    deployment = replace(deployment, parameters=parameters)
    _check_volumes(deployment)
    _check_files(deployment)
    stand_ins = {p.name: _stand_in(p, deployment) for p in parameters if p.default is None}
    accepted(deployment, Choice.of(stand_ins))
    _check_actions(deployment, stand_ins)
    return deployment


def _stand_in(parameter: Parameter, deployment: Deployment) -> str:
    """Some valid value of a parameter that has no default, to render with."""
    match parameter.type:
        case ParameterType.BOOL:
            return "true"
        case ParameterType.CHOICE:
            return parameter.choices[0]
        case ParameterType.INTEGER | ParameterType.NUMBER:
            number = parameter.minimum if parameter.minimum is not None else min(0.0, parameter.maximum or 0.0)
            return word(int(number)) if number.is_integer() else word(number)
        case ParameterType.PORT:
            if not deployment.ports:
                raise InvalidRequest(
                    "PARAMETER_INVALID",
                    f"parameter '{parameter.name}' names a port, and there is none",
                    field=f"deployment.parameters.{parameter.name}",
                )
            return deployment.ports[0].name
        case _:
            return "x"


def _volumes(deployment: Deployment) -> list[tuple[str, str]]:
    """Name and place of each volume: below the game's home, or at an absolute path of its container."""
    contained = deployment.container.volumes if deployment.container is not None else ()
    return [(volume.name, volume.path) for volume in contained] + [(v.name, v.path) for v in deployment.volumes]


def _check_volumes(deployment: Deployment) -> None:
    for volume in deployment.volumes:
        check_path(volume.path, f"deployment.volumes.{volume.name}")
    for (name, path), (other, place) in permutations(_volumes(deployment), 2):
        if name == other or below(path, place):
            raise InvalidRequest(
                "VOLUMES_OVERLAP",
                f"volumes '{name}' and '{other}' have one name or lie in each other",
                field="deployment.volumes",
            )


def _check_files(deployment: Deployment) -> None:
    volumes = dict(_volumes(deployment))
    names = [file.name for file in deployment.files]
    for file in deployment.files:
        where = f"deployment.files.{file.name}"
        check_path(file.path, where)
        if file.volume not in volumes:
            raise InvalidRequest("VOLUME_UNKNOWN", f"there is no volume '{file.volume}'", field=where)
        if sum(1 for name in names if below(file.name, name)) > 1:
            raise InvalidRequest("FILE_DECLARED_TWICE", f"'{file.name}' is declared twice, or a directory", field=where)
        if (file.format is FileFormat.TEMPLATE) == bool(file.content) or (
            file.template and file.format is not FileFormat.TEMPLATE
        ):
            raise InvalidRequest("FILE_CONTENT", "a TEMPLATE has a template, every other format a content", field=where)


def _check_actions(deployment: Deployment, stand_ins: Mapping[str, str]) -> None:
    names = [action.name for action in deployment.actions]
    for action in deployment.actions:
        where = f"deployment.actions.{action.name}"
        if names.count(action.name) > 1:
            raise InvalidRequest("ACTION_DECLARED_TWICE", f"'{action.name}' is declared twice", field=where)
        check_declarations(action.parameters, [port.name for port in deployment.ports], where)
        own = {p.name: _stand_in(p, deployment) for p in action.parameters if p.default is None}
        action_lines(deployment, action.name, own, stand_ins, made_up_ports(deployment), "s-0")


def action_lines(
    deployment: Deployment,
    name: str,
    given: Mapping[str, str],
    chosen: Mapping[str, str],
    ports: Mapping[str, int],
    session_id: str,
) -> tuple[str, ...]:
    """What an action types into the console; its own parameters win. Raises NotFound, InvalidRequest."""
    action = next((action for action in deployment.actions if action.name == name), None)
    if action is None:
        known = ", ".join(sorted(action.name for action in deployment.actions)) or "none"
        raise NotFound("ACTION_NOT_FOUND", f"there is no action '{name}'; known: {known}", field="action")
    values = values_of(deployment, chosen, ports, session_id) | resolved(action.parameters, given, ports)
    lines = tuple(render_text(line, values, f"actions.{name}.lines[{i}]") for i, line in enumerate(action.lines))
    if any(not line.isprintable() for line in lines):
        raise InvalidRequest("ACTION_LINES", "each line is one line of printable characters", field=f"actions.{name}")
    return lines


def _secrets(parameters: tuple[Parameter, ...]) -> frozenset[str]:
    return frozenset(p.name for p in parameters if p.type is ParameterType.SECRET)
