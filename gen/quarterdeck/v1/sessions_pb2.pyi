import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import games_pb2 as _games_pb2
from quarterdeck.v1 import placement_pb2 as _placement_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_STATE_UNSPECIFIED: _ClassVar[SessionState]
    SESSION_STATE_PENDING: _ClassVar[SessionState]
    SESSION_STATE_STARTING: _ClassVar[SessionState]
    SESSION_STATE_RUNNING: _ClassVar[SessionState]
    SESSION_STATE_STOPPING: _ClassVar[SessionState]
    SESSION_STATE_STOPPED: _ClassVar[SessionState]
    SESSION_STATE_COMPLETED: _ClassVar[SessionState]
    SESSION_STATE_CRASHED: _ClassVar[SessionState]
    SESSION_STATE_LOST: _ClassVar[SessionState]
    SESSION_STATE_REJECTED: _ClassVar[SessionState]

class SessionReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_REASON_UNSPECIFIED: _ClassVar[SessionReason]
    SESSION_REASON_STOP_REQUESTED: _ClassVar[SessionReason]
    SESSION_REASON_CANCELLED: _ClassVar[SessionReason]
    SESSION_REASON_GAME_EXITED: _ClassVar[SessionReason]
    SESSION_REASON_GAME_CRASHED: _ClassVar[SessionReason]
    SESSION_REASON_START_FAILED: _ClassVar[SessionReason]
    SESSION_REASON_IDLE: _ClassVar[SessionReason]
    SESSION_REASON_DISCONNECTED: _ClassVar[SessionReason]
    SESSION_REASON_MAX_DURATION: _ClassVar[SessionReason]
    SESSION_REASON_HOST_LOST: _ClassVar[SessionReason]
    SESSION_REASON_WRAPPER_LOST: _ClassVar[SessionReason]
    SESSION_REASON_QUEUE_DEADLINE: _ClassVar[SessionReason]
    SESSION_REASON_LEASE_EXPIRED: _ClassVar[SessionReason]
    SESSION_REASON_VM_TERMINATED: _ClassVar[SessionReason]
    SESSION_REASON_PORT_TAKEN: _ClassVar[SessionReason]
    SESSION_REASON_SAVE_NOT_RESTORED: _ClassVar[SessionReason]
    SESSION_REASON_NEVER_STARTED: _ClassVar[SessionReason]
    SESSION_REASON_OUT_OF_MEMORY: _ClassVar[SessionReason]
    SESSION_REASON_IMAGE_NOT_FOUND: _ClassVar[SessionReason]
    SESSION_REASON_IMAGE_DENIED: _ClassVar[SessionReason]
    SESSION_REASON_REGISTRY_UNREACHABLE: _ClassVar[SessionReason]
    SESSION_REASON_IMAGE_CORRUPT: _ClassVar[SessionReason]
    SESSION_REASON_DISK_LIMIT: _ClassVar[SessionReason]
SESSION_STATE_UNSPECIFIED: SessionState
SESSION_STATE_PENDING: SessionState
SESSION_STATE_STARTING: SessionState
SESSION_STATE_RUNNING: SessionState
SESSION_STATE_STOPPING: SessionState
SESSION_STATE_STOPPED: SessionState
SESSION_STATE_COMPLETED: SessionState
SESSION_STATE_CRASHED: SessionState
SESSION_STATE_LOST: SessionState
SESSION_STATE_REJECTED: SessionState
SESSION_REASON_UNSPECIFIED: SessionReason
SESSION_REASON_STOP_REQUESTED: SessionReason
SESSION_REASON_CANCELLED: SessionReason
SESSION_REASON_GAME_EXITED: SessionReason
SESSION_REASON_GAME_CRASHED: SessionReason
SESSION_REASON_START_FAILED: SessionReason
SESSION_REASON_IDLE: SessionReason
SESSION_REASON_DISCONNECTED: SessionReason
SESSION_REASON_MAX_DURATION: SessionReason
SESSION_REASON_HOST_LOST: SessionReason
SESSION_REASON_WRAPPER_LOST: SessionReason
SESSION_REASON_QUEUE_DEADLINE: SessionReason
SESSION_REASON_LEASE_EXPIRED: SessionReason
SESSION_REASON_VM_TERMINATED: SessionReason
SESSION_REASON_PORT_TAKEN: SessionReason
SESSION_REASON_SAVE_NOT_RESTORED: SessionReason
SESSION_REASON_NEVER_STARTED: SessionReason
SESSION_REASON_OUT_OF_MEMORY: SessionReason
SESSION_REASON_IMAGE_NOT_FOUND: SessionReason
SESSION_REASON_IMAGE_DENIED: SessionReason
SESSION_REASON_REGISTRY_UNREACHABLE: SessionReason
SESSION_REASON_IMAGE_CORRUPT: SessionReason
SESSION_REASON_DISK_LIMIT: SessionReason

