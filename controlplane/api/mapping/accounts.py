"""Callers and events on the wire."""

from __future__ import annotations

from quarterdeck.v1 import accounts_pb2, events_pb2

from controlplane import __version__
from controlplane.api.mapping.values import enum_member, enum_value, timestamp
from controlplane.domain.events import Event
from controlplane.domain.identity import Credential, Principal, Role


def account_message(who: Principal) -> accounts_pb2.Account:
    return accounts_pb2.Account(
        project=who.project_id,
        subject=who.subject,
        role=enum_value(accounts_pb2.Role, "ROLE", who.role),
        release=__version__,
    )


def token_message(made: Credential, secret: str = "") -> accounts_pb2.Token:
    return accounts_pb2.Token(
        name=made.name,
        token=secret,
        subject=made.subject,
        role=enum_value(accounts_pb2.Role, "ROLE", made.role),
        create_time=timestamp(made.created_at),
        expire_time=timestamp(made.expires_at),
        made_with=f"tokens/{made.parent_id}" if made.parent_id else "",
    )


def role_of(message: accounts_pb2.CreateTokenRequest) -> Role:
    return enum_member(accounts_pb2.Role, "ROLE", message.role, Role)


def event_message(event: Event, resume_token: str = "") -> events_pb2.Event:
    draft = event.draft
    message = events_pb2.Event(
        event_id=event.id,
        type=draft.type,
        project=draft.project_id,
        subject=draft.subject,
        time=timestamp(event.at),
        subject_version=draft.subject_version,
        resume_token=resume_token,
    )
    message.data.update(dict(draft.data))
    return message
