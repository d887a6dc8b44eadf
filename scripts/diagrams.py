"""Draws the state machines' tables as Mermaid diagrams into ARCHITECTURE.md, between markers.

Run it after a change of a table; a test fails until the diagrams and the tables agree.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from controlplane.domain.backup import BACKUP_MACHINE  # noqa: E402
from controlplane.domain.host import HOST_MACHINE  # noqa: E402
from controlplane.domain.machine import Machine  # noqa: E402
from controlplane.domain.provisioning import PROVISIONING_MACHINE  # noqa: E402
from controlplane.domain.session import SESSION_MACHINE  # noqa: E402
from controlplane.domain.succession import REPLACEMENT_MACHINE  # noqa: E402
from controlplane.domain.vm import VM_MACHINE  # noqa: E402

DOCUMENT = ROOT / "ARCHITECTURE.md"
MACHINES: tuple[Machine[Any, Any], ...] = (
    VM_MACHINE,
    PROVISIONING_MACHINE,
    REPLACEMENT_MACHINE,
    SESSION_MACHINE,
    HOST_MACHINE,
    BACKUP_MACHINE,
)


def diagram(machine: Machine[Any, Any]) -> str:
    """One Mermaid state diagram; triggers with the same source and target share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (source, trigger), target in machine.table.items():
        arrows.setdefault((str(source), str(target)), []).append(str(trigger))
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state}" for state in sorted(machine.initial)]
    lines += [f"    {source} --> {target}: {' / '.join(triggers)}" for (source, target), triggers in arrows.items()]
    lines += [f"    {state} --> [*]" for state in sorted(machine.final)]
    return "\n".join(lines)


def drawn(document: str) -> str:
    """The document with every machine's diagram between its markers. Raises ValueError when a marker is missing."""
    for machine in MACHINES:
        start, end = (f"<!-- {slash}machine:{machine.name.lower()} -->" for slash in ("", "/"))
        if document.count(start) != 1 or document.count(end) != 1:
            raise ValueError(f"ARCHITECTURE.md needs {start} and {end}, once each")
        block = f"{start}\n```mermaid\n{diagram(machine)}\n```\n{end}"
        document = re.sub(
            re.escape(start) + ".*?" + re.escape(end), lambda _, new=block: new, document, flags=re.DOTALL
        )
    return document


if __name__ == "__main__":
    DOCUMENT.write_text(drawn(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
