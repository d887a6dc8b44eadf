import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import sessions_pb2 as _sessions_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HostState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOST_STATE_UNSPECIFIED: _ClassVar[HostState]
    HOST_STATE_OFFLINE: _ClassVar[HostState]
    HOST_STATE_ONLINE: _ClassVar[HostState]
    HOST_STATE_STALE: _ClassVar[HostState]
    HOST_STATE_LOST: _ClassVar[HostState]
HOST_STATE_UNSPECIFIED: HostState
HOST_STATE_OFFLINE: HostState
HOST_STATE_ONLINE: HostState
HOST_STATE_STALE: HostState
HOST_STATE_LOST: HostState

class Gpu(_message.Message):
    __slots__ = ("index", "model", "memory_bytes", "driver_version")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DRIVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    index: int
    model: str
    memory_bytes: int
    driver_version: str
    def __init__(self, index: _Optional[int] = ..., model: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., driver_version: _Optional[str] = ...) -> None: ...

class Encoder(_message.Message):
    __slots__ = ("encoder_name", "slots")
    ENCODER_NAME_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    encoder_name: str
    slots: int
    def __init__(self, encoder_name: _Optional[str] = ..., slots: _Optional[int] = ...) -> None: ...

class PortRange(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class Inventory(_message.Message):
    __slots__ = ("cpu_count", "memory_bytes", "disk_free_bytes", "gpus", "encoders", "runtimes", "has_display_server", "agent_version", "operating_system", "ephemeral_ports")
    CPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    ENCODERS_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    HAS_DISPLAY_SERVER_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    OPERATING_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    EPHEMERAL_PORTS_FIELD_NUMBER: _ClassVar[int]
    cpu_count: int
    memory_bytes: int
    disk_free_bytes: int
    gpus: _containers.RepeatedCompositeFieldContainer[Gpu]
    encoders: _containers.RepeatedCompositeFieldContainer[Encoder]
    runtimes: _containers.RepeatedScalarFieldContainer[str]
    has_display_server: bool
    agent_version: str
    operating_system: str
    ephemeral_ports: _containers.RepeatedCompositeFieldContainer[PortRange]
    def __init__(self, cpu_count: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., disk_free_bytes: _Optional[int] = ..., gpus: _Optional[_Iterable[_Union[Gpu, _Mapping]]] = ..., encoders: _Optional[_Iterable[_Union[Encoder, _Mapping]]] = ..., runtimes: _Optional[_Iterable[str]] = ..., has_display_server: _Optional[bool] = ..., agent_version: _Optional[str] = ..., operating_system: _Optional[str] = ..., ephemeral_ports: _Optional[_Iterable[_Union[PortRange, _Mapping]]] = ...) -> None: ...

class Host(_message.Message):
    __slots__ = ("name", "vm", "state", "epoch", "last_heartbeat_time", "inventory", "plan_version", "observed_plan_version", "workloads", "revoked", "usage", "api_replica")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LAST_HEARTBEAT_TIME_FIELD_NUMBER: _ClassVar[int]
    INVENTORY_FIELD_NUMBER: _ClassVar[int]
    PLAN_VERSION_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_PLAN_VERSION_FIELD_NUMBER: _ClassVar[int]
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    API_REPLICA_FIELD_NUMBER: _ClassVar[int]
    name: str
    vm: str
    state: HostState
    epoch: int
    last_heartbeat_time: _timestamp_pb2.Timestamp
    inventory: Inventory
    plan_version: int
    observed_plan_version: int
    workloads: int
    revoked: bool
    usage: _sessions_pb2.ResourceUsage
    api_replica: str
    def __init__(self, name: _Optional[str] = ..., vm: _Optional[str] = ..., state: _Optional[_Union[HostState, str]] = ..., epoch: _Optional[int] = ..., last_heartbeat_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., inventory: _Optional[_Union[Inventory, _Mapping]] = ..., plan_version: _Optional[int] = ..., observed_plan_version: _Optional[int] = ..., workloads: _Optional[int] = ..., revoked: _Optional[bool] = ..., usage: _Optional[_Union[_sessions_pb2.ResourceUsage, _Mapping]] = ..., api_replica: _Optional[str] = ...) -> None: ...

class ListHostsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListHostsResponse(_message.Message):
    __slots__ = ("hosts", "next_page_token")
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    hosts: _containers.RepeatedCompositeFieldContainer[Host]
    next_page_token: str
    def __init__(self, hosts: _Optional[_Iterable[_Union[Host, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetHostRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RevokeHostRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...
