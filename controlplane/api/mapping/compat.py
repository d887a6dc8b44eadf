"""The seeds' objects: their field names and values, plain strings and numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from quarterdeck.compat.v1 import orchestrator_pb2 as orchestrator
from quarterdeck.compat.v1 import sessions_pb2 as sessions
from quarterdeck.compat.v1 import streaming_pb2 as streaming

from controlplane.domain.placement import PassedOver
from controlplane.domain.session import Session, SessionState
from controlplane.domain.template import UNITS_PER_SEAT
from controlplane.domain.vm import PLACEABLE, Vm, VmState
from controlplane.interfaces import RegionFigure
from controlplane.usecases.assignment import VmFound
from controlplane.usecases.capacity import Capacity

FAULT = re.compile(r"(?P<code>[A-Za-z][A-Za-z0-9_.-]{0,63})(?:[:;] (?P<message>.*))?", re.DOTALL)
RESOLUTIONS = {720: "720p", 1080: "1080p", 1440: "1440p", 2160: "4K"}


def moment(at: datetime | None) -> str:
    """RFC 3339 in UTC, to the millisecond; "" for none."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else ""


def fault(code: str, message: str) -> str:
    """The seeds' pair as the one reason that a VM keeps; `vm_dto` takes it apart again."""
    return f"{code}: {message}" if message else code


def vm_dto(vm: Vm) -> orchestrator.VmDto:
    found = FAULT.fullmatch(vm.reason_detail) if vm.state is VmState.ERROR else None
    broken = vm.state is VmState.ERROR
    return orchestrator.VmDto(
        vm_id=vm.id,
        template_id=vm.template_id,
        region=vm.region_id,
        status=str(vm.state),
        provider=vm.provider,
        active_sessions=vm.active_sessions,
        max_concurrent_sessions=vm.capacity_units // UNITS_PER_SEAT,
        error_code=found["code"] if found else "VM_ERROR" if broken else "",
        error_message=(found["message"] or "") if found else vm.reason_detail if broken else "",
        reason=vm.reason_detail,
        ip_address=vm.advertised_address,
        created_at=moment(vm.created_at),
        updated_at=moment(vm.updated_at),
    )


def vm_session(session: Session) -> orchestrator.VmSession:
    return orchestrator.VmSession(
        session_id=session.id,
        vm_id=session.vm_id,
        game_id=session.game_id,
        region=session.region_id,
        status=str(session.state),
        assigned_at=moment(session.stages.allocated_at),
    )


def vm_capacity(vm: Vm, accepts: bool) -> orchestrator.VmCapacity:
    """Seats: what is left over of one is not available, so that total = used + available."""
    total, available = vm.capacity_units // UNITS_PER_SEAT, vm.free_units // UNITS_PER_SEAT
    return orchestrator.VmCapacity(
        vm_id=vm.id,
        total_capacity=total,
        used_capacity=total - available,
        available_capacity=available,
        active_sessions=vm.active_sessions,
        accepts_sessions=accepts,
    )


def stream_status(session: Session) -> streaming.StreamStatus:
    return streaming.StreamStatus(
        session_id=session.id,
        status=_connection(session),
        connected=session.connected_players > 0,
        connections=session.connected_players,
        session_status=str(session.state),
    )


def _connection(session: Session) -> str:
    if session.finished or not session.streamed:
        return "closed"
    if session.unreachable_at is not None:
        return "disconnected"
    if session.state in (SessionState.PENDING, SessionState.STARTING):
        return "starting"
    return "connected" if session.connected_players else "waiting"


def started_session(session: Session, vm: Vm, url: streaming.StreamUrl | None) -> sessions.StartedSession:
    return sessions.StartedSession(
        session_id=session.id,
        game_id=session.game_id,
        vm_id=session.vm_id,
        region=session.region_id,
        status=str(session.state),
        webrtc=url,
        streaming_preset=_preset(session, vm),
        created_at=moment(session.created_at),
        passed_over=map(_passed_over, session.passed_over),
    )


def _preset(session: Session, vm: Vm) -> sessions.StreamingPreset | None:
    video = session.video
    if video is None:
        return None
    return sessions.StreamingPreset(
        preset_id=session.preset_id,
        target_resolution=RESOLUTIONS.get(video.height, f"{video.height}p"),
        target_fps=video.fps,
        bitrate_range=sessions.BitrateRange(min=video.min_bitrate_kbps, max=video.max_bitrate_kbps),
        encoder_preset=video.encoder_preset,
        max_concurrent_sessions_per_vm=vm.capacity_units // max(1, session.units),
    )


def region_capacity(room: Capacity) -> orchestrator.RegionCapacity:
    return orchestrator.RegionCapacity(
        region=room.region_id,
        available_vms=room.available,
        provisioning_vms=room.provisioning,
        draining_vms=room.draining,
        available_slots=room.free_slots,
        queue_length=room.waiting,
        queue_time=-1.0 if room.expected_wait_s is None else room.expected_wait_s,
    )


def metrics(figures: Sequence[RegionFigure], regions: Sequence[Capacity]) -> orchestrator.Metrics:
    """Capacity counts whole seats, so that total = used + available."""
    taking = [figure for figure in figures if figure.state in PLACEABLE and figure.online]
    total, available = sum(f.capacity_units for f in taking) // UNITS_PER_SEAT, sum(f.free_seats for f in taking)
    return orchestrator.Metrics(
        total_vms=sum(figure.vms for figure in figures),
        vms_by_status=_summed((str(figure.state), figure.vms) for figure in figures),
        vms_by_region=_summed((figure.region_id, figure.vms) for figure in figures),
        total_capacity=total,
        used_capacity=total - available,
        available_capacity=available,
        region_capacity=[region_capacity(room) for room in regions],
    )


def find_vm_response(found: VmFound) -> orchestrator.FindVmResponse:
    return orchestrator.FindVmResponse(
        vm=vm_dto(found.vm) if found.vm else None,
        found=found.vm is not None,
        region=found.vm.region_id if found.vm else "",
        passed_over=map(_passed_over, found.passed_over),
        preset=found.preset_id,
        template_id=found.template_id,
    )


def _passed_over(entry: PassedOver) -> orchestrator.PassedOver:
    return orchestrator.PassedOver(vm_id=entry.vm_id, region=entry.region_id, reason=entry.why)


def _summed(counted: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for key, count in counted:
        sums[key] += count
    return dict(sums)
