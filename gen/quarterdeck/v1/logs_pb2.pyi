import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import console_pb2 as _console_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LogLine(_message.Message):
    __slots__ = ("generation", "sequence", "time", "stream", "text")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    generation: int
    sequence: int
    time: _timestamp_pb2.Timestamp
    stream: _console_pb2.LogStream
    text: str
    def __init__(self, generation: _Optional[int] = ..., sequence: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stream: _Optional[_Union[_console_pb2.LogStream, str]] = ..., text: _Optional[str] = ...) -> None: ...

class Log(_message.Message):
    __slots__ = ("name", "lines", "dropped_lines", "bytes", "complete", "last_store_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_LINES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    LAST_STORE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    lines: int
    dropped_lines: int
    bytes: int
    complete: bool
    last_store_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., lines: _Optional[int] = ..., dropped_lines: _Optional[int] = ..., bytes: _Optional[int] = ..., complete: _Optional[bool] = ..., last_store_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetLogRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListLogLinesRequest(_message.Message):
    __slots__ = ("session", "page_size", "page_token", "start_time", "end_time", "contains", "pattern", "streams", "newest_first")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    CONTAINS_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIRST_FIELD_NUMBER: _ClassVar[int]
    session: str
    page_size: int
    page_token: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    contains: str
    pattern: str
    streams: _containers.RepeatedScalarFieldContainer[_console_pb2.LogStream]
    newest_first: bool
    def __init__(self, session: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., contains: _Optional[str] = ..., pattern: _Optional[str] = ..., streams: _Optional[_Iterable[_Union[_console_pb2.LogStream, str]]] = ..., newest_first: _Optional[bool] = ...) -> None: ...

class ListLogLinesResponse(_message.Message):
    __slots__ = ("lines", "next_page_token")
    LINES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[LogLine]
    next_page_token: str
    def __init__(self, lines: _Optional[_Iterable[_Union[LogLine, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class FollowLogsRequest(_message.Message):
    __slots__ = ("session", "after_generation", "after_sequence")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    AFTER_GENERATION_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session: str
    after_generation: int
    after_sequence: int
    def __init__(self, session: _Optional[str] = ..., after_generation: _Optional[int] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class FollowLogsResponse(_message.Message):
    __slots__ = ("lines", "missed")
    LINES_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[LogLine]
    missed: int
    def __init__(self, lines: _Optional[_Iterable[_Union[LogLine, _Mapping]]] = ..., missed: _Optional[int] = ...) -> None: ...

class GetLogHistogramRequest(_message.Message):
    __slots__ = ("session", "start_time", "end_time", "bucket")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    session: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    bucket: _duration_pb2.Duration
    def __init__(self, session: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., bucket: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class LogHistogram(_message.Message):
    __slots__ = ("bucket", "buckets")
    class Bucket(_message.Message):
        __slots__ = ("start_time", "stdout_lines", "stderr_lines", "wrapper_lines")
        START_TIME_FIELD_NUMBER: _ClassVar[int]
        STDOUT_LINES_FIELD_NUMBER: _ClassVar[int]
        STDERR_LINES_FIELD_NUMBER: _ClassVar[int]
        WRAPPER_LINES_FIELD_NUMBER: _ClassVar[int]
        start_time: _timestamp_pb2.Timestamp
        stdout_lines: int
        stderr_lines: int
        wrapper_lines: int
        def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stdout_lines: _Optional[int] = ..., stderr_lines: _Optional[int] = ..., wrapper_lines: _Optional[int] = ...) -> None: ...
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    bucket: _duration_pb2.Duration
    buckets: _containers.RepeatedCompositeFieldContainer[LogHistogram.Bucket]
    def __init__(self, bucket: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., buckets: _Optional[_Iterable[_Union[LogHistogram.Bucket, _Mapping]]] = ...) -> None: ...
