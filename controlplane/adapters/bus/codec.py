"""Domain values to the bytes on the bus and back; the only adapter that imports generated code."""

from __future__ import annotations

from datetime import UTC, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Value as ProtoValue
from quarterdeck.v1 import agent_pb2, events_pb2, sessions_pb2, wrapper_pb2

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.events import Event, EventDraft, Value
from controlplane.domain.reconcile import Report, UnstoredSave, Workload, WorkloadState
from controlplane.domain.session import SessionReason
from controlplane.domain.subjects import TOKEN
from controlplane.domain.usage import Usage

MAX_WORKLOADS = 500
MAX_DETAIL_CHARACTERS = 1000
LONGEST_S = 10 * 365 * 86400
STATE_PREFIX, REASON_PREFIX = "WORKLOAD_STATE_", "SESSION_REASON_"


def encode_event(event: Event) -> bytes:
    """A serialized quarterdeck.v1.Event without resume token. Numbers above 2^53 lose digits (protobuf Struct)."""
    draft = event.draft
    message = events_pb2.Event(
        event_id=event.id,
        type=draft.type,
        project=draft.project_id,
        subject=draft.subject,
        subject_version=draft.subject_version,
    )
    message.time.FromDatetime(event.at)
    message.data.update(dict(draft.data))
    return message.SerializeToString(deterministic=True)


def decode_event(payload: bytes) -> Event:
    """Raises InvalidRequest (EVENT_UNREADABLE)."""
    message = events_pb2.Event()
    try:
        message.ParseFromString(payload)
    except DecodeError as error:
        raise InvalidRequest("EVENT_UNREADABLE", "This is not a serialized quarterdeck.v1.Event.") from error
    data = {name: _plain(value) for name, value in message.data.fields.items()}
    draft = EventDraft(message.type, message.project, message.subject, message.subject_version, data)
    return Event(message.event_id, message.time.ToDatetime(UTC), draft)


def _plain(value: ProtoValue) -> Value:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "number_value":
        # Struct knows only doubles; the events' own numbers are whole more often than not.
        number = value.number_value
        return int(number) if number.is_integer() else number
    return None


def decode_report(payload: bytes) -> Report:
    """What an agent observed, from a serialized quarterdeck.v1.Report. Raises InvalidRequest naming the field."""
    message = agent_pb2.Report()
    try:
        message.ParseFromString(payload)
    except DecodeError as error:
        raise InvalidRequest("REPORT_UNREADABLE", "This is not a serialized quarterdeck.v1.Report.") from error
    if message.epoch < 1 or message.sequence < 1:
        raise InvalidRequest("REPORT_UNNUMBERED", "A report has an epoch and a sequence from 1.", field="epoch")
    if len(message.workloads) > MAX_WORKLOADS:
        raise InvalidRequest("REPORT_TOO_LONG", f"A report has at most {MAX_WORKLOADS} workloads.", field="workloads")
    workloads = tuple(_workload(workload) for workload in message.workloads)
    unstored = tuple(
        UnstoredSave(one.session_id, one.generation, _words(one.detail))
        for one in message.unstored_saves[:MAX_WORKLOADS]
    )
    more = message.unstored_saves_more or len(message.unstored_saves) > len(unstored)
    return Report(message.epoch, message.sequence, message.observed_plan_version, workloads, unstored, more)


def _workload(message: wrapper_pb2.WorkloadStatus) -> Workload:
    if not TOKEN.fullmatch(message.session_id):
        raise InvalidRequest("REPORT_INVALID", "A workload names its session.", field="workloads.session_id")

    def after_s(name: str) -> float | None:
        return _seconds(getattr(message, name)) if message.HasField(name) else None

    return Workload(
        session_id=message.session_id,
        generation=message.generation,
        state=_state(message.state),
        reason=_reason(message.reason),
        reason_detail=_words(message.reason_detail),
        exit_code=message.exit_code if message.HasField("exit_code") else None,
        image_ready_after_s=after_s("image_ready_after"),
        game_started_after_s=after_s("game_started_after"),
        first_frame_after_s=after_s("first_frame_after"),
        last_activity_after_s=after_s("last_activity_after"),
        age_s=_seconds(message.age),
        usage=_usage(message.usage) if message.HasField("usage") else None,
        players=max(0, message.stream.players),
    )


def _words(text: str) -> str:
    """A game may have spoken, and one report is its whole host's: a NUL, which PostgreSQL takes from nobody, ends no
    host's reports."""
    return text.replace("\0", "")[:MAX_DETAIL_CHARACTERS]


def _usage(message: sessions_pb2.ResourceUsage) -> Usage:
    counts = ("memory_bytes", "memory_peak_bytes", "processes", "oom_kills", "disk_bytes")
    return Usage(_seconds(message.cpu_time), *(max(0, getattr(message, name)) for name in counts))


def _seconds(duration: Duration) -> float:
    seconds = min(max(duration.seconds, 0), LONGEST_S)  # what no clock has measured ends no link of a host
    return max(0.0, timedelta(seconds=seconds, microseconds=duration.nanos // 1000).total_seconds())


def _state(number: int) -> WorkloadState:
    name = wrapper_pb2.WorkloadState.Name(number) if number in wrapper_pb2.WorkloadState.values() else ""
    try:
        return WorkloadState(name.removeprefix(STATE_PREFIX))
    except ValueError as error:
        raise InvalidRequest("REPORT_INVALID", "A workload has a known state.", field="workloads.state") from error


def _reason(number: int) -> SessionReason:
    # An agent newer than we are may know a reason that we do not: its report counts all the same.
    if number not in sessions_pb2.SessionReason.values() or number == sessions_pb2.SESSION_REASON_UNSPECIFIED:
        return SessionReason.NONE
    return SessionReason(sessions_pb2.SessionReason.Name(number).removeprefix(REASON_PREFIX))
