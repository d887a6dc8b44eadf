"""Variables that no game gets, whatever runs it: they reach into the loader, or into the container runtime's own hooks
(CVE-2025-23266), not only into the game. The control plane refuses the same ones when a deployment is made."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hostagent.runtime import StartFailed

DENIED = re.compile(r"LD_|DYLD_|NVIDIA_|CUDA_VISIBLE_DEVICES$|GCONV_PATH$|GLIBC_TUNABLES$|BASH_ENV$|ENV$")


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises StartFailed for a variable that reaches beyond the game."""
    for name, value in environment.items():
        if DENIED.match(name):
            raise StartFailed(f"the variable {name} is not allowed here")
        if "\0" in name + value or "=" in name or not name:
            raise StartFailed(f"the variable {name!r} is malformed")
