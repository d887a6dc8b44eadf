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


@dataclass(frozen=True)
class EventFilter:
    """Events of one of the types and of one of the subjects; none named means any. Whole words only: quarterdeck.vm is
    no beginning of quarterdeck.vmware.x. A subject is a resource's name, or a kind of resources."""

    types: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    def takes(self, draft: EventDraft) -> bool:
        of_type = not self.types or any(_named(draft.type, word, ".") for word in self.types)
        return of_type and (not self.subjects or any(_named(draft.subject, name, "/") for name in self.subjects))


def _named(text: str, name: str, separator: str) -> bool:
    """By its whole name, or by the kind that it is of; a resource's name is no kind of what is below it."""
    whole = name.removesuffix(separator)
    return text == whole or ("/" not in whole and text.startswith(whole + separator))
