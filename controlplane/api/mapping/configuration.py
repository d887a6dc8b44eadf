"""Parameters, configuration files and actions on the wire. Secrets go in; none comes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value
from quarterdeck.v1 import games_pb2 as pb

from controlplane.api.mapping.values import enum_member, enum_value
from controlplane.domain.choice import Choice
from controlplane.domain.configuration import Rendered
from controlplane.domain.game import Action
from controlplane.domain.parameters import MASK, Parameter, ParameterType
from controlplane.domain.render import ConfigFile, FileFormat, Tree

# Beyond it a double no longer tells whole numbers apart.
_WHOLE_MAX = 2**53


def parameter_message(parameter: Parameter) -> pb.Parameter:
    secret = parameter.type is ParameterType.SECRET and parameter.default is not None
    return pb.Parameter(
        parameter_name=parameter.name,
        type=enum_value(pb.ParameterType, "PARAMETER_TYPE", parameter.type),
        description=parameter.description,
        default_value=MASK if secret else parameter.default,
        choices=parameter.choices,
        minimum=parameter.minimum,
        maximum=parameter.maximum,
        fixed=parameter.fixed,
    )


def parameters_of(wire: Iterable[pb.Parameter]) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(
            name=one.parameter_name,
            type=enum_member(pb.ParameterType, "PARAMETER_TYPE", one.type, ParameterType),
            description=one.description,
            default=one.default_value if one.HasField("default_value") else None,
            choices=tuple(one.choices),
            minimum=one.minimum if one.HasField("minimum") else None,
            maximum=one.maximum if one.HasField("maximum") else None,
            fixed=one.fixed,
        )
        for one in wire
    )


def file_message(file: ConfigFile) -> pb.ConfigFile:
    message = pb.ConfigFile(
        volume=file.volume,
        path=file.path,
        format=enum_value(pb.FileFormat, "FILE_FORMAT", file.format),
        template=file.template,
    )
    if file.content:
        message.content.update(file.content)
    return message


def files_of(wire: pb.Deployment) -> tuple[ConfigFile, ...]:
    return tuple(
        ConfigFile(
            one.volume,
            one.path,
            enum_member(pb.FileFormat, "FILE_FORMAT", one.format, FileFormat),
            tree_of(one.content),
            one.template,
        )
        for one in wire.files
    )


def action_message(action: Action) -> pb.Action:
    return pb.Action(
        action_name=action.name,
        display_name=action.display_name,
        lines=action.lines,
        parameters=map(parameter_message, action.parameters),
    )


def actions_of(wire: pb.Deployment) -> tuple[Action, ...]:
    return tuple(
        Action(one.action_name, tuple(one.lines), one.display_name, parameters_of(one.parameters))
        for one in wire.actions
    )


def choice_of(parameters: Mapping[str, str], patches: Mapping[str, Struct]) -> Choice:
    return Choice.of(parameters, {name: tree_of(struct) for name, struct in patches.items()})


def tree_of(struct: Struct) -> dict[str, Tree]:
    return {key: _branch(value) for key, value in struct.fields.items()}


def _branch(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return tree_of(value.struct_value)
        case "list_value":
            return [_branch(item) for item in value.list_value.values]
        case "number_value":
            # The wire knows doubles only; a whole number is written as one.
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= _WHOLE_MAX else number
        case "bool_value":
            return value.bool_value
        case "string_value":
            return value.string_value
        case _:
            return None


def configuration_message(rendered: Rendered) -> pb.Configuration:
    return pb.Configuration(
        command=rendered.command,
        environment=dict(rendered.environment),
        files=[pb.Configuration.File(path=path, text=text) for path, text in sorted(rendered.files.items())],
        parameters=dict(rendered.values),
    )
