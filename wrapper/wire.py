"""Between the wrapper's own values and the generated messages of quarterdeck.v1."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from quarterdeck.v1 import console_pb2, games_pb2, sessions_pb2, wrapper_pb2

from wrapper.console import Batch
from wrapper.session import Reason, Session, State
from wrapper.spec import HttpCheck, IceServer, Limits, Picture, Port, Readiness, Spec, StreamFigures, Video
from wrapper.spool import Line

DEFAULT_STOP_GRACE_S = 10.0
DEFAULT_READINESS_TIMEOUT_S = 60.0

_PICTURES = {
    games_pb2.PICTURE_NONE: Picture.NONE,
    games_pb2.PICTURE_FRAMES: Picture.FRAMES,
    games_pb2.PICTURE_X11: Picture.X11,
}
_PROTOCOLS = {
    sessions_pb2.PortLease.PROTOCOL_TCP: "tcp",
    sessions_pb2.PortLease.PROTOCOL_UDP: "udp",
}


class SpecError(ValueError):
    """The spec cannot be run; the text names the field."""


def parse_spec(serialized: bytes) -> Spec:
    """Raises SpecError when it is malformed or lacks what a session needs."""
    message = wrapper_pb2.SessionSpec()
    try:
        message.ParseFromString(serialized)
    except DecodeError as error:
        raise SpecError("the spec is no SessionSpec") from error
    deployment = message.deployment
    if not deployment.command and not deployment.container.image:
        raise SpecError("deployment.command is empty")
    if deployment.picture not in _PICTURES:
        raise SpecError("deployment.picture is not set")
    picture = _PICTURES[deployment.picture]
    return Spec(
        session_id=message.session_id,
        generation=message.generation,
        command=tuple(deployment.command),
        environment=dict(deployment.environment),
        picture=picture,
        video=_video(message.video, picture),
        ports=tuple(_port(port) for port in message.ports),
        readiness=_readiness(deployment.readiness),
        limits=_limits(message.limits, picture),
        stop_grace_s=_seconds(deployment, "stop_grace", DEFAULT_STOP_GRACE_S),
        ice_servers=tuple(IceServer(tuple(s.urls), s.username, s.credential) for s in message.ice_servers),
        advertised_addresses=tuple(message.advertised_addresses),
        loopback_candidate=message.loopback_candidate,
        lease_s=seconds(message.lease) if message.HasField("lease") else None,
        beside=bool(deployment.container.image),
        files={file.path: file.content for file in message.files},
        volumes={volume.volume_name: volume.path for volume in deployment.container.volumes},
        stop_command=deployment.stop_command,
        stop_command_grace_s=_seconds(deployment, "stop_command_grace", DEFAULT_STOP_GRACE_S),
        silent=deployment.silent,
    )


def seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _seconds(message: Message, field: str, default: float) -> float:
    return seconds(getattr(message, field)) if message.HasField(field) else default


def _port(port: sessions_pb2.PortLease) -> Port:
    if port.protocol not in _PROTOCOLS:
        raise SpecError(f"the protocol of port {port.port_name!r} is not set")
    return Port(port.port_name, _PROTOCOLS[port.protocol], port.host_port, port.game_port)


def _video(video: wrapper_pb2.VideoSpec, picture: Picture) -> Video:
    if picture is not Picture.NONE:
        if not (16 <= video.width <= 7680 and 16 <= video.height <= 4320) or video.width % 2 or video.height % 2:
            raise SpecError(f"video: {video.width}x{video.height} is no even size between 16x16 and 7680x4320")
        if not 1 <= video.fps <= 240:
            raise SpecError("video.fps is not between 1 and 240")
        if video.bitrate_kbps <= 0:
            raise SpecError("video.bitrate_kbps is not set")
    return Video(
        width=video.width,
        height=video.height,
        fps=video.fps,
        bitrate_kbps=video.bitrate_kbps,
        min_bitrate_kbps=video.min_bitrate_kbps or video.bitrate_kbps // 4,
        max_bitrate_kbps=max(video.bitrate_kbps, video.max_bitrate_kbps),
        encoder_preset=video.encoder_preset or "p4",
    )


def _readiness(readiness: games_pb2.Readiness) -> Readiness:
    check = readiness.WhichOneof("check")
    return Readiness(
        log_pattern=readiness.log_pattern if check == "log_pattern" else None,
        tcp_port=readiness.tcp_port if check == "tcp_port" else None,
        http=HttpCheck(readiness.http.port_name, readiness.http.path or "/", readiness.http.expected_status)
        if check == "http"
        else None,
        stays_up_s=seconds(readiness.stays_up) if check == "stays_up" else None,
        timeout_s=_seconds(readiness, "timeout", DEFAULT_READINESS_TIMEOUT_S),
    )


def _limits(limits: sessions_pb2.SessionLimits, picture: Picture) -> Limits:
    """Unset and zero mean never here: the control plane has put its defaults in.

    Nobody connects to a game without a picture through the wrapper, which therefore cannot call it deserted.
    """
    streamed = picture is not Picture.NONE
    return Limits(
        idle_s=seconds(limits.idle_timeout) or None,
        disconnect_s=(seconds(limits.disconnect_timeout) or None) if streamed else None,
        max_duration_s=seconds(limits.max_duration) or None,
    )


def _duration(value_s: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(value_s * 1e9))
    return duration


def reason_of(value: int) -> Reason:
    """STOP_REQUESTED where none is given, or one that this wrapper does not know yet."""
    known = sessions_pb2.SessionReason.DESCRIPTOR.values_by_number.get(value)
    word = known.name.removeprefix("SESSION_REASON_").lower() if known is not None else ""
    return Reason(word) if word in {reason.value for reason in Reason} else Reason.STOP_REQUESTED


def status_message(
    spec: Spec,
    session: Session,
    age_s: float,
    active_s: float | None,
    figures: StreamFigures | None,
    game_pid: int,
    wrapper_pid: int,
) -> wrapper_pb2.WorkloadStatus:
    reason = session.reason.name if session.reason is not None else "UNSPECIFIED"
    message = wrapper_pb2.WorkloadStatus(
        session_id=spec.session_id,
        generation=spec.generation,
        state=f"WORKLOAD_STATE_{session.state.name}",
        reason=f"SESSION_REASON_{reason}",
        reason_detail=session.detail,
        exit_code=session.exit_code,
        age=_duration(session.ended_s if session.ended_s is not None else age_s),
        # The wrapper is part of what runs: when it starts, the image is there.
        image_ready_after=_duration(0),
        game_pid=game_pid if session.state is not State.EXITED else 0,
        wrapper_pid=wrapper_pid,
        stream=_figures(figures) if figures is not None else None,
    )
    if session.game_started_s is not None:
        message.game_started_after.CopyFrom(_duration(session.game_started_s))
    if session.playable_s is not None:
        message.first_frame_after.CopyFrom(_duration(session.playable_s))
    if active_s is not None:
        message.last_activity_after.CopyFrom(_duration(active_s))
    return message


def _figures(figures: StreamFigures) -> wrapper_pb2.StreamFigures:
    return wrapper_pb2.StreamFigures(
        encoder_name=figures.encoder_name,
        players=figures.players,
        viewers=figures.viewers,
        encoded_fps=figures.encoded_fps,
        bitrate_kbps=figures.bitrate_kbps,
        round_trip_ms=figures.round_trip_ms,
        encode_ms=figures.encode_ms,
        idle=_duration(figures.idle_s),
        sound_kbps=figures.sound_kbps,
    )


def console_message(batch: Batch) -> console_pb2.ConsoleOutput:
    return console_pb2.ConsoleOutput(
        lines=[_console_line(line) for line in batch.lines],
        missed=batch.missed,
    )


def _console_line(line: Line) -> console_pb2.ConsoleLine:
    at = Timestamp()
    at.FromMilliseconds(line.at_ms)
    return console_pb2.ConsoleLine(
        sequence=line.sequence, text=line.text, time=at, stream=f"LOG_STREAM_{line.stream.name}"
    )
