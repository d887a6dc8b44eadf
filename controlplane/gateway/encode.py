"""Protobuf messages into JSON values, by an encoder made once for each message type.

A list of a thousand sessions would hold the event loop for a tenth of a second in json_format, which looks every
field up again for every message. The mapping is the same (protobuf.dev, "ProtoJSON"), defaults included.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from controlplane.gateway.decode import JSON_TYPES, NULL, TEXT_TYPES, WRAPPERS, is_map

Encoder = Callable[[Any], Any]

_F = FieldDescriptor
_ANY = "google.protobuf.Any"


def message_encoder(descriptor: Descriptor, known: dict[str, Encoder] | None = None) -> Encoder:
    """Message -> what json.dumps takes. Raises TypeError or ValueError at use, for an Any of an unknown type."""
    known = {} if known is None else known
    name = descriptor.full_name
    if name not in known:
        if name in TEXT_TYPES:
            known[name] = _by_text
        elif name in JSON_TYPES or name == _ANY or descriptor.is_extendable:
            known[name] = _by_json_format(descriptor.file.pool)
        elif name in WRAPPERS:
            known[name] = _wrapper(_scalar(descriptor.fields_by_name["value"]))
        else:
            fields: list[tuple[str, str, bool, Encoder]] = []
            known[name] = _by_fields(fields)  # before its fields, since a message may hold itself
            fields.extend((f.name, f.json_name, f.has_presence, _field(f, known)) for f in descriptor.fields)
    return known[name]


def _by_text(message: Any) -> Any:
    return message.ToJsonString()


def _by_json_format(pool: DescriptorPool) -> Encoder:
    def encode(message: Message) -> Any:
        return json_format.MessageToDict(message, always_print_fields_with_no_presence=True, descriptor_pool=pool)

    return encode


def _wrapper(scalar: Encoder) -> Encoder:
    return lambda message: scalar(message.value)


def _by_fields(fields: list[tuple[str, str, bool, Encoder]]) -> Encoder:
    def encode(message: Message) -> dict[str, Any]:
        return {
            json_name: show(getattr(message, name))
            for name, json_name, presence, show in fields
            if not presence or message.HasField(name)
        }

    return encode


def _field(field: FieldDescriptor, known: dict[str, Encoder]) -> Encoder:
    if is_map(field):
        entry = field.message_type
        assert entry is not None
        show = _one(entry.fields_by_name["value"], known)
        if entry.fields_by_name["key"].cpp_type == _F.CPPTYPE_BOOL:
            return lambda items: {("true" if key else "false"): show(items[key]) for key in items}
        return lambda items: {str(key): show(items[key]) for key in items}
    show = _one(field, known)
    return (lambda items: [show(item) for item in items]) if field.is_repeated else show


def _one(field: Any, known: dict[str, Encoder]) -> Encoder:
    return message_encoder(field.message_type, known) if field.message_type is not None else _scalar(field)


def _scalar(field: Any) -> Encoder:
    if field.cpp_type in (_F.CPPTYPE_INT64, _F.CPPTYPE_UINT64):
        return str
    if field.cpp_type == _F.CPPTYPE_ENUM:
        return _enum(field.enum_type)
    if field.cpp_type == _F.CPPTYPE_DOUBLE:
        return _double
    if field.cpp_type == _F.CPPTYPE_FLOAT:
        return _float
    return _base64 if field.type == _F.TYPE_BYTES else _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _enum(descriptor: Any) -> Encoder:
    if descriptor.full_name == NULL:
        return lambda _: None
    names = {number: value.name for number, value in descriptor.values_by_number.items()}
    return lambda number: names.get(number, number)


def _double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _float(value: float) -> float | str:
    """The shortest decimal that means the same 32 bits: 1.1 and not 1.100000023841858."""
    if not math.isfinite(value):
        return _double(value)
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        try:
            if struct.unpack("<f", struct.pack("<f", short))[0] == value:
                return short
        except OverflowError:  # rounded up and out of the 32 bits
            continue
    return float(f"{value:.9g}")
