"""The log that a wrapper has left in its session's directory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def segments(session_dir: Path) -> list[str]:
    """What is in its files, oldest first; one that goes meanwhile is gone."""
    found = []
    for path in sorted(path for path in (session_dir / "log").iterdir() if path.name.isdigit()):
        with suppress(FileNotFoundError):
            found.append(path.read_text())
    return found


def records(session_dir: Path) -> list[tuple[int, str, str]]:
    """(sequence, stream, text) of every line that is kept."""
    found = []
    for segment in segments(session_dir):
        for record in segment.split("\n")[:-1]:
            sequence, _ms, stream, text = record.split("\t", 3)
            found.append((int(sequence), stream, text))
    return found


def said(session_dir: Path) -> str:
    """What the game has printed."""
    return "\n".join(text for _, stream, text in records(session_dir) if stream != "wrapper")
