import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Preset(_message.Message):
    __slots__ = ("preset_id", "display_name", "width", "height", "fps", "bitrate_kbps", "min_bitrate_kbps", "max_bitrate_kbps", "min_vram_gb", "name", "encoder_preset", "sessions_per_vm", "game")
    PRESET_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    BITRATE_KBPS_FIELD_NUMBER: _ClassVar[int]
    MIN_BITRATE_KBPS_FIELD_NUMBER: _ClassVar[int]
    MAX_BITRATE_KBPS_FIELD_NUMBER: _ClassVar[int]
    MIN_VRAM_GB_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENCODER_PRESET_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_PER_VM_FIELD_NUMBER: _ClassVar[int]
    GAME_FIELD_NUMBER: _ClassVar[int]
    preset_id: str
    display_name: str
    width: int
    height: int
    fps: int
    bitrate_kbps: int
    min_bitrate_kbps: int
    max_bitrate_kbps: int
    min_vram_gb: int
    name: str
    encoder_preset: str
    sessions_per_vm: int
    game: str
    def __init__(self, preset_id: _Optional[str] = ..., display_name: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., fps: _Optional[int] = ..., bitrate_kbps: _Optional[int] = ..., min_bitrate_kbps: _Optional[int] = ..., max_bitrate_kbps: _Optional[int] = ..., min_vram_gb: _Optional[int] = ..., name: _Optional[str] = ..., encoder_preset: _Optional[str] = ..., sessions_per_vm: _Optional[int] = ..., game: _Optional[str] = ...) -> None: ...

class Law(_message.Message):
    __slots__ = ("allow", "deny")
    ALLOW_FIELD_NUMBER: _ClassVar[int]
    DENY_FIELD_NUMBER: _ClassVar[int]
    allow: _containers.RepeatedScalarFieldContainer[str]
    deny: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, allow: _Optional[_Iterable[str]] = ..., deny: _Optional[_Iterable[str]] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("region_id", "display_name", "name", "latitude_degrees", "longitude_degrees", "territory", "fallback_chain", "law", "low_water_slots", "max_rented_vms")
    REGION_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_DEGREES_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_DEGREES_FIELD_NUMBER: _ClassVar[int]
    TERRITORY_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_CHAIN_FIELD_NUMBER: _ClassVar[int]
    LAW_FIELD_NUMBER: _ClassVar[int]
    LOW_WATER_SLOTS_FIELD_NUMBER: _ClassVar[int]
    MAX_RENTED_VMS_FIELD_NUMBER: _ClassVar[int]
    region_id: str
    display_name: str
    name: str
    latitude_degrees: float
    longitude_degrees: float
    territory: str
    fallback_chain: _containers.RepeatedScalarFieldContainer[str]
    law: Law
    low_water_slots: int
    max_rented_vms: int
    def __init__(self, region_id: _Optional[str] = ..., display_name: _Optional[str] = ..., name: _Optional[str] = ..., latitude_degrees: _Optional[float] = ..., longitude_degrees: _Optional[float] = ..., territory: _Optional[str] = ..., fallback_chain: _Optional[_Iterable[str]] = ..., law: _Optional[_Union[Law, _Mapping]] = ..., low_water_slots: _Optional[int] = ..., max_rented_vms: _Optional[int] = ...) -> None: ...

class Template(_message.Message):
    __slots__ = ("template_id", "name", "display_name", "vcpus", "ram_gb", "vram_gb", "seats", "gpu_model")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    VCPUS_FIELD_NUMBER: _ClassVar[int]
    RAM_GB_FIELD_NUMBER: _ClassVar[int]
    VRAM_GB_FIELD_NUMBER: _ClassVar[int]
    SEATS_FIELD_NUMBER: _ClassVar[int]
    GPU_MODEL_FIELD_NUMBER: _ClassVar[int]
    template_id: str
    name: str
    display_name: str
    vcpus: int
    ram_gb: int
    vram_gb: int
    seats: int
    gpu_model: str
    def __init__(self, template_id: _Optional[str] = ..., name: _Optional[str] = ..., display_name: _Optional[str] = ..., vcpus: _Optional[int] = ..., ram_gb: _Optional[int] = ..., vram_gb: _Optional[int] = ..., seats: _Optional[int] = ..., gpu_model: _Optional[str] = ...) -> None: ...

