from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Coordinates(_message.Message):
    __slots__ = ("latitude_degrees", "longitude_degrees")
    LATITUDE_DEGREES_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_DEGREES_FIELD_NUMBER: _ClassVar[int]
    latitude_degrees: float
    longitude_degrees: float
    def __init__(self, latitude_degrees: _Optional[float] = ..., longitude_degrees: _Optional[float] = ...) -> None: ...

class PassedOver(_message.Message):
    __slots__ = ("region", "vm", "why", "code")
    REGION_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    region: str
    vm: str
    why: str
    code: str
    def __init__(self, region: _Optional[str] = ..., vm: _Optional[str] = ..., why: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...
