"""An HTTP request into the message of its binding, and the answer's message into JSON. Pure.

Stricter than the usual transcoders: what the binding does not name is refused by name, never dropped.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.rpc import code_pb2

from controlplane.gateway.bindings import Binding
from controlplane.gateway.decode import (
    decode,
    find_field,
    invalid,
    is_map,
    join,
    load_json,
    set_field,
    set_text,
    unknown,
)
from controlplane.gateway.errors import StatusError

MAX_QUERY_FIELDS = 1000


def to_message(
    binding: Binding, variables: Mapping[str, str], query: bytes, body: bytes, content_type: str = ""
) -> Message:
    """The RPC's request. variables are decoded, query and body as they came. Raises StatusError."""
    message = binding.rpc.input()
    _body(binding, message, body, content_type)
    _query(binding, message, query)
    _path(binding, message, variables)
    return message


def _body(binding: Binding, message: Message, body: bytes, content_type: str) -> None:
    if binding.raw_request:
        target: Any = getattr(message, binding.body.name) if isinstance(binding.body, FieldDescriptor) else message
        target.data = body
        target.content_type = content_type
    elif not body.strip():
        return
    elif binding.body is None:
        raise invalid("this method takes no body", "UNEXPECTED_BODY")
    elif isinstance(binding.body, FieldDescriptor):
        set_field(message, binding.body, load_json(body), binding.body.json_name)
    else:
        decode(message, load_json(body))


def _query(binding: Binding, message: Message, query: bytes) -> None:
    if not query:
        return
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS
        )
    except UnicodeDecodeError:
        raise invalid("the query is not percent-encoded UTF-8", "INVALID_QUERY") from None
    except ValueError:
        raise invalid(f"the query has more than {MAX_QUERY_FIELDS} fields", "INVALID_QUERY") from None
    seen: set[str] = set()
    for name, text in pairs:
        fields = _query_fields(binding, name)
        key = ".".join(field.name for field in fields)
        if key in seen and not fields[-1].is_repeated:
            raise StatusError.of_field(name, "given more than once")
        seen.add(key)
        set_text(_parent(message, fields, name), fields[-1], text, name)


def _query_fields(binding: Binding, name: str) -> tuple[FieldDescriptor, ...]:
    """The fields that a query parameter walks through. Raises StatusError."""
    at: Descriptor | None = cast(Descriptor, binding.rpc.input.DESCRIPTOR)
    fields: list[FieldDescriptor] = []
    path = ""
    for part in name.split("."):
        path = join(path, part)
        if at is None:
            raise StatusError.of_field(path, "unknown field: its parent is no message")
        field = find_field(at, part)
        if field is None:
            raise unknown(path, at)
        if fields and fields[-1].is_repeated:
            raise StatusError.of_field(name, "a query reaches into no list; send it in the body")
        if is_map(field):
            raise StatusError.of_field(name, "a query holds no map; send it in the body")
        fields.append(field)
        at = field.message_type
    if binding.body == "*":
        raise StatusError.of_field(name, "belongs in the body: this method reads nothing from the query")
    if fields[0] is binding.body or fields[0] == binding.body:
        raise StatusError.of_field(name, "belongs in the body")
    names = tuple(field.name for field in fields)
    if any(names == tuple(f.name for f in bound.fields) for bound in binding.path_fields):
        raise StatusError.of_field(name, "is given by the path")
    return tuple(fields)


def _parent(message: Message, fields: tuple[FieldDescriptor, ...], name: str) -> Message:
    for field in fields[:-1]:
        _free_oneof(message, field, name)
        message = getattr(message, field.name)
        message.SetInParent()
    _free_oneof(message, fields[-1], name)
    return message


def _free_oneof(message: Message, field: FieldDescriptor, name: str) -> None:
    oneof = field.containing_oneof
    taken = message.WhichOneof(oneof.name) if oneof is not None else None
    if taken is not None and taken != field.name:
        raise StatusError.of_field(name, f"{taken} is given too, and only one of them may be")


def _path(binding: Binding, message: Message, variables: Mapping[str, str]) -> None:
    for bound in binding.path_fields:
        parent = _parent(message, bound.fields, bound.variable)
        field = bound.fields[-1]
        given = parent.HasField(field.name) if field.has_presence else bool(getattr(parent, field.name))
        before = copy.deepcopy(getattr(parent, field.name))
        set_text(parent, field, variables[bound.variable], bound.variable)
        if given and before != getattr(parent, field.name):
            raise StatusError.of_field(bound.variable, "the body and the path give different values")


def to_json(binding: Binding, message: Message) -> bytes:
    """The answer as JSON: defaults included, int64 as strings, bytes in base64. Raises StatusError (INTERNAL)."""
    return orjson.dumps(_shown(binding, message))


def _shown(binding: Binding, message: Message) -> Any:
    try:
        shown = binding.rpc.encode(message)
    except (TypeError, ValueError, json_format.Error) as error:
        words = f"the answer has no form as JSON: {error}"
        raise StatusError(code_pb2.INTERNAL, words, reason="UNPRINTABLE_ANSWER") from None
    if binding.response_body is None:
        return shown
    return shown.get(binding.response_body.json_name)


def to_raw(binding: Binding, message: Message) -> tuple[bytes, str]:
    """The bytes and the content type of an answer that is a google.api.HttpBody."""
    body: Any = getattr(message, binding.response_body.name) if binding.response_body is not None else message
    return body.data, body.content_type or "application/octet-stream"