class SessionStages(_message.Message):
    __slots__ = ("allocated_time", "image_ready_time", "game_started_time", "first_frame_time")
    ALLOCATED_TIME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_READY_TIME_FIELD_NUMBER: _ClassVar[int]
    GAME_STARTED_TIME_FIELD_NUMBER: _ClassVar[int]
    FIRST_FRAME_TIME_FIELD_NUMBER: _ClassVar[int]
    allocated_time: _timestamp_pb2.Timestamp
    image_ready_time: _timestamp_pb2.Timestamp
    game_started_time: _timestamp_pb2.Timestamp
    first_frame_time: _timestamp_pb2.Timestamp
    def __init__(self, allocated_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., image_ready_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., game_started_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., first_frame_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SessionLimits(_message.Message):
    __slots__ = ("idle_timeout", "disconnect_timeout", "max_duration")
    IDLE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_DURATION_FIELD_NUMBER: _ClassVar[int]
    idle_timeout: _duration_pb2.Duration
    disconnect_timeout: _duration_pb2.Duration
    max_duration: _duration_pb2.Duration
    def __init__(self, idle_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., disconnect_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PortLease(_message.Message):
    __slots__ = ("port_name", "protocol", "host_port", "game_port")
    class Protocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PROTOCOL_UNSPECIFIED: _ClassVar[PortLease.Protocol]
        PROTOCOL_TCP: _ClassVar[PortLease.Protocol]
        PROTOCOL_UDP: _ClassVar[PortLease.Protocol]
    PROTOCOL_UNSPECIFIED: PortLease.Protocol
    PROTOCOL_TCP: PortLease.Protocol
    PROTOCOL_UDP: PortLease.Protocol
    PORT_NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    HOST_PORT_FIELD_NUMBER: _ClassVar[int]
    GAME_PORT_FIELD_NUMBER: _ClassVar[int]
    port_name: str
    protocol: PortLease.Protocol
    host_port: int
    game_port: int
    def __init__(self, port_name: _Optional[str] = ..., protocol: _Optional[_Union[PortLease.Protocol, str]] = ..., host_port: _Optional[int] = ..., game_port: _Optional[int] = ...) -> None: ...

class ResourceUsage(_message.Message):
    __slots__ = ("cpu_time", "memory_bytes", "memory_peak_bytes", "processes", "oom_kills", "disk_bytes")
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    OOM_KILLS_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    cpu_time: _duration_pb2.Duration
    memory_bytes: int
    memory_peak_bytes: int
    processes: int
    oom_kills: int
    disk_bytes: int
    def __init__(self, cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., memory_bytes: _Optional[int] = ..., memory_peak_bytes: _Optional[int] = ..., processes: _Optional[int] = ..., oom_kills: _Optional[int] = ..., disk_bytes: _Optional[int] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("name", "game", "deployment", "preset", "region", "vm", "state", "reason", "reason_detail", "exit_code", "unreachable", "generation", "stages", "limits", "lost_after", "ports", "create_time", "update_time", "end_time", "running_duration", "queue_position", "queue_deadline", "streamed", "connected_players", "passed_over", "queue_estimate", "last_activity_time", "save", "usage", "progress", "gpu_index")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GAME_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REASON_DETAIL_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    UNREACHABLE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LOST_AFTER_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    RUNNING_DURATION_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    QUEUE_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    STREAMED_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_PLAYERS_FIELD_NUMBER: _ClassVar[int]
    PASSED_OVER_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    LAST_ACTIVITY_TIME_FIELD_NUMBER: _ClassVar[int]
    SAVE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    GPU_INDEX_FIELD_NUMBER: _ClassVar[int]
    name: str
    game: str
    deployment: str
    preset: str
    region: str
    vm: str
    state: SessionState
    reason: SessionReason
    reason_detail: str
    exit_code: int
    unreachable: bool
    generation: int
    stages: SessionStages
    limits: SessionLimits
    lost_after: _duration_pb2.Duration
    ports: _containers.RepeatedCompositeFieldContainer[PortLease]
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    running_duration: _duration_pb2.Duration
    queue_position: int
    queue_deadline: _timestamp_pb2.Timestamp
    streamed: bool
    connected_players: int
    passed_over: _containers.RepeatedCompositeFieldContainer[_placement_pb2.PassedOver]
    queue_estimate: _duration_pb2.Duration
    last_activity_time: _timestamp_pb2.Timestamp
    save: str
    usage: ResourceUsage
    progress: str
    gpu_index: int
    def __init__(self, name: _Optional[str] = ..., game: _Optional[str] = ..., deployment: _Optional[str] = ..., preset: _Optional[str] = ..., region: _Optional[str] = ..., vm: _Optional[str] = ..., state: _Optional[_Union[SessionState, str]] = ..., reason: _Optional[_Union[SessionReason, str]] = ..., reason_detail: _Optional[str] = ..., exit_code: _Optional[int] = ..., unreachable: _Optional[bool] = ..., generation: _Optional[int] = ..., stages: _Optional[_Union[SessionStages, _Mapping]] = ..., limits: _Optional[_Union[SessionLimits, _Mapping]] = ..., lost_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., ports: _Optional[_Iterable[_Union[PortLease, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., running_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., queue_position: _Optional[int] = ..., queue_deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., streamed: _Optional[bool] = ..., connected_players: _Optional[int] = ..., passed_over: _Optional[_Iterable[_Union[_placement_pb2.PassedOver, _Mapping]]] = ..., queue_estimate: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., last_activity_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., save: _Optional[str] = ..., usage: _Optional[_Union[ResourceUsage, _Mapping]] = ..., progress: _Optional[str] = ..., gpu_index: _Optional[int] = ...) -> None: ...

class CreateSessionRequest(_message.Message):
    __slots__ = ("game", "preset", "region", "client_token", "limits", "lost_after", "wait_until_playable", "queue_timeout", "coordinates", "territory", "parameters", "file_patches", "save_id")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FilePatchesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Struct
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
    GAME_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LOST_AFTER_FIELD_NUMBER: _ClassVar[int]
    WAIT_UNTIL_PLAYABLE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    TERRITORY_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    FILE_PATCHES_FIELD_NUMBER: _ClassVar[int]
    SAVE_ID_FIELD_NUMBER: _ClassVar[int]
    game: str
    preset: str
    region: str
    client_token: str
    limits: SessionLimits
    lost_after: _duration_pb2.Duration
    wait_until_playable: bool
    queue_timeout: _duration_pb2.Duration
    coordinates: _placement_pb2.Coordinates
    territory: str
    parameters: _containers.ScalarMap[str, str]
    file_patches: _containers.MessageMap[str, _struct_pb2.Struct]
    save_id: str
    def __init__(self, game: _Optional[str] = ..., preset: _Optional[str] = ..., region: _Optional[str] = ..., client_token: _Optional[str] = ..., limits: _Optional[_Union[SessionLimits, _Mapping]] = ..., lost_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wait_until_playable: _Optional[bool] = ..., queue_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., coordinates: _Optional[_Union[_placement_pb2.Coordinates, _Mapping]] = ..., territory: _Optional[str] = ..., parameters: _Optional[_Mapping[str, str]] = ..., file_patches: _Optional[_Mapping[str, _struct_pb2.Struct]] = ..., save_id: _Optional[str] = ...) -> None: ...

class AssignSessionRequest(_message.Message):
    __slots__ = ("name", "vm")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    name: str
    vm: str
    def __init__(self, name: _Optional[str] = ..., vm: _Optional[str] = ...) -> None: ...

class ReleaseSessionRequest(_message.Message):
    __slots__ = ("name", "vm")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    name: str
    vm: str
    def __init__(self, name: _Optional[str] = ..., vm: _Optional[str] = ...) -> None: ...

class GetSessionConfigurationRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states", "vm")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[SessionState]
    vm: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[SessionState, str]]] = ..., vm: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchSessionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class StopSessionRequest(_message.Message):
    __slots__ = ("name", "wait")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    wait: bool
    def __init__(self, name: _Optional[str] = ..., wait: _Optional[bool] = ...) -> None: ...
