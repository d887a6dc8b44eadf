"""Times, durations, resource names and enums on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

E = TypeVar("E", bound=StrEnum)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def timestamp(at: datetime | None) -> Timestamp | None:
    """None leaves the field unset."""
    if at is None:
        return None
    since = at - EPOCH
    return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)


def duration(seconds: float | None) -> Duration | None:
    """None leaves the field unset."""
    if seconds is None:
        return None
    whole = timedelta(seconds=seconds) // MICROSECOND
    sign = -1 if whole < 0 else 1
    full, rest = divmod(abs(whole), 1_000_000)
    return Duration(seconds=sign * full, nanos=sign * rest * 1000)


def seconds(message: Message, field: str) -> float | None:
    """A Duration field in seconds; None when it is unset."""
    if not message.HasField(field):
        return None
    value: Duration = getattr(message, field)
    return value.ToTimedelta().total_seconds()


def last_part(name: str) -> str:
    """The id in a resource name such as sessions/abc; "" of "". The proto's rules have checked the rest."""
    return name.rpartition("/")[2]


def named(collection: str, resource_id: str) -> str:
    """vms/abc, or "" where there is none."""
    return f"{collection}/{resource_id}" if resource_id else ""


@cache
def enum_value(wire: Any, prefix: str, member: StrEnum) -> Any:
    """The wire's number of a domain word: RUNNING of prefix SESSION_STATE is SESSION_STATE_RUNNING. The empty word is
    UNSPECIFIED. A test goes through every member."""
    return wire.Value(f"{prefix}_{member.value or 'UNSPECIFIED'}")


def enum_member(wire: Any, prefix: str, value: int, words: type[E]) -> E:
    """The domain's word of a number that the proto's rules have checked."""
    return words(str(wire.Name(value)).removeprefix(f"{prefix}_"))
