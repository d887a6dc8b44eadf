"""Entities for the suite, with every field set to something that a careless column would lose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa

from controlplane.domain.container import Container, ContainerVolume, PullPolicy
from controlplane.domain.events import EventDraft
from controlplane.domain.game import Deployment, Game, Picture, PortSpec, Readiness
from controlplane.domain.host import Encoder, Gpu, Host, HostState, Inventory
from controlplane.domain.identity import Credential, CredentialKind, Role
from controlplane.domain.placement import PassedOver
from controlplane.domain.region import Law
from controlplane.domain.session import (
    Limits,
    PortLease,
    Session,
    SessionReason,
    SessionState,
    Stages,
    Video,
)
from controlplane.domain.usage import Usage
from controlplane.domain.vm import Vm, VmState
from controlplane.interfaces import Store

NOW = datetime(2026, 11, 21, 8, 30, 15, 123457, tzinfo=UTC)
TOKYO = timezone(timedelta(hours=9))
PROJECT = "default"


@dataclass
class Clock:
    """A store's, which stands still until a test moves it."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_vm(vm_id: str = "vm-1", **fields: Any) -> Vm:
    values: dict[str, Any] = {
        "id": vm_id,
        "project_id": PROJECT,
        "provider": "static",
        "region_id": "local",
        "template_id": "local",
        "state": VmState.READY,
        "capacity_units": 24,
        "created_at": NOW,
        "updated_at": at(1),
        "advertised_address": "192.0.2.7",
        "media_ports": (28000, 28010),
        "reason_detail": "grüße",
        "terminate_requested_at": at(2),
        "plan_version": 5,
        "version": 1,
    }
    return Vm(**{**values, **fields})


def a_host(host_id: str = "vm-1", **fields: Any) -> Host:
    values: dict[str, Any] = {
        "id": host_id,
        "project_id": PROJECT,
        "state": HostState.ONLINE,
        "epoch": 3,
        "start_id": "start-1",
        "report_sequence": 2**40,
        "observed_plan_version": 4,
        "last_heartbeat_at": at(-1),
        "state_since": at(-9),
        "link_replica": "api-1",
        "link_token": "link-1",
        "certificate_serial": "00ff",
        "certificate_expires_at": at(86400),
        "revoked_at": None,
        "inventory": Inventory(
            cpu_count=8,
            memory_bytes=2**35,
            disk_free_bytes=2**40,
            gpus=(Gpu(0, "NVIDIA L4", 24 * 2**30, "580.1"),),
            encoders=(Encoder("h264_nvenc", 8), Encoder("libx264", 2)),
            runtimes=("process", "docker", "nvidia", "render"),
            has_display_server=True,
            agent_version="0.1.0",
            operating_system="Debian 12",
        ),
        "addresses": ("192.0.2.7", "2001:db8::7"),
        "workloads": 2,
        "usage": Usage(1.25, 1, 2, 3),
        "version": 1,
    }
    return Host(**{**values, **fields})


def a_session(session_id: str = "s-1", **fields: Any) -> Session:
    values: dict[str, Any] = {
        "id": session_id,
        "project_id": PROJECT,
        "game_id": "orbit",
        "deployment_number": 1,
        "preset_id": "software-720p30",
        "state": SessionState.PENDING,
        "created_at": NOW,
        "updated_at": at(1),
        "region_id": "local",
        "units": 0,
        "reason": SessionReason.NONE,
        "queue_deadline_at": at(60),
        "created_by": "alice",
        "version": 1,
    }
    return Session(**{**values, **fields})


