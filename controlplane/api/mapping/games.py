"""The catalogue on the wire, both ways."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from quarterdeck.v1 import games_pb2 as pb

from controlplane.api.mapping.configuration import (
    action_message,
    actions_of,
    file_message,
    files_of,
    parameter_message,
    parameters_of,
)
from controlplane.api.mapping.containers import container_message, container_of
from controlplane.api.mapping.saves import saves_message, saves_of
from controlplane.api.mapping.shapes import law_message, law_of
from controlplane.api.mapping.values import duration, enum_member, enum_value, last_part, seconds, timestamp
from controlplane.domain.game import Deployment, Game, HttpCheck, Picture, PortSpec, Readiness, Volume
from controlplane.domain.parameters import MASK, ParameterType
from controlplane.domain.region import Law

DEFAULT_STOP_GRACE_S = 10.0
DEFAULT_READINESS_TIMEOUT_S = 60.0


def game_message(game: Game) -> pb.Game:
    current = f"{game.name}/deployments/{game.current_deployment}" if game.current_deployment else ""
    return pb.Game(
        name=game.name,
        display_name=game.display_name,
        summary=game.summary,
        default_preset=game.default_preset_id,
        current_deployment=current,
        create_time=timestamp(game.created_at),
        law=law_message(game.law) if game.law != Law() else None,
        log_retention=duration(game.log_retention_s or None),
        parameters=map(parameter_message, game.parameters),
    )


def touches(request: pb.UpdateGameRequest, field: str) -> bool:
    """Whether an update names this field, or without a mask sets it."""
    named = {path.partition(".")[0] for path in request.update_mask.paths}
    return field in named if named else any(told.name == field for told, _ in request.game.ListFields())


def game_over(before: Game, wire: pb.Game, parameters: pb.Game | None) -> Game:
    """What the wire says of it. Without `parameters` it keeps its own; a secret's mask stands for what it was."""
    kept = {one.name: one for one in before.parameters if one.type is ParameterType.SECRET}
    given = before.parameters if parameters is None else parameters_of(parameters.parameters)
    return replace(
        before,
        display_name=wire.display_name or before.id,
        summary=wire.summary,
        default_preset_id=wire.default_preset,
        law=law_of(wire.law),
        log_retention_s=seconds(wire, "log_retention") or 0.0,
        parameters=tuple(
            replace(one, default=kept[one.name].default) if one.default == MASK and one.name in kept else one
            for one in given
        ),
    )


def deployment_message(deployment: Deployment) -> pb.Deployment:
    return pb.Deployment(
        name=deployment.name,
        command=deployment.command,
        environment=dict(deployment.environment),
        picture=enum_value(pb.Picture, "PICTURE", deployment.picture),
        ports=[
            pb.PortSpec(port_name=port.name, protocol=port.protocol, game_port=port.game_port, host_port=port.host_port)
            for port in deployment.ports
        ],
        readiness=_readiness_message(deployment.readiness),
        stop_grace=duration(deployment.stop_grace_s),
        replaceable=deployment.replaceable,
        create_time=timestamp(deployment.created_at),
        container=container_message(deployment.container),
        parameters=map(parameter_message, deployment.parameters),
        volumes=[pb.Volume(volume_name=volume.name, path=volume.path) for volume in deployment.volumes],
        files=map(file_message, deployment.files),
        actions=map(action_message, deployment.actions),
        stop_command=deployment.stop_command,
        stop_command_grace=duration(deployment.stop_command_grace_s) if deployment.stop_command else None,
        saves=saves_message(deployment.saves),
        silent=deployment.silent,
        disk_bytes=deployment.disk_bytes,
    )


def deployment_of(message: pb.CreateDeploymentRequest, project_id: str, unborn: datetime) -> Deployment:
    """The use case gives it number and time; until then it has 0 and `unborn`."""
    wire = message.deployment
    stop_grace_s, stop_command_grace_s = seconds(wire, "stop_grace"), seconds(wire, "stop_command_grace")
    return Deployment(
        game_id=last_part(message.parent),
        project_id=project_id,
        number=0,
        command=tuple(wire.command),
        picture=enum_member(pb.Picture, "PICTURE", wire.picture, Picture),
        created_at=unborn,
        environment=dict(wire.environment),
        ports=tuple(PortSpec(port.port_name, port.protocol, port.game_port, port.host_port) for port in wire.ports),
        readiness=_readiness_of(wire.readiness) if wire.HasField("readiness") else None,
        stop_grace_s=DEFAULT_STOP_GRACE_S if stop_grace_s is None else stop_grace_s,
        replaceable=wire.replaceable,
        container=container_of(wire.container) if wire.HasField("container") else None,
        parameters=parameters_of(wire.parameters),
        volumes=tuple(Volume(volume.volume_name, volume.path) for volume in wire.volumes),
        files=files_of(wire),
        actions=actions_of(wire),
        stop_command=wire.stop_command,
        stop_command_grace_s=DEFAULT_STOP_GRACE_S if stop_command_grace_s is None else stop_command_grace_s,
        saves=saves_of(wire.saves) if wire.HasField("saves") else None,
        silent=wire.silent,
        disk_bytes=wire.disk_bytes,
    )


def deployment_key(name: str) -> tuple[str, int]:
    """(game id, number) of games/{game}/deployments/{number}."""
    _, game_id, _, number = name.split("/")
    return game_id, int(number)


def _readiness_message(readiness: Readiness | None) -> pb.Readiness | None:
    if readiness is None:
        return None
    return pb.Readiness(
        log_pattern=readiness.log_pattern or None,
        tcp_port=readiness.tcp_port or None,
        stays_up=duration(readiness.stays_up_s),
        http=_http_message(readiness.http) if readiness.http is not None else None,
        timeout=duration(readiness.timeout_s),
    )


def _readiness_of(wire: pb.Readiness) -> Readiness:
    timeout_s = seconds(wire, "timeout")
    return Readiness(
        log_pattern=wire.log_pattern,
        tcp_port=wire.tcp_port,
        stays_up_s=seconds(wire, "stays_up"),
        http=_http_of(wire.http) if wire.HasField("http") else None,
        timeout_s=DEFAULT_READINESS_TIMEOUT_S if timeout_s is None else timeout_s,
    )


def _http_message(check: HttpCheck) -> pb.HttpCheck:
    return pb.HttpCheck(port_name=check.port_name, path=check.path, expected_status=check.status)


def _http_of(wire: pb.HttpCheck) -> HttpCheck:
    return HttpCheck(wire.port_name, wire.path or "/", wire.expected_status)
