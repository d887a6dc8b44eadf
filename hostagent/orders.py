"""From a session's spec to a runtime's order: what of it concerns the way of running."""

from __future__ import annotations

from pathlib import Path

from quarterdeck.v1 import games_pb2, sessions_pb2, wrapper_pb2

from hostagent.runtime import Order, Published, Pull, Resources, Volume

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
        user=container.run_as_user,
        ports=tuple(
            Published(_PROTOCOLS[lease.protocol], lease.host_port, lease.game_port or lease.host_port)
            for lease in spec.ports
            if lease.protocol in _PROTOCOLS and lease.host_port
        ),
        resources=Resources(container.memory_bytes, container.cpu_millis, container.pids),
    )
