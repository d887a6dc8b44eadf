import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import console_pb2 as _console_pb2
from quarterdeck.v1 import hosts_pb2 as _hosts_pb2
from quarterdeck.v1 import sessions_pb2 as _sessions_pb2
from quarterdeck.v1 import streaming_pb2 as _streaming_pb2
from quarterdeck.v1 import wrapper_pb2 as _wrapper_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EnrolRequest(_message.Message):
    __slots__ = ("join_token", "certificate_request")
    JOIN_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    join_token: str
    certificate_request: bytes
    def __init__(self, join_token: _Optional[str] = ..., certificate_request: _Optional[bytes] = ...) -> None: ...

class EnrolResponse(_message.Message):
    __slots__ = ("host", "certificate", "ca_certificate", "link_target")
    HOST_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CA_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    LINK_TARGET_FIELD_NUMBER: _ClassVar[int]
    host: str
    certificate: str
    ca_certificate: str
    link_target: str
    def __init__(self, host: _Optional[str] = ..., certificate: _Optional[str] = ..., ca_certificate: _Optional[str] = ..., link_target: _Optional[str] = ...) -> None: ...

class RenewCertificateRequest(_message.Message):
    __slots__ = ("certificate_request",)
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    certificate_request: bytes
    def __init__(self, certificate_request: _Optional[bytes] = ...) -> None: ...

class RenewCertificateResponse(_message.Message):
    __slots__ = ("certificate", "ca_certificate")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CA_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    certificate: str
    ca_certificate: str
    def __init__(self, certificate: _Optional[str] = ..., ca_certificate: _Optional[str] = ...) -> None: ...

