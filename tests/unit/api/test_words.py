"""Every pattern of the proto is told in words."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from quarterdeck.v1 import console_pb2, games_pb2, sessions_pb2

from controlplane.api.interceptors import validate
from controlplane.api.status import InvalidFields
from controlplane.api.words import words_for
from tests.protos.services import CALLERS


def rules(found: validate_pb2.FieldRules) -> Iterator[str]:
    if found.string.HasField("pattern"):
        yield found.string.pattern
    for inner in (found.repeated.items, found.map.keys, found.map.values):
        if inner.ByteSize():
            yield from rules(inner)


def patterns(message: Descriptor, seen: set[str]) -> Iterator[str]:
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    for field in message.fields:
        yield from rules(field.GetOptions().Extensions[validate_pb2.field])
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            yield from patterns(field.message_type, seen)


def all_patterns() -> list[str]:
    pool, seen = sessions_pb2.DESCRIPTOR.pool, set[str]()
    services = [pool.FindServiceByName(name) for name in CALLERS]
    inputs = [method.input_type for service in services for method in service.methods]
    return sorted({pattern for message in inputs for pattern in patterns(message, seen)})


def test_each_pattern_has_words() -> None:
    found = all_patterns()
    assert len(found) > 40
    assert [pattern for pattern in found if not words_for(pattern)] == []


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (sessions_pb2.CreateSessionRequest(game="x"), "game: must be a name of the form games/ID"),
        (
            sessions_pb2.CreateSessionRequest(game="games/x", territory="de"),
            "territory: must be a country or territory by its two capital letters (ISO 3166-1), such as DE, or left",
        ),
        (
            console_pb2.SendConsoleInputRequest(session="sessions/a", lines=["a\tb"]),
            "lines[0]: must be one line of text, without tabs and other control characters",
        ),
        (
            games_pb2.GetDeploymentRequest(name="x"),
            "name: must be a name of the form games/ID/deployments/NUMBER",
        ),
    ],
)
def test_a_refusal_says_what_is_wanted_and_shows_no_expression(message, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidFields, match=re.escape(told)):
        validate(message)
