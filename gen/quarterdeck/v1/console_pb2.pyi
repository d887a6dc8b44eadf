import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LogStream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOG_STREAM_UNSPECIFIED: _ClassVar[LogStream]
    LOG_STREAM_STDOUT: _ClassVar[LogStream]
    LOG_STREAM_STDERR: _ClassVar[LogStream]
    LOG_STREAM_WRAPPER: _ClassVar[LogStream]
LOG_STREAM_UNSPECIFIED: LogStream
LOG_STREAM_STDOUT: LogStream
LOG_STREAM_STDERR: LogStream
LOG_STREAM_WRAPPER: LogStream

class ConsoleLine(_message.Message):
    __slots__ = ("sequence", "text", "time", "stream")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    text: str
    time: _timestamp_pb2.Timestamp
    stream: LogStream
    def __init__(self, sequence: _Optional[int] = ..., text: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stream: _Optional[_Union[LogStream, str]] = ...) -> None: ...

class ConsoleOutput(_message.Message):
    __slots__ = ("lines", "missed")
    LINES_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[ConsoleLine]
    missed: int
    def __init__(self, lines: _Optional[_Iterable[_Union[ConsoleLine, _Mapping]]] = ..., missed: _Optional[int] = ...) -> None: ...

class StreamConsoleRequest(_message.Message):
    __slots__ = ("session", "after_sequence")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    session: str
    after_sequence: int
    def __init__(self, session: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class SendConsoleInputRequest(_message.Message):
    __slots__ = ("session", "lines")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    session: str
    lines: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, session: _Optional[str] = ..., lines: _Optional[_Iterable[str]] = ...) -> None: ...

class SendConsoleInputResponse(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class ExecuteActionRequest(_message.Message):
    __slots__ = ("session", "action", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    session: str
    action: str
    parameters: _containers.ScalarMap[str, str]
    def __init__(self, session: _Optional[str] = ..., action: _Optional[str] = ..., parameters: _Optional[_Mapping[str, str]] = ...) -> None: ...
