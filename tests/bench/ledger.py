"""Processor time by who spends it: the steady measure on a machine that does other things too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import psutil


class Ledger:
    """Of this process (`caller`), what it has started (`server`, `broker`), and the PostgreSQL in that directory."""

    def __init__(self, postgres: Path | None = None) -> None:
        self._postgres = postgres
        self._before = self._spent()

    def for_each(self, calls: int) -> Mapping[str, float]:
        """Microseconds of each of so many calls since then."""
        return {who: (s - self._before[who]) * 1e6 / calls for who, s in sorted(self._spent().items())}

    def _spent(self) -> Counter[str]:
        me, spent = psutil.Process(), Counter[str]()
        parts = [("caller", me)]
        parts += [("broker" if "nats" in child.name() else "server", child) for child in me.children(recursive=True)]
        if self._postgres is not None:
            parent = psutil.Process(int((self._postgres / "postmaster.pid").read_text().split()[0]))
            parts += [("PostgreSQL", process) for process in (parent, *parent.children())]
        for who, process in parts:
            times = process.cpu_times()
            spent[who] += times.user + times.system  # type: ignore[assignment]
        return spent
