from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateStreamUrlRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class StreamUrl(_message.Message):
    __slots__ = ("session_id", "signaling_url", "stream_token", "expires_at", "ice_servers")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNALING_URL_FIELD_NUMBER: _ClassVar[int]
    STREAM_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    ICE_SERVERS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    signaling_url: str
    stream_token: str
    expires_at: str
    ice_servers: _containers.RepeatedCompositeFieldContainer[StreamIceServer]
    def __init__(self, session_id: _Optional[str] = ..., signaling_url: _Optional[str] = ..., stream_token: _Optional[str] = ..., expires_at: _Optional[str] = ..., ice_servers: _Optional[_Iterable[_Union[StreamIceServer, _Mapping]]] = ...) -> None: ...

class StreamIceServer(_message.Message):
    __slots__ = ("urls", "username", "credential")
    URLS_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    urls: _containers.RepeatedScalarFieldContainer[str]
    username: str
    credential: str
    def __init__(self, urls: _Optional[_Iterable[str]] = ..., username: _Optional[str] = ..., credential: _Optional[str] = ...) -> None: ...

class GetStreamStatusRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class StreamStatus(_message.Message):
    __slots__ = ("session_id", "status", "connected", "connections", "session_status")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    SESSION_STATUS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    status: str
    connected: bool
    connections: int
    session_status: str
    def __init__(self, session_id: _Optional[str] = ..., status: _Optional[str] = ..., connected: _Optional[bool] = ..., connections: _Optional[int] = ..., session_status: _Optional[str] = ...) -> None: ...
