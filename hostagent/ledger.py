"""Which generations have ended on this host and are forgotten: not even a plan out of an old backup starts them again.

One line per workload in an append-only file, of which only the newest generation of each session counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hostagent.files import write_atomic
from hostagent.plan import WorkloadKey
from hostagent.sessiondir import parse_name

# At a thousand sessions a day this is half a year, and 6 MB.
_MAX_LINES = 200_000


class Ledger:
    """The ended generations; loads, and shortens when too long, at the start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._newest: dict[str, int] = {}
        lines = path.read_text(encoding="ascii", errors="replace").splitlines() if path.exists() else []
        if len(lines) > _MAX_LINES:
            lines = lines[-_MAX_LINES // 2 :]
            write_atomic(path, "".join(f"{line}\n" for line in lines).encode("ascii", "replace"))
        for line in lines:
            # A line that a crash cut short says nothing: its directory was not removed yet.
            if (key := parse_name(line)) is not None:
                self._note(key)

    @property
    def newest(self) -> Mapping[str, int]:
        """The newest ended and forgotten generation of each session."""
        return self._newest

    def add(self, key: WorkloadKey) -> None:
        """Notes, durably, that this workload has ended here. Raises OSError."""
        if self._newest.get(key.session_id, -1) >= key.generation:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # The leading newline ends a line that a crash may have cut short.
            os.write(descriptor, f"\n{key}\n".encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._note(key)

    def _note(self, key: WorkloadKey) -> None:
        self._newest[key.session_id] = max(key.generation, self._newest.get(key.session_id, -1))
