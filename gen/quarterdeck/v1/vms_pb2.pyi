import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from quarterdeck.v1 import hosts_pb2 as _hosts_pb2
from quarterdeck.v1 import placement_pb2 as _placement_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VmState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VM_STATE_UNSPECIFIED: _ClassVar[VmState]
    VM_STATE_TEMPLATE: _ClassVar[VmState]
    VM_STATE_PROVISIONING: _ClassVar[VmState]
    VM_STATE_BOOTING: _ClassVar[VmState]
    VM_STATE_READY: _ClassVar[VmState]
    VM_STATE_IN_USE: _ClassVar[VmState]
    VM_STATE_DRAINING: _ClassVar[VmState]
    VM_STATE_STOPPED: _ClassVar[VmState]
    VM_STATE_ERROR: _ClassVar[VmState]
    VM_STATE_TERMINATED: _ClassVar[VmState]
VM_STATE_UNSPECIFIED: VmState
VM_STATE_TEMPLATE: VmState
VM_STATE_PROVISIONING: VmState
VM_STATE_BOOTING: VmState
VM_STATE_READY: VmState
VM_STATE_IN_USE: VmState
VM_STATE_DRAINING: VmState
VM_STATE_STOPPED: VmState
VM_STATE_ERROR: VmState
VM_STATE_TERMINATED: VmState

class Vm(_message.Message):
    __slots__ = ("name", "provider", "region", "template", "state", "reason_detail", "capacity_units", "used_units", "active_sessions", "create_time", "update_time", "host", "advertised_address", "provisioning", "port_range")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_DETAIL_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_UNITS_FIELD_NUMBER: _ClassVar[int]
    USED_UNITS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    ADVERTISED_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PROVISIONING_FIELD_NUMBER: _ClassVar[int]
    PORT_RANGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    provider: str
    region: str
    template: str
    state: VmState
    reason_detail: str
    capacity_units: int
    used_units: int
    active_sessions: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    host: str
    advertised_address: str
    provisioning: Provisioning
    port_range: _hosts_pb2.PortRange
    def __init__(self, name: _Optional[str] = ..., provider: _Optional[str] = ..., region: _Optional[str] = ..., template: _Optional[str] = ..., state: _Optional[_Union[VmState, str]] = ..., reason_detail: _Optional[str] = ..., capacity_units: _Optional[int] = ..., used_units: _Optional[int] = ..., active_sessions: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., host: _Optional[str] = ..., advertised_address: _Optional[str] = ..., provisioning: _Optional[_Union[Provisioning, _Mapping]] = ..., port_range: _Optional[_Union[_hosts_pb2.PortRange, _Mapping]] = ...) -> None: ...

class Provisioning(_message.Message):
    __slots__ = ("phase", "instance", "tag", "machine_type", "price_micro_per_hour", "currency", "attempt", "next_attempt_time", "error_code", "error_message")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    MACHINE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PRICE_MICRO_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    phase: str
    instance: str
    tag: str
    machine_type: str
    price_micro_per_hour: int
    currency: str
    attempt: int
    next_attempt_time: _timestamp_pb2.Timestamp
    error_code: str
    error_message: str
    def __init__(self, phase: _Optional[str] = ..., instance: _Optional[str] = ..., tag: _Optional[str] = ..., machine_type: _Optional[str] = ..., price_micro_per_hour: _Optional[int] = ..., currency: _Optional[str] = ..., attempt: _Optional[int] = ..., next_attempt_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error_code: _Optional[str] = ..., error_message: _Optional[str] = ...) -> None: ...

class ListVmsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[VmState]
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[VmState, str]]] = ...) -> None: ...

