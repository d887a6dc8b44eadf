"""Deny by default: every RPC of every service has an entry, and no entry is for something that is not there."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from quarterdeck.v1 import agent_pb2

from controlplane.api import server
from controlplane.api.access import ACCESS, Access
from tests.protos.services import AGENTS, CALLERS


def served() -> set[str]:
    pool = descriptor_pool.Default()
    services = [pool.FindServiceByName(name) for name in CALLERS | AGENTS]
    services += [
        health_pb2.DESCRIPTOR.services_by_name["Health"],
        reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
    ]
    methods = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    return methods | {f"/{server.REFLECTION_V1}/ServerReflectionInfo"}


def test_every_method_has_an_entry_and_every_entry_a_method() -> None:
    assert set(ACCESS) == served()


@pytest.mark.parametrize("method", sorted(ACCESS))
def test_an_entry_asks_for_exactly_one_thing(method: str) -> None:
    access = ACCESS[method]
    assert [access.public, access.host, bool(access.roles)].count(True) == 1


def test_only_agents_come_by_certificate() -> None:
    by_certificate = {method for method, access in ACCESS.items() if access.host}
    link = agent_pb2.DESCRIPTOR.services_by_name["AgentLinkService"]
    assert by_certificate == {f"/{link.full_name}/{method.name}" for method in link.methods}


def test_what_is_public_is_known_here() -> None:
    assert {m for m, access in ACCESS.items() if access.public and m.startswith("/quarterdeck.")} == {
        "/quarterdeck.v1.AccountService/SignIn",
        "/quarterdeck.v1.BackupService/ReadDownload",
        "/quarterdeck.v1.EnrolmentService/Enrol",
        "/quarterdeck.v1.StreamingService/Signal",
    }


def test_an_unknown_method_is_for_nobody() -> None:
    assert ACCESS.get("/quarterdeck.v1.SessionService/Invented", Access()) == Access()
