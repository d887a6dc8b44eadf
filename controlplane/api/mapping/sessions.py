"""Sessions on the wire."""

from __future__ import annotations

from quarterdeck.v1 import sessions_pb2 as pb

from controlplane.api.mapping.configuration import choice_of
from controlplane.api.mapping.placement import coordinates_of, passed_over_message
from controlplane.api.mapping.values import (
    duration,
    enum_member,
    enum_value,
    last_part,
    named,
    seconds,
    timestamp,
)
from controlplane.domain.session import Limits, PortLease, Session, SessionState, Stages
from controlplane.domain.usage import Usage
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.sessions import SessionView

PROTOCOLS = {"tcp": pb.PortLease.PROTOCOL_TCP, "udp": pb.PortLease.PROTOCOL_UDP}


def request_of(message: pb.CreateSessionRequest) -> SessionRequest:
    return SessionRequest(
        game_id=last_part(message.game),
        preset_id=message.preset,
        region_id=message.region,
        client_token=message.client_token,
        idle_timeout_s=seconds(message.limits, "idle_timeout"),
        disconnect_timeout_s=seconds(message.limits, "disconnect_timeout"),
        max_duration_s=seconds(message.limits, "max_duration"),
        lost_after_s=seconds(message, "lost_after"),
        queue_timeout_s=seconds(message, "queue_timeout"),
        coordinates=coordinates_of(message),
        territory=message.territory,
        choice=choice_of(message.parameters, message.file_patches),
        save_id=message.save_id,
    )


def states_of(message: pb.ListSessionsRequest) -> tuple[SessionState, ...]:
    return tuple(enum_member(pb.SessionState, "SESSION_STATE", s, SessionState) for s in message.states)


def session_message(view: SessionView) -> pb.Session:
    session = view.session
    return pb.Session(
        name=session.name,
        game=named("games", session.game_id),
        deployment=f"games/{session.game_id}/deployments/{session.deployment_number}",
        preset=session.preset_id,
        region=session.region_id,
        vm=named("vms", session.vm_id),
        state=enum_value(pb.SessionState, "SESSION_STATE", session.state),
        reason=enum_value(pb.SessionReason, "SESSION_REASON", session.reason),
        reason_detail=session.reason_detail,
        exit_code=session.exit_code,
        unreachable=session.unreachable_at is not None,
        generation=session.generation,
        stages=stages_message(session.stages),
        limits=limits_message(session.limits),
        lost_after=duration(session.lost_after_s),
        ports=[port_message(lease) for lease in view.ports],
        create_time=timestamp(session.created_at),
        update_time=timestamp(session.updated_at),
        end_time=timestamp(session.ended_at),
        running_duration=duration(_running_s(view)),
        queue_position=view.queue_position,
        queue_deadline=timestamp(session.queue_deadline_at if session.state is SessionState.PENDING else None),
        streamed=session.streamed,
        connected_players=session.connected_players,
        passed_over=map(passed_over_message, session.passed_over),
        queue_estimate=duration(view.queue_estimate_s),
        save=named("saves", session.save_id),
        last_activity_time=timestamp(session.last_activity_at),
        usage=usage_message(session.usage),
        progress=session.progress,
        gpu_index=session.gpu_index,
    )


def usage_message(usage: Usage | None) -> pb.ResourceUsage | None:
    if usage is None:
        return None
    return pb.ResourceUsage(
        cpu_time=duration(usage.cpu_s),
        memory_bytes=usage.memory_bytes,
        memory_peak_bytes=usage.memory_peak_bytes,
        processes=usage.processes,
        oom_kills=usage.oom_kills,
        disk_bytes=usage.disk_bytes,
    )


def stages_message(stages: Stages) -> pb.SessionStages:
    return pb.SessionStages(
        allocated_time=timestamp(stages.allocated_at),
        image_ready_time=timestamp(stages.image_ready_at),
        game_started_time=timestamp(stages.game_started_at),
        first_frame_time=timestamp(stages.first_frame_at),
    )


def limits_message(limits: Limits) -> pb.SessionLimits:
    return pb.SessionLimits(
        idle_timeout=duration(limits.idle_timeout_s),
        disconnect_timeout=duration(limits.disconnect_timeout_s),
        max_duration=duration(limits.max_duration_s),
    )


def port_message(lease: PortLease) -> pb.PortLease:
    return pb.PortLease(
        port_name=lease.port_name,
        protocol=PROTOCOLS[lease.protocol],
        host_port=lease.host_port,
        game_port=lease.game_port,
    )


def _running_s(view: SessionView) -> float | None:
    session: Session = view.session
    since = session.stages.first_frame_at if session.streamed else session.stages.game_started_at
    if since is None:
        return None
    return max(0.0, ((session.ended_at or view.now) - since).total_seconds())
