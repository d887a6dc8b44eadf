from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from quarterdeck.v1 import placement_pb2 as _placement_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VmDto(_message.Message):
    __slots__ = ("vm_id", "template_id", "region", "status", "provider", "active_sessions", "max_concurrent_sessions", "error_code", "error_message", "reason", "ip_address", "created_at", "updated_at")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENT_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    IP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    template_id: str
    region: str
    status: str
    provider: str
    active_sessions: int
    max_concurrent_sessions: int
    error_code: str
    error_message: str
    reason: str
    ip_address: str
    created_at: str
    updated_at: str
    def __init__(self, vm_id: _Optional[str] = ..., template_id: _Optional[str] = ..., region: _Optional[str] = ..., status: _Optional[str] = ..., provider: _Optional[str] = ..., active_sessions: _Optional[int] = ..., max_concurrent_sessions: _Optional[int] = ..., error_code: _Optional[str] = ..., error_message: _Optional[str] = ..., reason: _Optional[str] = ..., ip_address: _Optional[str] = ..., created_at: _Optional[str] = ..., updated_at: _Optional[str] = ...) -> None: ...

class VmSession(_message.Message):
    __slots__ = ("session_id", "vm_id", "game_id", "region", "status", "assigned_at")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    GAME_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_AT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    vm_id: str
    game_id: str
    region: str
    status: str
    assigned_at: str
    def __init__(self, session_id: _Optional[str] = ..., vm_id: _Optional[str] = ..., game_id: _Optional[str] = ..., region: _Optional[str] = ..., status: _Optional[str] = ..., assigned_at: _Optional[str] = ...) -> None: ...

class CreateVmRequest(_message.Message):
    __slots__ = ("template_id", "region", "provider", "client_token")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    template_id: str
    region: str
    provider: str
    client_token: str
    def __init__(self, template_id: _Optional[str] = ..., region: _Optional[str] = ..., provider: _Optional[str] = ..., client_token: _Optional[str] = ...) -> None: ...

class AssignSessionRequest(_message.Message):
    __slots__ = ("vm_id", "session_id")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    session_id: str
    def __init__(self, vm_id: _Optional[str] = ..., session_id: _Optional[str] = ...) -> None: ...

class GetVmRequest(_message.Message):
    __slots__ = ("vm_id",)
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    def __init__(self, vm_id: _Optional[str] = ...) -> None: ...

class MarkVmReadyRequest(_message.Message):
    __slots__ = ("vm_id",)
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    def __init__(self, vm_id: _Optional[str] = ...) -> None: ...

class MarkVmDrainingRequest(_message.Message):
    __slots__ = ("vm_id",)
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    def __init__(self, vm_id: _Optional[str] = ...) -> None: ...

class HandleVmErrorRequest(_message.Message):
    __slots__ = ("vm_id", "error_code", "error_message")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    error_code: str
    error_message: str
    def __init__(self, vm_id: _Optional[str] = ..., error_code: _Optional[str] = ..., error_message: _Optional[str] = ...) -> None: ...

