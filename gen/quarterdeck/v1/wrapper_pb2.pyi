import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from quarterdeck.v1 import console_pb2 as _console_pb2
from quarterdeck.v1 import games_pb2 as _games_pb2
from quarterdeck.v1 import sessions_pb2 as _sessions_pb2
from quarterdeck.v1 import streaming_pb2 as _streaming_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkloadState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKLOAD_STATE_UNSPECIFIED: _ClassVar[WorkloadState]
    WORKLOAD_STATE_STARTING: _ClassVar[WorkloadState]
    WORKLOAD_STATE_RUNNING: _ClassVar[WorkloadState]
    WORKLOAD_STATE_STOPPING: _ClassVar[WorkloadState]
    WORKLOAD_STATE_EXITED: _ClassVar[WorkloadState]
WORKLOAD_STATE_UNSPECIFIED: WorkloadState
WORKLOAD_STATE_STARTING: WorkloadState
WORKLOAD_STATE_RUNNING: WorkloadState
WORKLOAD_STATE_STOPPING: WorkloadState
WORKLOAD_STATE_EXITED: WorkloadState

class SessionSpec(_message.Message):
    __slots__ = ("session_id", "generation", "project", "deployment", "video", "ports", "limits", "ice_servers", "advertised_addresses", "loopback_candidate", "lease", "files", "save", "gpu_index")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ICE_SERVERS_FIELD_NUMBER: _ClassVar[int]
    ADVERTISED_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    LOOPBACK_CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    SAVE_FIELD_NUMBER: _ClassVar[int]
    GPU_INDEX_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    generation: int
    project: str
    deployment: _games_pb2.Deployment
    video: VideoSpec
    ports: _containers.RepeatedCompositeFieldContainer[_sessions_pb2.PortLease]
    limits: _sessions_pb2.SessionLimits
    ice_servers: _containers.RepeatedCompositeFieldContainer[_streaming_pb2.IceServer]
    advertised_addresses: _containers.RepeatedScalarFieldContainer[str]
    loopback_candidate: bool
    lease: _duration_pb2.Duration
    files: _containers.RepeatedCompositeFieldContainer[RenderedFile]
    save: str
    gpu_index: int
    def __init__(self, session_id: _Optional[str] = ..., generation: _Optional[int] = ..., project: _Optional[str] = ..., deployment: _Optional[_Union[_games_pb2.Deployment, _Mapping]] = ..., video: _Optional[_Union[VideoSpec, _Mapping]] = ..., ports: _Optional[_Iterable[_Union[_sessions_pb2.PortLease, _Mapping]]] = ..., limits: _Optional[_Union[_sessions_pb2.SessionLimits, _Mapping]] = ..., ice_servers: _Optional[_Iterable[_Union[_streaming_pb2.IceServer, _Mapping]]] = ..., advertised_addresses: _Optional[_Iterable[str]] = ..., loopback_candidate: _Optional[bool] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., files: _Optional[_Iterable[_Union[RenderedFile, _Mapping]]] = ..., save: _Optional[str] = ..., gpu_index: _Optional[int] = ...) -> None: ...

class RenderedFile(_message.Message):
    __slots__ = ("path", "content")
    PATH_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    path: str
    content: bytes
    def __init__(self, path: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class VideoSpec(_message.Message):
    __slots__ = ("width", "height", "fps", "bitrate_kbps", "min_bitrate_kbps", "max_bitrate_kbps", "encoder_preset")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    BITRATE_KBPS_FIELD_NUMBER: _ClassVar[int]
    MIN_BITRATE_KBPS_FIELD_NUMBER: _ClassVar[int]
    MAX_BITRATE_KBPS_FIELD_NUMBER: _ClassVar[int]
    ENCODER_PRESET_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    fps: int
    bitrate_kbps: int
    min_bitrate_kbps: int
    max_bitrate_kbps: int
    encoder_preset: str
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., fps: _Optional[int] = ..., bitrate_kbps: _Optional[int] = ..., min_bitrate_kbps: _Optional[int] = ..., max_bitrate_kbps: _Optional[int] = ..., encoder_preset: _Optional[str] = ...) -> None: ...

