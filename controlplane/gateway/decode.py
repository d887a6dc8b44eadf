"""JSON and text into protobuf messages, strictly: what does not fit is refused by the name of its field.

The mapping is protobuf's own (protobuf.dev, "ProtoJSON"); json_format does the well-known types. It is not used for
the rest, since it reports a wrong value by Python's words and drops the path to it.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from decimal import Decimal
from typing import Any, NoReturn, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.rpc import code_pb2

from controlplane.gateway.errors import StatusError

MAX_DEPTH = 64

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}", re.ASCII)

_F = FieldDescriptor
_RANGES = {
    _F.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    _F.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    _F.CPPTYPE_UINT32: (0, 2**32 - 1),
    _F.CPPTYPE_UINT64: (0, 2**64 - 1),
}
WRAPPERS = {
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
}
JSON_TYPES = {f"google.protobuf.{kind}" for kind in ("Struct", "Value", "ListValue")}
TEXT_TYPES = {f"google.protobuf.{kind}" for kind in ("Timestamp", "Duration", "FieldMask")}
_WELL_KNOWN = JSON_TYPES | TEXT_TYPES | {"google.protobuf.Any"}
_VALUE = "google.protobuf.Value"
NULL = "google.protobuf.NullValue"


def load_json(body: bytes) -> Any:
    """Raises StatusError that names the problem: no UTF-8, a syntax error with its place, a repeated key, too deep."""
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise invalid(f"the body is not UTF-8, at byte {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise invalid(f"the body is not valid JSON: {error.msg} ({place})") from None
    except RecursionError:
        raise invalid("the JSON of the body is nested too deeply") from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise invalid(f"the body is not valid JSON: {error}") from None


def invalid(message: str, reason: str = "INVALID_JSON") -> StatusError:
    return StatusError(code_pb2.INVALID_ARGUMENT, message, reason=reason)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise StatusError.of_field(key, "given twice in the same JSON object")
            seen.add(key)
    return result


def _no_constant(name: str) -> NoReturn:
    raise invalid(f"the body is not valid JSON: {name} is no JSON number")


def find_field(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    """By proto name or by JSON name."""
    by_name: FieldDescriptor | None = descriptor.fields_by_name.get(name)
    if by_name is not None:
        return by_name
    return next((field for field in descriptor.fields if field.json_name == name), None)


def pool_of(message: Message) -> DescriptorPool:
    return cast(DescriptorPool, message.DESCRIPTOR.file.pool)


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def decode(message: Message, value: Any, path: str = "", depth: int = 0) -> None:
    """Fills message from parsed JSON. path is where the value stands in the request, for errors. Raises StatusError."""
    descriptor = cast(Descriptor, message.DESCRIPTOR)
    if depth > MAX_DEPTH:
        raise StatusError.of_field(path, f"nested deeper than {MAX_DEPTH} messages")
    if descriptor.full_name in WRAPPERS:
        message.value = scalar(descriptor.fields_by_name["value"], value, path)  # type: ignore[attr-defined]
        return
    if descriptor.full_name in _WELL_KNOWN:
        _well_known(message, value, path)
        return
    if not isinstance(value, dict):
        raise StatusError.of_field(path, f"expected an object, got {kind_of(value)}")
    given: dict[str, str] = {}
    for key, item in value.items():
        field = find_field(descriptor, key)
        if field is None:
            raise unknown(join(path, key), descriptor)
        if field.name in given:
            raise StatusError.of_field(join(path, key), f"given twice, as {given[field.name]} too")
        given[field.name] = key
        set_field(message, field, item, join(path, key), depth)


def unknown(path: str, descriptor: Descriptor) -> StatusError:
    return StatusError.of_field(path, f"unknown field of {descriptor.full_name}")


def set_field(message: Message, field: FieldDescriptor, value: Any, path: str, depth: int = 0) -> None:
    """Sets one field from JSON; null leaves it unset, except where null is a value. Raises StatusError."""
    if is_map(field):
        if value is not None:
            _set_map(message, field, value, path, depth)
    elif field.is_repeated:
        if value is not None:
            _set_list(message, field, value, path, depth)
    elif value is None and not _takes_null(field):
        return
    else:
        oneof = field.containing_oneof
        if oneof is not None and message.WhichOneof(oneof.name):
            raise StatusError.of_field(
                path, f"{message.WhichOneof(oneof.name)} is given too, and only one of them may be"
            )
        if field.message_type is not None:
            child = getattr(message, field.name)
            child.SetInParent()
            decode(child, value, path, depth + 1)
        else:
            setattr(message, field.name, scalar(field, value, path))


def is_map(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated and field.message_type and field.message_type.GetOptions().map_entry)


def _takes_null(field: FieldDescriptor) -> bool:
    if field.message_type is not None:
        return bool(field.message_type.full_name == _VALUE)
    return bool(field.enum_type is not None and field.enum_type.full_name == NULL)


def _set_list(message: Message, field: FieldDescriptor, value: Any, path: str, depth: int) -> None:
    if not isinstance(value, list):
        raise StatusError.of_field(path, f"expected a list, got {kind_of(value)}")
    target = getattr(message, field.name)
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if item is None and not _takes_null(field):
            raise StatusError.of_field(where, "a list holds no null")
        if field.message_type is not None:
            decode(target.add(), item, where, depth + 1)
        else:
            target.append(scalar(field, item, where))


def _set_map(message: Message, field: FieldDescriptor, value: Any, path: str, depth: int) -> None:
    if not isinstance(value, dict):
        raise StatusError.of_field(path, f"expected an object, got {kind_of(value)}")
    assert field.message_type is not None
    keys, values = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    target = getattr(message, field.name)
    for text, item in value.items():
        where = f"{path}[{text!r}]"
        key = from_text(keys, text, where)
        if item is None and not _takes_null(values):
            raise StatusError.of_field(where, "a map holds no null")
        if values.message_type is not None:
            decode(target[key], item, where, depth + 1)
        else:
            target[key] = scalar(values, item, where)


def _well_known(message: Message, value: Any, path: str) -> None:
    name = message.DESCRIPTOR.full_name
    if name in TEXT_TYPES and not isinstance(value, str):
        raise StatusError.of_field(path, f"expected a {name.rpartition('.')[2]} as a string, got {kind_of(value)}")
    try:
        json_format.ParseDict(value, message, descriptor_pool=pool_of(message))
    except (json_format.ParseError, ValueError, TypeError, AttributeError) as error:
        reason = str(error).partition(" Available Fields")[0].strip().rstrip(".")
        raise StatusError.of_field(path, f"no valid {name.rpartition('.')[2]}: {reason}") from None


def from_text(field: FieldDescriptor, text: str, path: str) -> Any:
    """A scalar out of a path, a query or a map's key, where everything is text. Raises StatusError."""
    if field.cpp_type == _F.CPPTYPE_BOOL:
        if text not in ("true", "false"):
            raise StatusError.of_field(path, f"expected true or false, got {shorten(text)}")
        return text == "true"
    return scalar(field, text, path)