class TerminateVmRequest(_message.Message):
    __slots__ = ("vm_id", "reason", "force")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    reason: str
    force: bool
    def __init__(self, vm_id: _Optional[str] = ..., reason: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class ReleaseSessionRequest(_message.Message):
    __slots__ = ("vm_id", "session_id")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    session_id: str
    def __init__(self, vm_id: _Optional[str] = ..., session_id: _Optional[str] = ...) -> None: ...

class FindVmRequest(_message.Message):
    __slots__ = ("game_id", "region", "preset", "coordinates", "territory")
    GAME_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    TERRITORY_FIELD_NUMBER: _ClassVar[int]
    game_id: str
    region: str
    preset: str
    coordinates: _placement_pb2.Coordinates
    territory: str
    def __init__(self, game_id: _Optional[str] = ..., region: _Optional[str] = ..., preset: _Optional[str] = ..., coordinates: _Optional[_Union[_placement_pb2.Coordinates, _Mapping]] = ..., territory: _Optional[str] = ...) -> None: ...

class FindVmResponse(_message.Message):
    __slots__ = ("vm", "found", "region", "passed_over", "preset", "template_id")
    VM_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    PASSED_OVER_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    vm: VmDto
    found: bool
    region: str
    passed_over: _containers.RepeatedCompositeFieldContainer[PassedOver]
    preset: str
    template_id: str
    def __init__(self, vm: _Optional[_Union[VmDto, _Mapping]] = ..., found: _Optional[bool] = ..., region: _Optional[str] = ..., passed_over: _Optional[_Iterable[_Union[PassedOver, _Mapping]]] = ..., preset: _Optional[str] = ..., template_id: _Optional[str] = ...) -> None: ...

class PassedOver(_message.Message):
    __slots__ = ("vm_id", "region", "reason")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    region: str
    reason: str
    def __init__(self, vm_id: _Optional[str] = ..., region: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class GetRegionCapacityRequest(_message.Message):
    __slots__ = ("region",)
    REGION_FIELD_NUMBER: _ClassVar[int]
    region: str
    def __init__(self, region: _Optional[str] = ...) -> None: ...

class RegionCapacity(_message.Message):
    __slots__ = ("region", "available_vms", "provisioning_vms", "draining_vms", "available_slots", "queue_length", "queue_time")
    REGION_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_VMS_FIELD_NUMBER: _ClassVar[int]
    PROVISIONING_VMS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_VMS_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_SLOTS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_LENGTH_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIME_FIELD_NUMBER: _ClassVar[int]
    region: str
    available_vms: int
    provisioning_vms: int
    draining_vms: int
    available_slots: int
    queue_length: int
    queue_time: float
    def __init__(self, region: _Optional[str] = ..., available_vms: _Optional[int] = ..., provisioning_vms: _Optional[int] = ..., draining_vms: _Optional[int] = ..., available_slots: _Optional[int] = ..., queue_length: _Optional[int] = ..., queue_time: _Optional[float] = ...) -> None: ...

class ListRegionCapacitiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRegionCapacitiesResponse(_message.Message):
    __slots__ = ("regions",)
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    regions: _containers.RepeatedCompositeFieldContainer[RegionCapacity]
    def __init__(self, regions: _Optional[_Iterable[_Union[RegionCapacity, _Mapping]]] = ...) -> None: ...

class GetMetricsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Metrics(_message.Message):
    __slots__ = ("total_vms", "vms_by_status", "vms_by_region", "total_capacity", "used_capacity", "available_capacity", "region_capacity")
    class VmsByStatusEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class VmsByRegionEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    TOTAL_VMS_FIELD_NUMBER: _ClassVar[int]
    VMS_BY_STATUS_FIELD_NUMBER: _ClassVar[int]
    VMS_BY_REGION_FIELD_NUMBER: _ClassVar[int]
    TOTAL_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    USED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    REGION_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    total_vms: int
    vms_by_status: _containers.ScalarMap[str, int]
    vms_by_region: _containers.ScalarMap[str, int]
    total_capacity: int
    used_capacity: int
    available_capacity: int
    region_capacity: _containers.RepeatedCompositeFieldContainer[RegionCapacity]
    def __init__(self, total_vms: _Optional[int] = ..., vms_by_status: _Optional[_Mapping[str, int]] = ..., vms_by_region: _Optional[_Mapping[str, int]] = ..., total_capacity: _Optional[int] = ..., used_capacity: _Optional[int] = ..., available_capacity: _Optional[int] = ..., region_capacity: _Optional[_Iterable[_Union[RegionCapacity, _Mapping]]] = ...) -> None: ...

class ListVmSessionsRequest(_message.Message):
    __slots__ = ("vm_id",)
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    def __init__(self, vm_id: _Optional[str] = ...) -> None: ...

class ListVmSessionsResponse(_message.Message):
    __slots__ = ("vm_id", "sessions")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    sessions: _containers.RepeatedCompositeFieldContainer[VmSession]
    def __init__(self, vm_id: _Optional[str] = ..., sessions: _Optional[_Iterable[_Union[VmSession, _Mapping]]] = ...) -> None: ...

class GetVmCapacityRequest(_message.Message):
    __slots__ = ("vm_id",)
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    def __init__(self, vm_id: _Optional[str] = ...) -> None: ...

class VmCapacity(_message.Message):
    __slots__ = ("vm_id", "total_capacity", "used_capacity", "available_capacity", "active_sessions", "accepts_sessions")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    TOTAL_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    USED_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    total_capacity: int
    used_capacity: int
    available_capacity: int
    active_sessions: int
    accepts_sessions: bool
    def __init__(self, vm_id: _Optional[str] = ..., total_capacity: _Optional[int] = ..., used_capacity: _Optional[int] = ..., available_capacity: _Optional[int] = ..., active_sessions: _Optional[int] = ..., accepts_sessions: _Optional[bool] = ...) -> None: ...

class ListAvailableVmsRequest(_message.Message):
    __slots__ = ("region",)
    REGION_FIELD_NUMBER: _ClassVar[int]
    region: str
    def __init__(self, region: _Optional[str] = ...) -> None: ...

class ListAvailableVmsResponse(_message.Message):
    __slots__ = ("region", "vms")
    REGION_FIELD_NUMBER: _ClassVar[int]
    VMS_FIELD_NUMBER: _ClassVar[int]
    region: str
    vms: _containers.RepeatedCompositeFieldContainer[VmDto]
    def __init__(self, region: _Optional[str] = ..., vms: _Optional[_Iterable[_Union[VmDto, _Mapping]]] = ...) -> None: ...