def a_full_session() -> Session:
    return a_session(
        state=SessionState.STOPPED,
        vm_id="vm-1",
        units=12,
        generation=3,
        reason=SessionReason.STOP_REQUESTED,
        reason_detail="asked\nto",
        exit_code=-9,
        stages=Stages(at(0.5), at(0.000001), at(2), None),
        limits=Limits(0.0, 1.5, 7200.0),
        lost_after_s=12.5,
        queue_timeout_s=45.5,
        ended_at=at(100),
        streamed=False,
        video=Video(1280, 720, 30, 4000, 1500, 8000, "ultrafast"),
        connected_players=1,
        last_activity_at=NOW,
        client_token="token-1",
        request_sha256="ab" * 32,
        usage=Usage(12.5, 2**31, 2**32, 17, 1, 2**33, at(90)),
        progress="pulling orbit:1: 45 %",
        gpu_index=3,
        coordinates=(52.52, -13.4),
        territory="DE",
        passed_over=(PassedOver("", "is full", "eu-west-1"), PassedOver("vm-9", "is DRAINING", "local")),
        lease_s=600.5,
    )


def a_game(game_id: str = "orbit", **fields: Any) -> Game:
    values: dict[str, Any] = {
        "id": game_id,
        "project_id": PROJECT,
        "display_name": "Orbit",
        "summary": "Turn, thrust, land.",
        "default_preset_id": "software-720p30",
        "created_at": NOW,
        "law": Law(deny=frozenset({"CU", "KP"})),
    }
    return Game(**{**values, **fields})


def a_deployment(game_id: str = "orbit", **fields: Any) -> Deployment:
    values: dict[str, Any] = {
        "game_id": game_id,
        "project_id": PROJECT,
        "number": 0,
        "command": ("orbit", "--size", "1280x720"),
        "picture": Picture.FRAMES,
        "created_at": NOW,
        "environment": {"LEVEL": "3"},
        "ports": (PortSpec("query", "udp", 27015), PortSpec("control", "tcp")),
        "readiness": Readiness(log_pattern="ready", stays_up_s=None, timeout_s=12.5),
        "stop_grace_s": 4.5,
        "replaceable": True,
        "silent": True,
        "container": Container(
            "orbit:1", PullPolicy.ALWAYS, 1 << 40, 1500, 64, (ContainerVolume("v", "/v"),), True, "7:8"
        ),
    }
    return Deployment(**{**values, **fields})


def a_credential(credential_id: str = "c-1", **fields: Any) -> Credential:
    values: dict[str, Any] = {
        "id": credential_id,
        "kind": CredentialKind.JOIN,
        "project_id": PROJECT,
        "subject": "operator",
        "role": Role.OPERATOR,
        "secret_sha256": f"{credential_id:0>64}",
        "created_at": NOW,
        "expires_at": at(900),
    }
    return Credential(**{**values, **fields})


def a_lease(port: int = 28000, session_id: str = "s-1", **fields: Any) -> PortLease:
    values: dict[str, Any] = {
        "vm_id": "vm-1",
        "protocol": "udp",
        "host_port": port,
        "session_id": session_id,
        "port_name": "media",
        "game_port": 0,
    }
    return PortLease(**{**values, **fields})


def a_draft(number: int = 1, **fields: Any) -> EventDraft:
    values: dict[str, Any] = {
        "type": "quarterdeck.session.running",
        "project_id": PROJECT,
        "subject": f"sessions/s-{number}",
        "subject_version": number,
        "data": {"state": "RUNNING", "generation": 1, "share": 0.5, "late": True, "vm": None},
    }
    return EventDraft(**{**values, **fields})


def synchronous(url: str) -> sa.Engine:
    """A way past the store, to look at the database itself."""
    return sa.create_engine(url, poolclass=sa.NullPool)


async def furnish(store: Store, *vms: Vm) -> None:
    """A game with one deployment, and these VMs, or one."""
    async with store.tx() as tx:
        await tx.catalogue.add_game(a_game())
        await tx.catalogue.add_deployment(a_deployment())
        for vm in vms or (a_vm(),):
            await tx.vms.add(vm)


def next_of(entity: Any, **fields: Any) -> Any:
    """The entity, changed, one version on."""
    return replace(entity, version=entity.version + 1, **fields)