def set_text(message: Message, field: FieldDescriptor, text: str, path: str) -> None:
    """Sets, or appends to, one field from text. Raises StatusError where the field's type has no form as text."""
    kind = field.message_type
    if kind is None:
        value = from_text(field, text, path)
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
        return
    target = getattr(message, field.name)
    child = target.add() if field.is_repeated else target
    child.SetInParent()
    if kind.full_name in WRAPPERS:
        child.value = from_text(kind.fields_by_name["value"], text, path)
    elif kind.full_name in TEXT_TYPES:
        _well_known(child, text, path)
    elif kind.full_name in JSON_TYPES:
        try:
            parsed = load_json(text.encode("utf-8", "surrogatepass"))
        except StatusError as refusal:
            raise StatusError.of_field(path, str(refusal).replace("the body", "the value")) from None
        _well_known(child, parsed, path)
    else:
        raise StatusError.of_field(path, f"{kind.full_name} is a message: name one of its fields, as {path}.field")


def scalar(field: FieldDescriptor, value: Any, path: str) -> Any:
    """The Python value of a scalar or enum field. Raises StatusError."""
    kind = field.cpp_type
    if kind in _RANGES:
        return _integer(value, *_RANGES[kind], path)
    if kind in (_F.CPPTYPE_DOUBLE, _F.CPPTYPE_FLOAT):
        return _float(value, kind == _F.CPPTYPE_FLOAT, path)
    if kind == _F.CPPTYPE_ENUM:
        return _enum(field, value, path)
    if kind == _F.CPPTYPE_BOOL:
        if not isinstance(value, bool):
            raise StatusError.of_field(path, f"expected true or false, got {kind_of(value)}")
        return value
    if not isinstance(value, str):
        raise StatusError.of_field(path, f"expected a string, got {kind_of(value)}")
    if field.type == _F.TYPE_BYTES:
        return _bytes(value, path)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise StatusError.of_field(path, "holds half of a surrogate pair, which is no Unicode text") from None
    return value


def is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _integer(value: Any, low: int, high: int, path: str) -> int:
    number: Decimal | None = None
    if is_number(value) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        number = Decimal(value)
    if number is None or number != number.to_integral_value():
        raise StatusError.of_field(path, f"expected an integer, got {kind_of(value)}")
    if not low <= number <= high:
        raise StatusError.of_field(path, f"out of range: must be from {low} to {high}")
    return int(number)


def _float(value: Any, single: bool, path: str) -> float:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if not is_number(value) and not (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise StatusError.of_field(path, f"expected a number, got {kind_of(value)}")
    try:
        number = float(value)
        if single:
            struct.pack("<f", number)  # raises where rounding to 32 bits overflows
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise StatusError.of_field(path, "out of range")
    return number


def _enum(field: FieldDescriptor, value: Any, path: str) -> int:
    assert field.enum_type is not None
    if value is None and field.enum_type.full_name == NULL:
        return 0
    if isinstance(value, str):
        named = field.enum_type.values_by_name.get(value)
        if named is not None:
            return int(named.number)
        if not _NUMBER.fullmatch(value):
            raise StatusError.of_field(path, f"no value of {field.enum_type.full_name}: {shorten(value)}")
    number = _integer(value, *_RANGES[_F.CPPTYPE_INT32], path)
    if field.enum_type.is_closed and number not in field.enum_type.values_by_number:
        raise StatusError.of_field(path, f"no value of {field.enum_type.full_name}: {number}")
    return number


def _bytes(value: str, path: str) -> bytes:
    text = value.rstrip("=")
    if _BASE64.fullmatch(value):
        try:
            return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
        except binascii.Error:
            pass
    raise StatusError.of_field(path, "no valid base64")


def kind_of(value: Any) -> str:
    """A JSON value in words, short and safe to show."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return json.dumps(value)[:40]
    if isinstance(value, str):
        return f"the string {shorten(value)}"
    return "a list" if isinstance(value, list) else "an object"


def shorten(text: str, length: int = 40) -> str:
    return json.dumps(text if len(text) <= length else text[: length - 1] + "…")
