"""Patterns that people write: RE2, so that no text and no pattern makes matching take long."""

from __future__ import annotations

from typing import Any

import re2

from controlplane.domain.errors import InvalidRequest


def checked_pattern(pattern: str, field: str) -> Any:
    """Compiled. Raises InvalidRequest that says what is wrong with it."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise InvalidRequest("PATTERN_INVALID", f"not a pattern in the syntax of RE2: {why}", field=field) from error
