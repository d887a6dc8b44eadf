"""The services that our protos define, by whom they are for."""

from __future__ import annotations

import importlib
from pathlib import Path

PROTO = Path(__file__).resolve().parents[2] / "proto"
AGENTS = frozenset({"quarterdeck.v1.EnrolmentService", "quarterdeck.v1.AgentLinkService"})
# Served by the wrapper itself, on the socket of its session.
WRAPPERS = frozenset({"quarterdeck.v1.WrapperService"})


def _defined() -> frozenset[str]:
    found: set[str] = set()
    for proto in (path.relative_to(PROTO) for path in PROTO.rglob("*.proto")):
        module = importlib.import_module(str(proto.with_suffix("")).replace("/", ".") + "_pb2")
        found |= {service.full_name for service in module.DESCRIPTOR.services_by_name.values()}
    return frozenset(found)


CALLERS = _defined() - AGENTS - WRAPPERS