class ListVmsResponse(_message.Message):
    __slots__ = ("vms", "next_page_token")
    VMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    vms: _containers.RepeatedCompositeFieldContainer[Vm]
    next_page_token: str
    def __init__(self, vms: _Optional[_Iterable[_Union[Vm, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetVmRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class FindVmRequest(_message.Message):
    __slots__ = ("game", "preset", "region", "coordinates", "territory")
    GAME_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    TERRITORY_FIELD_NUMBER: _ClassVar[int]
    game: str
    preset: str
    region: str
    coordinates: _placement_pb2.Coordinates
    territory: str
    def __init__(self, game: _Optional[str] = ..., preset: _Optional[str] = ..., region: _Optional[str] = ..., coordinates: _Optional[_Union[_placement_pb2.Coordinates, _Mapping]] = ..., territory: _Optional[str] = ...) -> None: ...

class FindVmResponse(_message.Message):
    __slots__ = ("vm", "units", "passed_over")
    VM_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    PASSED_OVER_FIELD_NUMBER: _ClassVar[int]
    vm: Vm
    units: int
    passed_over: _containers.RepeatedCompositeFieldContainer[_placement_pb2.PassedOver]
    def __init__(self, vm: _Optional[_Union[Vm, _Mapping]] = ..., units: _Optional[int] = ..., passed_over: _Optional[_Iterable[_Union[_placement_pb2.PassedOver, _Mapping]]] = ...) -> None: ...

class CreateVmRequest(_message.Message):
    __slots__ = ("vm_id", "region", "template", "advertised_address", "client_token", "provider", "fallback_regions", "port_range")
    VM_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    ADVERTISED_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_REGIONS_FIELD_NUMBER: _ClassVar[int]
    PORT_RANGE_FIELD_NUMBER: _ClassVar[int]
    vm_id: str
    region: str
    template: str
    advertised_address: str
    client_token: str
    provider: str
    fallback_regions: _containers.RepeatedScalarFieldContainer[str]
    port_range: _hosts_pb2.PortRange
    def __init__(self, vm_id: _Optional[str] = ..., region: _Optional[str] = ..., template: _Optional[str] = ..., advertised_address: _Optional[str] = ..., client_token: _Optional[str] = ..., provider: _Optional[str] = ..., fallback_regions: _Optional[_Iterable[str]] = ..., port_range: _Optional[_Union[_hosts_pb2.PortRange, _Mapping]] = ...) -> None: ...

class CreateJoinTokenRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class JoinToken(_message.Message):
    __slots__ = ("token", "expire_time", "ca_sha256", "enrolment_target")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CA_SHA256_FIELD_NUMBER: _ClassVar[int]
    ENROLMENT_TARGET_FIELD_NUMBER: _ClassVar[int]
    token: str
    expire_time: _timestamp_pb2.Timestamp
    ca_sha256: str
    enrolment_target: str
    def __init__(self, token: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ca_sha256: _Optional[str] = ..., enrolment_target: _Optional[str] = ...) -> None: ...

class DrainVmRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UndrainVmRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class TerminateVmRequest(_message.Message):
    __slots__ = ("name", "force", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    force: bool
    reason: str
    def __init__(self, name: _Optional[str] = ..., force: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class StopVmRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class StartVmRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class FailVmRequest(_message.Message):
    __slots__ = ("name", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class MarkVmReadyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListVmTransitionsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVmTransitionsResponse(_message.Message):
    __slots__ = ("transitions", "next_page_token")
    TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    transitions: _containers.RepeatedCompositeFieldContainer[VmTransition]
    next_page_token: str
    def __init__(self, transitions: _Optional[_Iterable[_Union[VmTransition, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class VmTransition(_message.Message):
    __slots__ = ("previous_state", "state", "trigger", "detail", "time", "version")
    PREVIOUS_STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    previous_state: VmState
    state: VmState
    trigger: str
    detail: str
    time: _timestamp_pb2.Timestamp
    version: int
    def __init__(self, previous_state: _Optional[_Union[VmState, str]] = ..., state: _Optional[_Union[VmState, str]] = ..., trigger: _Optional[str] = ..., detail: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class ListVmAttemptsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVmAttemptsResponse(_message.Message):
    __slots__ = ("attempts", "next_page_token")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedCompositeFieldContainer[VmAttempt]
    next_page_token: str
    def __init__(self, attempts: _Optional[_Iterable[_Union[VmAttempt, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class VmAttempt(_message.Message):
    __slots__ = ("number", "purpose", "outcome", "provider", "region", "machine_type", "price_micro_per_hour", "currency", "instance", "start_time", "end_time", "failure_kind", "remedy", "error_code", "error_message", "next_attempt_time")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    MACHINE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PRICE_MICRO_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_KIND_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_TIME_FIELD_NUMBER: _ClassVar[int]
    number: int
    purpose: str
    outcome: str
    provider: str
    region: str
    machine_type: str
    price_micro_per_hour: int
    currency: str
    instance: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    failure_kind: str
    remedy: str
    error_code: str
    error_message: str
    next_attempt_time: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., purpose: _Optional[str] = ..., outcome: _Optional[str] = ..., provider: _Optional[str] = ..., region: _Optional[str] = ..., machine_type: _Optional[str] = ..., price_micro_per_hour: _Optional[int] = ..., currency: _Optional[str] = ..., instance: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failure_kind: _Optional[str] = ..., remedy: _Optional[str] = ..., error_code: _Optional[str] = ..., error_message: _Optional[str] = ..., next_attempt_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