class AgentMessage(_message.Message):
    __slots__ = ("hello", "heartbeat", "report", "signal", "goodbye")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    heartbeat: Heartbeat
    report: Report
    signal: ChannelSignal
    goodbye: Goodbye
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., report: _Optional[_Union[Report, _Mapping]] = ..., signal: _Optional[_Union[ChannelSignal, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ...) -> None: ...

class ControlMessage(_message.Message):
    __slots__ = ("welcome", "plan", "report_ack", "channel_open", "signal")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    REPORT_ACK_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_OPEN_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    plan: Plan
    report_ack: ReportAck
    channel_open: ChannelOpen
    signal: ChannelSignal
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., plan: _Optional[_Union[Plan, _Mapping]] = ..., report_ack: _Optional[_Union[ReportAck, _Mapping]] = ..., channel_open: _Optional[_Union[ChannelOpen, _Mapping]] = ..., signal: _Optional[_Union[ChannelSignal, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("inventory", "start_id", "addresses", "workloads")
    INVENTORY_FIELD_NUMBER: _ClassVar[int]
    START_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    inventory: _hosts_pb2.Inventory
    start_id: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    workloads: _containers.RepeatedCompositeFieldContainer[_wrapper_pb2.WorkloadStatus]
    def __init__(self, inventory: _Optional[_Union[_hosts_pb2.Inventory, _Mapping]] = ..., start_id: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., workloads: _Optional[_Iterable[_Union[_wrapper_pb2.WorkloadStatus, _Mapping]]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("epoch", "heartbeat_interval")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    heartbeat_interval: _duration_pb2.Duration
    def __init__(self, epoch: _Optional[int] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("epoch", "sequence", "observed_plan_version", "workloads", "unstored_saves", "unstored_saves_more")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_PLAN_VERSION_FIELD_NUMBER: _ClassVar[int]
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    UNSTORED_SAVES_FIELD_NUMBER: _ClassVar[int]
    UNSTORED_SAVES_MORE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    sequence: int
    observed_plan_version: int
    workloads: _containers.RepeatedCompositeFieldContainer[_wrapper_pb2.WorkloadStatus]
    unstored_saves: _containers.RepeatedCompositeFieldContainer[UnstoredSave]
    unstored_saves_more: bool
    def __init__(self, epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., observed_plan_version: _Optional[int] = ..., workloads: _Optional[_Iterable[_Union[_wrapper_pb2.WorkloadStatus, _Mapping]]] = ..., unstored_saves: _Optional[_Iterable[_Union[UnstoredSave, _Mapping]]] = ..., unstored_saves_more: _Optional[bool] = ...) -> None: ...

class UnstoredSave(_message.Message):
    __slots__ = ("session_id", "generation", "detail")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    generation: int
    detail: str
    def __init__(self, session_id: _Optional[str] = ..., generation: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class ReportAck(_message.Message):
    __slots__ = ("epoch", "sequence")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    sequence: int
    def __init__(self, epoch: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("version", "sessions")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    version: int
    sessions: _containers.RepeatedCompositeFieldContainer[PlannedSession]
    def __init__(self, version: _Optional[int] = ..., sessions: _Optional[_Iterable[_Union[PlannedSession, _Mapping]]] = ...) -> None: ...

class PlannedSession(_message.Message):
    __slots__ = ("session_id", "generation", "spec_digest", "want", "reason", "backup_id")
    class Want(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        WANT_UNSPECIFIED: _ClassVar[PlannedSession.Want]
        WANT_RUN: _ClassVar[PlannedSession.Want]
        WANT_STOP: _ClassVar[PlannedSession.Want]
    WANT_UNSPECIFIED: PlannedSession.Want
    WANT_RUN: PlannedSession.Want
    WANT_STOP: PlannedSession.Want
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SPEC_DIGEST_FIELD_NUMBER: _ClassVar[int]
    WANT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    generation: int
    spec_digest: str
    want: PlannedSession.Want
    reason: _sessions_pb2.SessionReason
    backup_id: str
    def __init__(self, session_id: _Optional[str] = ..., generation: _Optional[int] = ..., spec_digest: _Optional[str] = ..., want: _Optional[_Union[PlannedSession.Want, str]] = ..., reason: _Optional[_Union[_sessions_pb2.SessionReason, str]] = ..., backup_id: _Optional[str] = ...) -> None: ...

class FetchSpecsRequest(_message.Message):
    __slots__ = ("digests",)
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    digests: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, digests: _Optional[_Iterable[str]] = ...) -> None: ...

class FetchSpecsResponse(_message.Message):
    __slots__ = ("specs",)
    class SpecsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    SPECS_FIELD_NUMBER: _ClassVar[int]
    specs: _containers.ScalarMap[str, bytes]
    def __init__(self, specs: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class AppendLogRequest(_message.Message):
    __slots__ = ("session_id", "generation", "records", "complete")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    generation: int
    records: bytes
    complete: bool
    def __init__(self, session_id: _Optional[str] = ..., generation: _Optional[int] = ..., records: _Optional[bytes] = ..., complete: _Optional[bool] = ...) -> None: ...

class AppendLogResponse(_message.Message):
    __slots__ = ("acknowledged_sequence",)
    ACKNOWLEDGED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    acknowledged_sequence: int
    def __init__(self, acknowledged_sequence: _Optional[int] = ...) -> None: ...

class ChannelOpen(_message.Message):
    __slots__ = ("channel_id", "session_id", "generation", "role", "expire_time", "console")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CONSOLE_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    session_id: str
    generation: int
    role: _streaming_pb2.StreamRole
    expire_time: _timestamp_pb2.Timestamp
    console: ConsoleOpen
    def __init__(self, channel_id: _Optional[str] = ..., session_id: _Optional[str] = ..., generation: _Optional[int] = ..., role: _Optional[_Union[_streaming_pb2.StreamRole, str]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., console: _Optional[_Union[ConsoleOpen, _Mapping]] = ...) -> None: ...

class ConsoleOpen(_message.Message):
    __slots__ = ("after_sequence", "lines")
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    after_sequence: int
    lines: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, after_sequence: _Optional[int] = ..., lines: _Optional[_Iterable[str]] = ...) -> None: ...

class ConsoleTaken(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class ChannelSignal(_message.Message):
    __slots__ = ("channel_id", "signal", "console_output", "console_taken")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    CONSOLE_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    CONSOLE_TAKEN_FIELD_NUMBER: _ClassVar[int]
    channel_id: str
    signal: _streaming_pb2.Signal
    console_output: _console_pb2.ConsoleOutput
    console_taken: ConsoleTaken
    def __init__(self, channel_id: _Optional[str] = ..., signal: _Optional[_Union[_streaming_pb2.Signal, _Mapping]] = ..., console_output: _Optional[_Union[_console_pb2.ConsoleOutput, _Mapping]] = ..., console_taken: _Optional[_Union[ConsoleTaken, _Mapping]] = ...) -> None: ...

class StoreArchiveRequest(_message.Message):
    __slots__ = ("header", "chunk", "end", "failure")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    header: ArchiveHeader
    chunk: bytes
    end: ArchiveEnd
    failure: ArchiveFailure
    def __init__(self, header: _Optional[_Union[ArchiveHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ..., end: _Optional[_Union[ArchiveEnd, _Mapping]] = ..., failure: _Optional[_Union[ArchiveFailure, _Mapping]] = ...) -> None: ...

class ArchiveFailure(_message.Message):
    __slots__ = ("reason", "detail")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    reason: str
    detail: str
    def __init__(self, reason: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class ArchiveHeader(_message.Message):
    __slots__ = ("session_id", "generation", "archive_id", "final", "backup_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_ID_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    BACKUP_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    generation: int
    archive_id: str
    final: bool
    backup_id: str
    def __init__(self, session_id: _Optional[str] = ..., generation: _Optional[int] = ..., archive_id: _Optional[str] = ..., final: _Optional[bool] = ..., backup_id: _Optional[str] = ...) -> None: ...

class ArchiveEnd(_message.Message):
    __slots__ = ("sha256", "content_bytes", "files")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CONTENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    content_bytes: int
    files: int
    def __init__(self, sha256: _Optional[str] = ..., content_bytes: _Optional[int] = ..., files: _Optional[int] = ...) -> None: ...

class StoreArchiveResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FetchArchiveRequest(_message.Message):
    __slots__ = ("session_id", "generation")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    generation: int
    def __init__(self, session_id: _Optional[str] = ..., generation: _Optional[int] = ...) -> None: ...

class FetchArchiveResponse(_message.Message):
    __slots__ = ("found", "chunk")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    found: FoundArchive
    chunk: bytes
    def __init__(self, found: _Optional[_Union[FoundArchive, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class FoundArchive(_message.Message):
    __slots__ = ("name", "size_bytes", "sha256", "content_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CONTENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    size_bytes: int
    sha256: str
    content_bytes: int
    def __init__(self, name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., content_bytes: _Optional[int] = ...) -> None: ...
