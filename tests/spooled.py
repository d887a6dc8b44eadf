"""The log that a wrapper has left in its session's directory."""

from __future__ import annotations

from pathlib import Path


def records(session_dir: Path) -> list[tuple[int, str, str]]:
    """(sequence, stream, text) of every line that is kept."""
    found = []
    for segment in sorted(path for path in (session_dir / "log").iterdir() if path.name.isdigit()):
        for record in segment.read_text().split("\n")[:-1]:
            sequence, _ms, stream, text = record.split("\t", 3)
            found.append((int(sequence), stream, text))
    return found


def said(session_dir: Path) -> str:
    """What the game has printed."""
    return "\n".join(text for _, stream, text in records(session_dir) if stream != "wrapper")