class RegionCapacity(_message.Message):
    __slots__ = ("region", "available_vms", "provisioning_vms", "draining_vms", "unavailable_vms", "free_slots", "capacity_units", "used_units", "active_sessions", "waiting_sessions", "expected_wait", "rented_vms", "max_rented_vms", "blocked", "waiting_anywhere_sessions")
    REGION_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_VMS_FIELD_NUMBER: _ClassVar[int]
    PROVISIONING_VMS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_VMS_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_VMS_FIELD_NUMBER: _ClassVar[int]
    FREE_SLOTS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_UNITS_FIELD_NUMBER: _ClassVar[int]
    USED_UNITS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    WAITING_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_WAIT_FIELD_NUMBER: _ClassVar[int]
    RENTED_VMS_FIELD_NUMBER: _ClassVar[int]
    MAX_RENTED_VMS_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    WAITING_ANYWHERE_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    region: str
    available_vms: int
    provisioning_vms: int
    draining_vms: int
    unavailable_vms: int
    free_slots: int
    capacity_units: int
    used_units: int
    active_sessions: int
    waiting_sessions: int
    expected_wait: _duration_pb2.Duration
    rented_vms: int
    max_rented_vms: int
    blocked: str
    waiting_anywhere_sessions: int
    def __init__(self, region: _Optional[str] = ..., available_vms: _Optional[int] = ..., provisioning_vms: _Optional[int] = ..., draining_vms: _Optional[int] = ..., unavailable_vms: _Optional[int] = ..., free_slots: _Optional[int] = ..., capacity_units: _Optional[int] = ..., used_units: _Optional[int] = ..., active_sessions: _Optional[int] = ..., waiting_sessions: _Optional[int] = ..., expected_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., rented_vms: _Optional[int] = ..., max_rented_vms: _Optional[int] = ..., blocked: _Optional[str] = ..., waiting_anywhere_sessions: _Optional[int] = ...) -> None: ...

class ListPresetsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPresetsResponse(_message.Message):
    __slots__ = ("presets",)
    PRESETS_FIELD_NUMBER: _ClassVar[int]
    presets: _containers.RepeatedCompositeFieldContainer[Preset]
    def __init__(self, presets: _Optional[_Iterable[_Union[Preset, _Mapping]]] = ...) -> None: ...

class ListRegionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRegionsResponse(_message.Message):
    __slots__ = ("regions",)
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    regions: _containers.RepeatedCompositeFieldContainer[Region]
    def __init__(self, regions: _Optional[_Iterable[_Union[Region, _Mapping]]] = ...) -> None: ...

class ListTemplatesRequest(_message.Message):
    __slots__ = ("preset",)
    PRESET_FIELD_NUMBER: _ClassVar[int]
    preset: str
    def __init__(self, preset: _Optional[str] = ...) -> None: ...

class ListTemplatesResponse(_message.Message):
    __slots__ = ("templates",)
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    templates: _containers.RepeatedCompositeFieldContainer[Template]
    def __init__(self, templates: _Optional[_Iterable[_Union[Template, _Mapping]]] = ...) -> None: ...

class GetRegionCapacityRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListRegionCapacitiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRegionCapacitiesResponse(_message.Message):
    __slots__ = ("capacities",)
    CAPACITIES_FIELD_NUMBER: _ClassVar[int]
    capacities: _containers.RepeatedCompositeFieldContainer[RegionCapacity]
    def __init__(self, capacities: _Optional[_Iterable[_Union[RegionCapacity, _Mapping]]] = ...) -> None: ...

class GetPresetRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CreatePresetRequest(_message.Message):
    __slots__ = ("preset_id", "preset", "client_token")
    PRESET_ID_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    preset_id: str
    preset: Preset
    client_token: str
    def __init__(self, preset_id: _Optional[str] = ..., preset: _Optional[_Union[Preset, _Mapping]] = ..., client_token: _Optional[str] = ...) -> None: ...

class UpdatePresetRequest(_message.Message):
    __slots__ = ("preset", "update_mask")
    PRESET_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    preset: Preset
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, preset: _Optional[_Union[Preset, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeletePresetRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetRegionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CreateRegionRequest(_message.Message):
    __slots__ = ("region_id", "region", "client_token")
    REGION_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    region_id: str
    region: Region
    client_token: str
    def __init__(self, region_id: _Optional[str] = ..., region: _Optional[_Union[Region, _Mapping]] = ..., client_token: _Optional[str] = ...) -> None: ...

class UpdateRegionRequest(_message.Message):
    __slots__ = ("region", "update_mask")
    REGION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    region: Region
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, region: _Optional[_Union[Region, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeleteRegionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetTemplateRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CreateTemplateRequest(_message.Message):
    __slots__ = ("template_id", "template", "client_token")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    template_id: str
    template: Template
    client_token: str
    def __init__(self, template_id: _Optional[str] = ..., template: _Optional[_Union[Template, _Mapping]] = ..., client_token: _Optional[str] = ...) -> None: ...

class UpdateTemplateRequest(_message.Message):
    __slots__ = ("template", "update_mask")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    template: Template
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, template: _Optional[_Union[Template, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeleteTemplateRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...
