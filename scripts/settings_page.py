"""Writes docs/settings.md from the settings themselves: `python scripts/settings_page.py`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "gen")]

from controlplane.settings import FIELDS  # noqa: E402

DOCUMENT = ROOT / "docs" / "settings.md"
BEGINNING = """\
# Settings

Of the control plane and the command line; an agent has its own, `quarterdeck-agent run --help`. Each is a variable
`QUARTERDECK_<NAME>`, or a key of the TOML file that `QUARTERDECK_CONFIG` names, in lower case without the prefix.
Options win over variables, those over the file. `QUARTERDECK_<NAME>_FILE` names a file that holds the value alone, as
secrets are mounted. Names that end in `_S` are seconds. A mistake is told by its name, with the remedy, before anything
starts.
"""
PARTS = {
    "data_dir": "Where things are",
    "http_host": "Who listens where",
    "ice_servers": "Players and hosts behind NAT",
    "heartbeat_interval_s": "When a host counts as gone",
    "session_lost_after_s": "How long sessions last, and wait",
    "saves_each": "Saves, and logs of sessions",
    "local_vms": "Renting",
    "stream_token_ttl_s": "How long credentials live",
    "target": "What the operator's verbs speak to",
    "log_format": "Logs and traces of the house",
}


def page() -> str:
    """The whole document."""
    lines = [BEGINNING]
    for name, field in FIELDS.items():
        if name in PARTS:
            lines += [f"\n## {PARTS[name]}\n", "| `QUARTERDECK_…` | default | what |", "|---|---|---|"]
        lines.append(row(name, field))
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def row(name: str, field: dataclasses.Field[Any]) -> str:
    """One line of a table; a default that follows from something else is told in words."""
    about, _, words = field.metadata["about"].partition("default: ")
    default = words or (f"`{_written(field.default)}`" if _written(field.default) else "none")
    return f"| `{name.upper()}` | {default} | {about.removesuffix('; ')} |"


def _written(default: Any) -> str:
    """As it would be given."""
    if isinstance(default, tuple):
        return ("-" if all(isinstance(part, int) for part in default) else ",").join(map(str, default))
    if isinstance(default, float):
        return f"{default:.15g}"
    return "" if default in (None, Path()) or not isinstance(default, int | str | Path) else str(default)


if __name__ == "__main__":
    DOCUMENT.write_text(page(), encoding="utf-8")
