"""What makes two requests the same, whatever their client token (I20)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class ClientToken:
    """What a caller's token stands for within a project and a verb: one request, by its digest ("" for one that was
    kept before requests were), and the name of what it made; "" while that is being made."""

    project_id: str
    verb: str
    token: str
    request_sha256: str
    created_at: datetime
    made: str = ""


def digest(request: object) -> str:
    """Of a request made of dataclasses, collections and scalars. Fields at their defaults do not count, so that a
    release that knows more fields finds the same. Raises TypeError for anything else."""
    return hashlib.sha256(json.dumps(request, default=_facts, sort_keys=True).encode()).hexdigest()


def named_by(prefix: str, project_id: str, client_token: str) -> str:
    """The id that follows from a client token; "" without one. Replicas of the last release, which keep no tokens, know
    by it what was made with a token already, and theirs is known by it here."""
    if not client_token:
        return ""
    return f"{prefix}-{hashlib.sha256(f'{project_id}/{client_token}'.encode()).hexdigest()[:20]}"


def _facts(value: Any) -> object:
    if is_dataclass(value):
        told = ((field, getattr(value, field.name)) for field in fields(value))
        return {"": type(value).__name__} | {field.name: given for field, given in told if given != _default(field)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"no rule for telling {type(value).__name__} apart")


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()
