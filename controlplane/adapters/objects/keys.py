"""What may be the key of an object: nothing that a file system, a URL or a shell could read as anything else."""

from __future__ import annotations

import re

from controlplane.domain.errors import InvalidRequest

_SEGMENT = r"[a-z0-9][a-z0-9._-]{0,127}"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,15}}", re.ASCII)


def check_key(key: str) -> str:
    """The key as it is. Raises InvalidRequest."""
    if _KEY.fullmatch(key) is None:
        raise InvalidRequest(
            "OBJECT_KEY_INVALID",
            f"{key[:80]!r} is no key: up to 16 segments of a-z, 0-9, '.', '_' and '-' with '/' between",
        )
    return key
