"""docs/events.md lists every event that the domain can tell, and none besides."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from controlplane.domain import subjects
from controlplane.domain.backup import BackupState
from controlplane.domain.host import HOST_MACHINE
from controlplane.domain.session import SESSION_MACHINE
from controlplane.domain.vm import VM_MACHINE, WORDS

ROOT = Path(__file__).resolve().parents[3]
SEED_001 = {
    "VMProvisioned": "quarterdeck.vm.provisioned",
    "VMReady": "quarterdeck.vm.ready",
    "VMError": "quarterdeck.vm.error",
    "VMPoolLowCapacity": "quarterdeck.region.low_capacity",
    "VMTerminated": "quarterdeck.vm.terminated",
    "SessionAssigned": "quarterdeck.session.assigned",
    "SessionReleased": "quarterdeck.session.released",
}


def listed() -> dict[str, str]:
    """Type to its name in seed 001, from the document's table."""
    text = (ROOT / "docs" / "events.md").read_text()
    return {kind: seed for seed, kind in re.findall(r"^\| (\w*) ?\| `(quarterdeck\.\w+\.\w+)` \|", text, re.MULTILINE)}


def of_tables() -> set[str]:
    """Each change of state is told under the new state's word."""
    vm = {
        WORDS.get(target, str(target).lower()) for (source, _), target in VM_MACHINE.table.items() if source != target
    }
    host = {str(t).lower() for (source, _), t in HOST_MACHINE.table.items() if source != t}
    session = {str(t).lower() for (source, _), t in SESSION_MACHINE.table.items() if source != t}
    # One that is being made is told from its start on.
    backup = {str(state).lower() for state in BackupState}
    named = {"vm": vm, "host": host, "session": session, "backup": backup}
    return {f"quarterdeck.{entity}.{word}" for entity, words in named.items() for word in words}


def written() -> set[str]:
    """Words in the source: EventDraft("quarterdeck.…") and session.event("…")."""
    found: set[str] = set()
    for folder in ("domain", "usecases"):
        for path in (ROOT / "controlplane" / folder).glob("*.py"):
            for call in ast.walk(ast.parse(path.read_text())):
                if isinstance(call, ast.Call) and call.args:
                    found |= _words(ast.unparse(call.func), call.args[0])
    return found


def _words(called: str, first: ast.expr) -> set[str]:
    texts = {n.value for n in ast.walk(first) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    if called == "EventDraft" and isinstance(first, ast.Constant):
        return texts
    if called.endswith(".event") and not called.startswith("subjects"):
        return {f"quarterdeck.session.{text}" for text in texts if re.fullmatch(r"[a-z_]+", text)}
    return set()


def test_the_document_lists_what_can_be_told() -> None:
    assert written() >= {"quarterdeck.session.assigned", "quarterdeck.host.revoked", "quarterdeck.session.unreachable"}
    assert set(listed()) == of_tables() | written()


def test_all_seven_of_seed_001_are_there_under_their_names() -> None:
    assert {seed: kind for kind, seed in listed().items() if seed} == SEED_001


def test_every_type_has_a_subject_on_the_bus() -> None:
    for kind in listed():
        assert subjects.event("default", kind) == f"quarterdeck.event.default.{kind.removeprefix('quarterdeck.')}"
