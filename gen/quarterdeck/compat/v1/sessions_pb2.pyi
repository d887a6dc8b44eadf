from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from quarterdeck.compat.v1 import orchestrator_pb2 as _orchestrator_pb2
from quarterdeck.compat.v1 import streaming_pb2 as _streaming_pb2
from quarterdeck.v1 import placement_pb2 as _placement_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StartSessionRequest(_message.Message):
    __slots__ = ("game_id", "region", "preset", "client_token", "coordinates", "territory")
    GAME_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    TERRITORY_FIELD_NUMBER: _ClassVar[int]
    game_id: str
    region: str
    preset: str
    client_token: str
    coordinates: _placement_pb2.Coordinates
    territory: str
    def __init__(self, game_id: _Optional[str] = ..., region: _Optional[str] = ..., preset: _Optional[str] = ..., client_token: _Optional[str] = ..., coordinates: _Optional[_Union[_placement_pb2.Coordinates, _Mapping]] = ..., territory: _Optional[str] = ...) -> None: ...

class StartedSession(_message.Message):
    __slots__ = ("session_id", "game_id", "vm_id", "region", "status", "webrtc", "streaming_preset", "created_at", "passed_over")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GAME_ID_FIELD_NUMBER: _ClassVar[int]
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WEBRTC_FIELD_NUMBER: _ClassVar[int]
    STREAMING_PRESET_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    PASSED_OVER_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    game_id: str
    vm_id: str
    region: str
    status: str
    webrtc: _streaming_pb2.StreamUrl
    streaming_preset: StreamingPreset
    created_at: str
    passed_over: _containers.RepeatedCompositeFieldContainer[_orchestrator_pb2.PassedOver]
    def __init__(self, session_id: _Optional[str] = ..., game_id: _Optional[str] = ..., vm_id: _Optional[str] = ..., region: _Optional[str] = ..., status: _Optional[str] = ..., webrtc: _Optional[_Union[_streaming_pb2.StreamUrl, _Mapping]] = ..., streaming_preset: _Optional[_Union[StreamingPreset, _Mapping]] = ..., created_at: _Optional[str] = ..., passed_over: _Optional[_Iterable[_Union[_orchestrator_pb2.PassedOver, _Mapping]]] = ...) -> None: ...

class StreamingPreset(_message.Message):
    __slots__ = ("preset_id", "target_resolution", "target_fps", "bitrate_range", "encoder_preset", "max_concurrent_sessions_per_vm")
    PRESET_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FPS_FIELD_NUMBER: _ClassVar[int]
    BITRATE_RANGE_FIELD_NUMBER: _ClassVar[int]
    ENCODER_PRESET_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENT_SESSIONS_PER_VM_FIELD_NUMBER: _ClassVar[int]
    preset_id: str
    target_resolution: str
    target_fps: int
    bitrate_range: BitrateRange
    encoder_preset: str
    max_concurrent_sessions_per_vm: int
    def __init__(self, preset_id: _Optional[str] = ..., target_resolution: _Optional[str] = ..., target_fps: _Optional[int] = ..., bitrate_range: _Optional[_Union[BitrateRange, _Mapping]] = ..., encoder_preset: _Optional[str] = ..., max_concurrent_sessions_per_vm: _Optional[int] = ...) -> None: ...

class BitrateRange(_message.Message):
    __slots__ = ("min", "max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    min: int
    max: int
    def __init__(self, min: _Optional[int] = ..., max: _Optional[int] = ...) -> None: ...
