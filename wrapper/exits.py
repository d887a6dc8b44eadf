"""How a program ended, in words."""

from __future__ import annotations

import signal


def ending(exit_code: int) -> str:
    """Of an exit code, negative for a signal, behind its subject: "ended with exit code 3", "was killed by SIGSEGV"."""
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    name = next((one.name for one in signal.Signals if one == -exit_code), f"signal {-exit_code}")
    return f"was killed by {name}"
