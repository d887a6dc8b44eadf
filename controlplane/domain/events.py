"""What happened, as a fact to be told. A draft becomes an event when the store gives it its id and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

Value = str | int | float | bool | None


@dataclass(frozen=True)
class EventDraft:
    """`type` is `quarterdeck.<entity>.<word>`; `subject` is the resource's name; `subject_version` grows along it."""

    type: str
    project_id: str
    subject: str
    subject_version: int
    data: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """A draft that the store has accepted, with the database's clock."""

    id: str
    at: datetime
    draft: EventDraft
