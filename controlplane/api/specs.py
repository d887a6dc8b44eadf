"""From a host's plan in domain words to the plan on the wire: specs by digest, the same bytes on every replica."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from quarterdeck.v1 import agent_pb2, sessions_pb2, streaming_pb2, wrapper_pb2

from controlplane.api.mapping.games import deployment_message
from controlplane.api.mapping.sessions import limits_message, port_message
from controlplane.api.mapping.values import duration, enum_value, named
from controlplane.domain.session import Video
from controlplane.usecases.configuration import planned
from controlplane.usecases.hosts import HostPlan, PlanEntry


@dataclass(frozen=True)
class IceServer:
    """For browsers and wrappers. Credentials, if any, are those of a relay."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = ""


@dataclass(frozen=True)
class Network:
    """What every spec says about the way to browsers. The same on all replicas, or digests differ."""

    ice_servers: tuple[IceServer, ...] = ()
    loopback_candidate: bool = False

    @classmethod
    def by(cls, urls: Sequence[str], relay: tuple[str, str], *, loopback_candidate: bool) -> Network:
        """With these STUN and TURN servers, and the user name and credential that only relays are told."""
        servers = (IceServer((url,), *(relay if url.startswith("turn") else ())) for url in urls)
        return cls(tuple(servers), loopback_candidate)


def plan_message(plan: HostPlan, network: Network) -> agent_pb2.Plan:
    return agent_pb2.Plan(
        version=plan.version,
        sessions=[
            agent_pb2.PlannedSession(
                session_id=entry.session.id,
                generation=entry.session.generation,
                spec_digest=digest(serialized(spec_message(entry, plan.vm.advertised_address, network))),
                want=agent_pb2.PlannedSession.WANT_RUN if entry.want_run else agent_pb2.PlannedSession.WANT_STOP,
                reason=enum_value(sessions_pb2.SessionReason, "SESSION_REASON", entry.session.reason),
                backup_id=entry.backup_id,
            )
            for entry in plan.entries
        ],
    )


def specs_by_digest(plan: HostPlan, network: Network) -> Mapping[str, bytes]:
    specs = (serialized(spec_message(e, plan.vm.advertised_address, network)) for e in plan.entries)
    return {digest(spec): spec for spec in specs}


def spec_message(entry: PlanEntry, advertised_address: str, network: Network) -> wrapper_pb2.SessionSpec:
    session, rendered = entry.session, planned(entry.session, entry.deployment, entry.ports)
    deployment = replace(
        entry.deployment,
        command=rendered.command,
        environment=rendered.environment,
        stop_command=rendered.stop_command,
        parameters=(),
        files=(),
        actions=(),
    )
    return wrapper_pb2.SessionSpec(
        session_id=session.id,
        generation=session.generation,
        project=session.project_id,
        deployment=deployment_message(deployment),
        video=_video_message(session.video) if session.video else None,
        ports=[port_message(lease) for lease in sorted(entry.ports, key=lambda p: (p.port_name, p.protocol))],
        limits=limits_message(session.limits),
        ice_servers=ice_server_messages(network),
        advertised_addresses=[advertised_address] if _is_ip(advertised_address) else [],
        loopback_candidate=network.loopback_candidate,
        lease=duration(entry.lease_s),
        gpu_index=session.gpu_index,
        save=named("saves", session.save_id),
        files=[
            wrapper_pb2.RenderedFile(path=path, content=text.encode()) for path, text in sorted(rendered.files.items())
        ],
    )


def serialized(spec: wrapper_pb2.SessionSpec) -> bytes:
    return spec.SerializeToString(deterministic=True)


def digest(spec: bytes) -> str:
    return hashlib.sha256(spec).hexdigest()


def ice_server_messages(network: Network) -> list[streaming_pb2.IceServer]:
    return [
        streaming_pb2.IceServer(urls=server.urls, username=server.username, credential=server.credential)
        for server in network.ice_servers
    ]


def _video_message(video: Video) -> wrapper_pb2.VideoSpec:
    return wrapper_pb2.VideoSpec(
        width=video.width,
        height=video.height,
        fps=video.fps,
        bitrate_kbps=video.bitrate_kbps,
        min_bitrate_kbps=video.min_bitrate_kbps,
        max_bitrate_kbps=video.max_bitrate_kbps,
        encoder_preset=video.encoder_preset,
    )


def _is_ip(address: str) -> bool:
    # ICE candidates of a wrapper are addresses; a DNS name is for people and for games without a picture.
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
