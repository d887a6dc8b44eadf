"""Every word of the domain has its number on the wire, and back; every number has its word."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import pytest
from quarterdeck.v1 import accounts_pb2, backups_pb2, events_pb2, games_pb2, hosts_pb2, sessions_pb2, vms_pb2

from controlplane.api.events import wanted
from controlplane.api.mapping.values import enum_member, enum_value
from controlplane.domain.backup import BackupState
from controlplane.domain.events import EventDraft
from controlplane.domain.game import Picture
from controlplane.domain.host import HostState
from controlplane.domain.identity import Role
from controlplane.domain.session import SessionReason, SessionState
from controlplane.domain.vm import VmState


@pytest.mark.parametrize(
    ("wire", "prefix", "words"),
    [
        (sessions_pb2.SessionState, "SESSION_STATE", SessionState),
        (sessions_pb2.SessionReason, "SESSION_REASON", SessionReason),
        (vms_pb2.VmState, "VM_STATE", VmState),
        (hosts_pb2.HostState, "HOST_STATE", HostState),
        (games_pb2.Picture, "PICTURE", Picture),
        (backups_pb2.BackupState, "BACKUP_STATE", BackupState),
        (accounts_pb2.Role, "ROLE", Role),
    ],
)
def test_words_and_numbers_match(wire: Any, prefix: str, words: type[StrEnum]) -> None:
    numbers = {enum_value(wire, prefix, word) for word in words}
    assert numbers | {0} == set(wire.values())
    for word in words:
        if word.value:
            assert enum_member(wire, prefix, enum_value(wire, prefix, word), words) is word


@pytest.mark.parametrize(
    ("types", "subjects", "expected"),
    [
        ((), (), True),
        (("quarterdeck.session",), (), True),
        (("quarterdeck.session.",), (), True),
        (("quarterdeck.session.running",), (), True),
        (("quarterdeck.sess",), (), False),
        (("quarterdeck.vm", "quarterdeck.session.run"), (), False),
        ((), ("sessions",), True),
        ((), ("sessions/s-1",), True),
        ((), ("sessions/s-2", "sessions/s-1"), True),
        ((), ("sessions/s",), False),
        ((), ("vms",), False),
        (("quarterdeck.session",), ("vms",), False),
        (("quarterdeck.vm",), ("sessions",), False),
    ],
)
def test_events_are_chosen_by_whole_words(types: Sequence[str], subjects: Sequence[str], expected: bool) -> None:
    draft = EventDraft("quarterdeck.session.running", "default", "sessions/s-1", 1)
    assert wanted(draft, events_pb2.WatchEventsRequest(types=types, subjects=subjects)) is expected