class WorkloadStatus(_message.Message):
    __slots__ = ("session_id", "generation", "state", "reason", "reason_detail", "exit_code", "image_ready_after", "game_started_after", "first_frame_after", "age", "stream", "game_pid", "wrapper_pid", "last_activity_after", "usage")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REASON_DETAIL_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_READY_AFTER_FIELD_NUMBER: _ClassVar[int]
    GAME_STARTED_AFTER_FIELD_NUMBER: _ClassVar[int]
    FIRST_FRAME_AFTER_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GAME_PID_FIELD_NUMBER: _ClassVar[int]
    WRAPPER_PID_FIELD_NUMBER: _ClassVar[int]
    LAST_ACTIVITY_AFTER_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    generation: int
    state: WorkloadState
    reason: _sessions_pb2.SessionReason
    reason_detail: str
    exit_code: int
    image_ready_after: _duration_pb2.Duration
    game_started_after: _duration_pb2.Duration
    first_frame_after: _duration_pb2.Duration
    age: _duration_pb2.Duration
    stream: StreamFigures
    game_pid: int
    wrapper_pid: int
    last_activity_after: _duration_pb2.Duration
    usage: _sessions_pb2.ResourceUsage
    def __init__(self, session_id: _Optional[str] = ..., generation: _Optional[int] = ..., state: _Optional[_Union[WorkloadState, str]] = ..., reason: _Optional[_Union[_sessions_pb2.SessionReason, str]] = ..., reason_detail: _Optional[str] = ..., exit_code: _Optional[int] = ..., image_ready_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., game_started_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_frame_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., stream: _Optional[_Union[StreamFigures, _Mapping]] = ..., game_pid: _Optional[int] = ..., wrapper_pid: _Optional[int] = ..., last_activity_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., usage: _Optional[_Union[_sessions_pb2.ResourceUsage, _Mapping]] = ...) -> None: ...

class StreamFigures(_message.Message):
    __slots__ = ("encoder_name", "players", "viewers", "encoded_fps", "bitrate_kbps", "round_trip_ms", "encode_ms", "idle", "sound_kbps")
    ENCODER_NAME_FIELD_NUMBER: _ClassVar[int]
    PLAYERS_FIELD_NUMBER: _ClassVar[int]
    VIEWERS_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FPS_FIELD_NUMBER: _ClassVar[int]
    BITRATE_KBPS_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_MS_FIELD_NUMBER: _ClassVar[int]
    ENCODE_MS_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    SOUND_KBPS_FIELD_NUMBER: _ClassVar[int]
    encoder_name: str
    players: int
    viewers: int
    encoded_fps: float
    bitrate_kbps: int
    round_trip_ms: float
    encode_ms: float
    idle: _duration_pb2.Duration
    sound_kbps: int
    def __init__(self, encoder_name: _Optional[str] = ..., players: _Optional[int] = ..., viewers: _Optional[int] = ..., encoded_fps: _Optional[float] = ..., bitrate_kbps: _Optional[int] = ..., round_trip_ms: _Optional[float] = ..., encode_ms: _Optional[float] = ..., idle: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., sound_kbps: _Optional[int] = ...) -> None: ...

class WatchStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WrapperSignalRequest(_message.Message):
    __slots__ = ("open", "signal")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    open: SignalOpen
    signal: _streaming_pb2.Signal
    def __init__(self, open: _Optional[_Union[SignalOpen, _Mapping]] = ..., signal: _Optional[_Union[_streaming_pb2.Signal, _Mapping]] = ...) -> None: ...

class SignalOpen(_message.Message):
    __slots__ = ("role",)
    ROLE_FIELD_NUMBER: _ClassVar[int]
    role: _streaming_pb2.StreamRole
    def __init__(self, role: _Optional[_Union[_streaming_pb2.StreamRole, str]] = ...) -> None: ...

class WrapperSignalResponse(_message.Message):
    __slots__ = ("signal",)
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    signal: _streaming_pb2.Signal
    def __init__(self, signal: _Optional[_Union[_streaming_pb2.Signal, _Mapping]] = ...) -> None: ...

class StopWorkloadRequest(_message.Message):
    __slots__ = ("reason", "grace")
    REASON_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    reason: _sessions_pb2.SessionReason
    grace: _duration_pb2.Duration
    def __init__(self, reason: _Optional[_Union[_sessions_pb2.SessionReason, str]] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StopWorkloadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RenewLeaseRequest(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: _duration_pb2.Duration
    def __init__(self, lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RenewLeaseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WrapperConsoleRequest(_message.Message):
    __slots__ = ("after_sequence",)
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    after_sequence: int
    def __init__(self, after_sequence: _Optional[int] = ...) -> None: ...

class WrapperConsoleInput(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, lines: _Optional[_Iterable[str]] = ...) -> None: ...

class WrapperConsoleInputResponse(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...
