"""From a session's spec to what the agent does with it: the runtime's order, the ports to probe, the time to stop; and
from why that failed to a session's reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quarterdeck.v1 import games_pb2, sessions_pb2, wrapper_pb2

from hostagent import netports
from hostagent.runtime import Order, Published, Pull, Resources, StartFailed, Volume
from hostagent.runtime.images import ImageCorrupt, ImageDenied, ImageNotFound, RegistryUnreachable
from hostagent.saves import SaveNotRestored

Reason = sessions_pb2.SessionReason
_PULLS = {games_pb2.PULL_POLICY_ALWAYS: Pull.ALWAYS, games_pb2.PULL_POLICY_NEVER: Pull.NEVER}
_PROTOCOLS = {sessions_pb2.PortLease.PROTOCOL_TCP: "tcp", sessions_pb2.PortLease.PROTOCOL_UDP: "udp"}


def order_of(session_dir: Path, spec: wrapper_pb2.SessionSpec) -> Order:
    """The order for a valid spec, to be carried out in `session_dir`."""
    container = spec.deployment.container
    return Order(
        session_dir=session_dir,
        image=container.image,
        pull=_PULLS.get(container.pull, Pull.IF_NOT_PRESENT),
        command=tuple(spec.deployment.command),
        environment=dict(spec.deployment.environment),
        volumes=tuple(Volume(volume.volume_name, volume.path) for volume in container.volumes),
        writable_root=container.writable_root,
        disk_bytes=spec.deployment.disk_bytes,
        user=container.run_as_user,
        ports=tuple(
            Published(_PROTOCOLS[lease.protocol], lease.host_port, lease.game_port or lease.host_port)
            for lease in spec.ports
            if lease.protocol in _PROTOCOLS and lease.host_port
        ),
        gpu_index=spec.gpu_index if container.gpu and spec.HasField("gpu_index") else None,
        render=container.render,
        resources=Resources(container.memory_bytes, container.cpu_millis, container.pids),
    )


def leases_of(spec: wrapper_pb2.SessionSpec) -> Sequence[netports.HostPort]:
    """The leased ports. Raises StartFailed for one without a protocol."""
    for lease in spec.ports:
        if lease.protocol not in _PROTOCOLS:
            raise StartFailed(f"port lease {lease.port_name!r} has no protocol")
    return [
        netports.HostPort(netports.Protocol(_PROTOCOLS[lease.protocol]), lease.host_port, lease.port_name)
        for lease in spec.ports
    ]


def stop_grace_s(deployment: games_pb2.Deployment, default_s: float) -> float:
    """How long the wrapper may take to stop its game: by command first, then by signal."""
    grace_s = deployment.stop_grace.ToNanoseconds() / 1e9 if deployment.HasField("stop_grace") else default_s
    if not deployment.stop_command:
        return grace_s
    given = deployment.HasField("stop_command_grace")
    return grace_s + (deployment.stop_command_grace.ToNanoseconds() / 1e9 if given else default_s)


_REASONS: tuple[tuple[type[Exception], sessions_pb2.SessionReason], ...] = (
    (netports.PortTaken, Reason.SESSION_REASON_PORT_TAKEN),
    (SaveNotRestored, Reason.SESSION_REASON_SAVE_NOT_RESTORED),
    (ImageNotFound, Reason.SESSION_REASON_IMAGE_NOT_FOUND),
    (ImageDenied, Reason.SESSION_REASON_IMAGE_DENIED),
    (RegistryUnreachable, Reason.SESSION_REASON_REGISTRY_UNREACHABLE),
    (ImageCorrupt, Reason.SESSION_REASON_IMAGE_CORRUPT),
)


def reason_of(error: Exception) -> sessions_pb2.SessionReason:
    """Why a session could not start."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), Reason.SESSION_REASON_START_FAILED)
