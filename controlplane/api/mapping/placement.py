"""Where a session wishes to be, on the wire, and why it is not there."""

from __future__ import annotations

from quarterdeck.compat.v1 import orchestrator_pb2
from quarterdeck.compat.v1 import sessions_pb2 as compat_sessions_pb2
from quarterdeck.v1 import placement_pb2 as pb
from quarterdeck.v1 import sessions_pb2, vms_pb2

from controlplane.api.mapping.values import named
from controlplane.domain.placement import PassedOver

Wish = (
    sessions_pb2.CreateSessionRequest
    | vms_pb2.FindVmRequest
    | compat_sessions_pb2.StartSessionRequest
    | orchestrator_pb2.FindVmRequest
)


def coordinates_of(message: Wish) -> tuple[float, float] | None:
    if not message.HasField("coordinates"):
        return None
    return message.coordinates.latitude_degrees, message.coordinates.longitude_degrees


def passed_over_message(entry: PassedOver) -> pb.PassedOver:
    return pb.PassedOver(region=entry.region_id, vm=named("vms", entry.vm_id), why=entry.why, code=entry.code)
