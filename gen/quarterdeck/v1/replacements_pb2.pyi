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

class ReplacementState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLACEMENT_STATE_UNSPECIFIED: _ClassVar[ReplacementState]
    REPLACEMENT_STATE_QUEUED: _ClassVar[ReplacementState]
    REPLACEMENT_STATE_RENTING: _ClassVar[ReplacementState]
    REPLACEMENT_STATE_DRAINING: _ClassVar[ReplacementState]
    REPLACEMENT_STATE_DONE: _ClassVar[ReplacementState]
    REPLACEMENT_STATE_FAILED: _ClassVar[ReplacementState]
    REPLACEMENT_STATE_CANCELLED: _ClassVar[ReplacementState]
REPLACEMENT_STATE_UNSPECIFIED: ReplacementState
REPLACEMENT_STATE_QUEUED: ReplacementState
REPLACEMENT_STATE_RENTING: ReplacementState
REPLACEMENT_STATE_DRAINING: ReplacementState
REPLACEMENT_STATE_DONE: ReplacementState
REPLACEMENT_STATE_FAILED: ReplacementState
REPLACEMENT_STATE_CANCELLED: ReplacementState

class Replacement(_message.Message):
    __slots__ = ("name", "series", "scope", "vm", "successor", "state", "detail", "create_time", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    SUCCESSOR_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    series: str
    scope: str
    vm: str
    successor: str
    state: ReplacementState
    detail: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., series: _Optional[str] = ..., scope: _Optional[str] = ..., vm: _Optional[str] = ..., successor: _Optional[str] = ..., state: _Optional[_Union[ReplacementState, str]] = ..., detail: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReplaceVmsRequest(_message.Message):
    __slots__ = ("scope", "client_token")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scope: str
    client_token: str
    def __init__(self, scope: _Optional[str] = ..., client_token: _Optional[str] = ...) -> None: ...

class ReplaceVmsResponse(_message.Message):
    __slots__ = ("replacements",)
    REPLACEMENTS_FIELD_NUMBER: _ClassVar[int]
    replacements: _containers.RepeatedCompositeFieldContainer[Replacement]
    def __init__(self, replacements: _Optional[_Iterable[_Union[Replacement, _Mapping]]] = ...) -> None: ...

class ListReplacementsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListReplacementsResponse(_message.Message):
    __slots__ = ("replacements", "next_page_token")
    REPLACEMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    replacements: _containers.RepeatedCompositeFieldContainer[Replacement]
    next_page_token: str
    def __init__(self, replacements: _Optional[_Iterable[_Union[Replacement, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelReplacementsRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...
