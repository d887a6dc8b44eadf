"""The public copies of events, for other systems: few words, kept for good (seed 004; docs/external-events.md).

What the house calls its events may change; what is written here is a promise to programs that we do not know."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.domain import subjects
from controlplane.domain.events import Event, Value

# The seed has six words. Offline: lost, or departure announced. A session that its host took along has crashed.
WORDS: Mapping[str, str] = {
    "quarterdeck.host.online": "quarterdeck.host.online",
    "quarterdeck.host.stale": "quarterdeck.host.stale",
    "quarterdeck.host.lost": "quarterdeck.host.offline",
    "quarterdeck.host.offline": "quarterdeck.host.offline",
    "quarterdeck.session.running": "quarterdeck.session.running",
    "quarterdeck.session.stopped": "quarterdeck.session.stopped",
    "quarterdeck.session.completed": "quarterdeck.session.stopped",
    "quarterdeck.session.crashed": "quarterdeck.session.crashed",
    "quarterdeck.session.lost": "quarterdeck.session.crashed",
}
FACTS = ("state", "previous", "reason", "game", "vm", "generation")

Document = Mapping[str, "str | int | Mapping[str, Value]"]


def public_copy(event: Event) -> tuple[str, Document] | None:
    """(subject, CloudEvents 1.0 document in JSON's types) of an event that others may see; None for all the rest.

    Raises InvalidRequest for a project that is no token."""
    word = WORDS.get(event.draft.type)
    if word is None:
        return None
    draft = event.draft
    return subjects.external(draft.project_id, word), {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/projects/{draft.project_id}",
        "type": word,
        "subject": draft.subject,
        "time": event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "subjectversion": draft.subject_version,
        "data": {name: draft.data[name] for name in FACTS if name in draft.data},
    }
