"""docs/compat.md describes the VM object of the seeds field by field, and every call of theirs."""

from __future__ import annotations

import re
from pathlib import Path

from google.api import annotations_pb2
from quarterdeck.compat.v1 import orchestrator_pb2, sessions_pb2, streaming_pb2

from controlplane.domain.vm import VmState

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "compat.md").read_text()


def section(title: str) -> str:
    return TEXT.split(f"## {title}\n")[1].split("\n## ")[0]


def test_every_field_of_the_vm_object_is_described_and_every_status() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", section("The VM object (VMDTO)"), re.MULTILINE)
    fields = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(fields) == sorted(field.json_name for field in orchestrator_pb2.VmDto.DESCRIPTOR.fields)
    status = re.search(r"^\| `status` \| (.*) \|$", TEXT, re.MULTILINE)
    assert status is not None
    assert set(re.findall(r"`([A-Z_]+)`", status[1])) == {str(state) for state in VmState}


def test_every_call_is_listed_with_what_is_sent_and_answered() -> None:
    listed = re.findall(r"^\| `(GET|POST) (\S+)` \|", section("The calls"), re.MULTILINE)
    served = []
    for module in (orchestrator_pb2, streaming_pb2, sessions_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                rule = method.GetOptions().Extensions[annotations_pb2.http]
                verb = rule.WhichOneof("pattern")
                path = re.sub(r"\{(\w+)\}", lambda name: "{" + camel(name[1]) + "}", getattr(rule, verb))
                served.append((verb.upper(), path))
    assert sorted(listed) == sorted(served)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))
