"""Messages as JSON Schema (draft 2020-12, which OpenAPI 3.1 uses), each one a component named by its full name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from controlplane.gateway.comments import Comments
from controlplane.gateway.decode import is_map

_F = FieldDescriptor
_INT32 = {"type": "integer", "format": "int32"}
_UINT32 = {"type": "integer", "format": "int64", "minimum": 0}
_INT64 = {
    "type": "string",
    "format": "int64",
    "description": "64 bits, as a string; a number is read too.",
}
_UINT64 = {"type": "string", "format": "uint64", "description": _INT64["description"]}
_SCALARS: dict[int, dict[str, Any]] = {
    _F.CPPTYPE_INT32: _INT32,
    _F.CPPTYPE_UINT32: _UINT32,
    _F.CPPTYPE_INT64: _INT64,
    _F.CPPTYPE_UINT64: _UINT64,
    _F.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    _F.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    _F.CPPTYPE_BOOL: {"type": "boolean"},
}
_P = "google.protobuf."
_WELL_KNOWN: dict[str, dict[str, Any]] = {
    _P + "Timestamp": {"type": "string", "format": "date-time"},
    _P + "Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    _P + "FieldMask": {"type": "string", "description": "Paths of fields, separated by commas."},
    _P + "Struct": {"type": "object"},
    _P + "Value": {},
    _P + "ListValue": {"type": "array", "items": {}},
    _P + "DoubleValue": {"type": ["number", "null"], "format": "double"},
    _P + "FloatValue": {"type": ["number", "null"], "format": "float"},
    _P + "Int64Value": {"type": ["string", "null"], "format": "int64"},
    _P + "UInt64Value": {"type": ["string", "null"], "format": "uint64"},
    _P + "Int32Value": {"type": ["integer", "null"], "format": "int32"},
    _P + "UInt32Value": {"type": ["integer", "null"], "format": "int64", "minimum": 0},
    _P + "BoolValue": {"type": ["boolean", "null"]},
    _P + "StringValue": {"type": ["string", "null"]},
    _P + "BytesValue": {"type": ["string", "null"], "contentEncoding": "base64"},
    _P + "Any": {"type": "object", "properties": {"@type": {"type": "string"}}, "required": ["@type"]},
}
_STATUS = "google.rpc.Status"


def is_leaf(message: Any) -> bool:
    """A message that is one value in JSON, and so may stand in a query."""
    return message.full_name in _WELL_KNOWN and message.full_name != _P + "Any"


class Schemas:
    def __init__(self, comments: Comments) -> None:
        self.comments = comments
        self.components: dict[str, dict[str, Any]] = {}

    @staticmethod
    def reference(full_name: str) -> dict[str, Any]:
        return {"$ref": f"#/components/schemas/{full_name}"}

    def of_field(self, field: FieldDescriptor) -> dict[str, Any]:
        if is_map(field):
            assert field.message_type is not None
            return {"type": "object", "additionalProperties": self._one(field.message_type.fields_by_name["value"])}
        schema = self._one(field)
        return {"type": "array", "items": schema} if field.is_repeated else schema

    def _one(self, field: Any) -> dict[str, Any]:
        if field.message_type is not None:
            return self.of_message(field.message_type)
        if field.enum_type is not None:
            return self._of_enum(field.enum_type)
        if field.type == _F.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return dict(_SCALARS.get(field.cpp_type, {"type": "string"}))

    def of_message(self, message: Any) -> dict[str, Any]:
        if message.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[message.full_name])
        if message.full_name not in self.components:
            self.components[message.full_name] = {}  # a message may hold itself
            self.components[message.full_name] = self._object(message, ())
        return self.reference(message.full_name)

    def message_without(self, message: Any, left_out: Collection[str]) -> dict[str, Any]:
        """The body of a request, some of whose fields the path gives already."""
        return self._object(message, left_out) if left_out else self.of_message(message)

    def _object(self, message: Any, left_out: Collection[str]) -> dict[str, Any]:
        properties = {}
        for field in message.fields:
            if field.name not in left_out:
                text = self.comments.of(field.full_name)
                properties[field.json_name] = self.of_field(field) | ({"description": text} if text else {})
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        text = self.comments.of(message.full_name)
        return schema | ({"description": text} if text else {})

    def _of_enum(self, enum: Any) -> dict[str, Any]:
        if enum.full_name == _P + "NullValue":
            return {"type": "null"}
        if enum.full_name not in self.components:
            text = self.comments.of(enum.full_name)
            schema = {"type": "string", "enum": [value.name for value in enum.values]}
            self.components[enum.full_name] = schema | ({"description": text} if text else {})
        return self.reference(enum.full_name)

    def add_status(self) -> None:
        """The form of every error."""
        self.components[_STATUS] = {
            "type": "object",
            "properties": {
                "code": {**_INT32, "description": "A google.rpc.Code."},
                "message": {"type": "string"},
                "details": {"type": "array", "items": _WELL_KNOWN[_P + "Any"]},
            },
            "required": ["code", "message", "details"],
        }
