"""The names of everything on the bus, in one place. Ids are one NATS token each; anything else is refused.

| subject | carries | kind |
|---|---|---|
| quarterdeck.event.<project>.<entity>.<word> | serialized quarterdeck.v1.Event | durable, stream QD_EVENTS |
| quarterdeck.ext.<project>.<entity>.<word> | JSON, see docs/external-events.md | durable, QD_EXTERNAL |
| quarterdeck.work.report.<host> | serialized quarterdeck.v1.Report | durable, stream QD_WORK |
| quarterdeck.hint.outbox | nothing: events wait in the outbox | hint, queue group `relay` |
| quarterdeck.hint.beats | host ids, one a line; a batch a second from each API replica | hint, queue group `beats` |
| quarterdeck.hint.slots | nothing: a slot may be free, or somebody queued | hint |
| quarterdeck.hint.renting | nothing: a rented VM has something to do | hint |
| quarterdeck.hint.plan.<host> | nothing: the host's plan has changed | hint |
| quarterdeck.hint.session.<session> | nothing: the session has changed | hint |
| quarterdeck.hint.accepted.<host> | `epoch:sequence` of the report that is committed | hint |
| quarterdeck.link.<host> | what the replica with the host's stream is to send down it | hint |
| quarterdeck.signal.<channel> | one message of a signalling channel towards the browser | hint |
"""

from __future__ import annotations

import re

from controlplane.domain.errors import InvalidRequest

EVENTS = "quarterdeck.event.>"
EXTERNAL = "quarterdeck.ext.>"
WORK = "quarterdeck.work.>"
REPORTS = "quarterdeck.work.report.*"
BEATS = "quarterdeck.hint.beats"
OUTBOX = "quarterdeck.hint.outbox"
SLOTS = "quarterdeck.hint.slots"
RENTING = "quarterdeck.hint.renting"
PLANS = "quarterdeck.hint.plan.*"
SESSIONS = "quarterdeck.hint.session.*"
ACCEPTED = "quarterdeck.hint.accepted.*"
LINKS = "quarterdeck.link.*"

EVENT_TYPE_PREFIX = "quarterdeck."
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
EVENT_TYPE = re.compile(r"quarterdeck(\.[a-z][a-z0-9_]{0,63}){2,4}")


def _token(token: str) -> str:
    if not TOKEN.fullmatch(token):
        raise InvalidRequest("SUBJECT_INVALID", "Ids on the bus are letters, digits, _ and -.", token=token[:128])
    return token


def event(project_id: str, event_type: str) -> str:
    """`quarterdeck.session.running` of project p is on `quarterdeck.event.p.session.running`. Raises InvalidRequest."""
    if not EVENT_TYPE.fullmatch(event_type):
        raise InvalidRequest(
            "EVENT_TYPE_INVALID", "Event types are quarterdeck.<entity>.<word>.", type=event_type[:128]
        )
    return f"quarterdeck.event.{_token(project_id)}.{event_type.removeprefix(EVENT_TYPE_PREFIX)}"


def external(project_id: str, event_type: str) -> str:
    """Where the public copy of such an event goes. Raises InvalidRequest."""
    return event(project_id, event_type).replace("quarterdeck.event.", "quarterdeck.ext.", 1)


def events_of(project_id: str) -> str:
    """Every event of one project. Raises InvalidRequest, as all below."""
    return f"quarterdeck.event.{_token(project_id)}.>"


def report(host_id: str) -> str:
    return f"quarterdeck.work.report.{_token(host_id)}"


def accepted(host_id: str) -> str:
    return f"quarterdeck.hint.accepted.{_token(host_id)}"


def hint_plan(host_id: str) -> str:
    return f"quarterdeck.hint.plan.{_token(host_id)}"


def hint_session(session_id: str) -> str:
    return f"quarterdeck.hint.session.{_token(session_id)}"


def link(host_id: str) -> str:
    return f"quarterdeck.link.{_token(host_id)}"


def signal(channel_id: str) -> str:
    return f"quarterdeck.signal.{_token(channel_id)}"


def last_token(subject: str) -> str:
    """The id at the end of a subject, such as the host of a report."""
    return _token(subject.rpartition(".")[2])


def matches(pattern: str, subject: str) -> bool:
    """NATS's rule: `*` is one token, a last `>` is one or more."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        return len(tokens) >= len(wanted) and matches(".".join(wanted[:-1]), ".".join(tokens[: len(wanted) - 1]))
    return len(tokens) == len(wanted) and all(w in ("*", t) for w, t in zip(wanted, tokens, strict=True))
