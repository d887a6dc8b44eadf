"""Entities to rows and back, read off the dataclasses themselves: a field is a column, a nested value is JSON.

Unknown JSON keys are dropped and missing ones take the field's default, so that releases next to each other can share
a database.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")
Codec = tuple[Callable[[Any], Any], Callable[[Any], Any]]

SCALARS: tuple[Any, ...] = (str, int, float, bool)


def to_row(entity: Any) -> dict[str, Any]:
    """Column values of an entity, by field name."""
    return _encode(entity, False)


def from_row(cls: type[T], row: Mapping[str, Any], prefix: str = "") -> T:
    """The entity in a row, whose columns may begin with a prefix; the row may have further columns."""
    shape = _shape(cls, False)
    data = {name: row[prefix + name] for name in shape.names}
    for name, decode in shape.decoders:
        data[name] = decode(data[name])
    return cls(**data)


def _encode(entity: Any, in_json: bool) -> dict[str, Any]:
    shape, said = _shape(type(entity), in_json), vars(entity)
    data = {name: said[name] for name in shape.names}
    for name, encode in shape.encoders:
        data[name] = encode(data[name])
    return data


def _decode_json(cls: type[T], given: Mapping[str, Any]) -> T:
    shape = _shape(cls, True)
    data = {name: given[name] for name in shape.names if name in given}
    for name, decode in shape.decoders:
        if name in data:
            data[name] = decode(data[name])
    return cls(**data)


@dataclasses.dataclass(frozen=True)
class _Shape:
    """The fields of a class, and what has to be done to those that are not kept as they are."""

    names: tuple[str, ...]
    encoders: tuple[tuple[str, Callable[[Any], Any]], ...]
    decoders: tuple[tuple[str, Callable[[Any], Any]], ...]


_KNOWN: dict[tuple[type[Any], bool], _Shape] = {}


def _shape(cls: Any, in_json: bool) -> _Shape:
    if (cls, in_json) not in _KNOWN:
        _KNOWN[cls, in_json] = _made(cls, in_json)
    return _KNOWN[cls, in_json]


def _made(cls: Any, in_json: bool) -> _Shape:
    hints = typing.get_type_hints(cls)
    codecs = {field.name: _codec(hints[field.name], in_json) for field in dataclasses.fields(cls)}
    changed = {name: codec for name, codec in codecs.items() if codec is not _PLAIN}
    return _Shape(
        tuple(codecs),
        tuple((name, encode) for name, (encode, _) in changed.items()),
        tuple((name, decode) for name, (_, decode) in changed.items()),
    )


def _codec(hint: Any, in_json: bool) -> Codec:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = [argument for argument in arguments if argument is not type(None)]
        codec = _codec(inner[0], in_json) if len(inner) == 1 else _PLAIN
        return codec if codec is _PLAIN else _optional(codec)
    if origin is tuple:
        encode, decode = codec = _codec(arguments[0], True)
        if codec is _PLAIN:
            return (list, tuple)
        return (lambda items: [encode(i) for i in items], lambda items: tuple(decode(i) for i in items))
    if origin is frozenset:
        return (sorted, frozenset)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return (dict, dict)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return (lambda word: word.value, hint)
    if hint is datetime:
        return (datetime.isoformat, datetime.fromisoformat) if in_json else _PLAIN
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return (lambda value: _encode(value, True), lambda data: _decode_json(hint, data))
    if hint in SCALARS:
        return _PLAIN
    raise TypeError(f"no rule for keeping {hint}")


def _same(value: Any) -> Any:
    return value


_PLAIN: Codec = (_same, _same)


def _optional(codec: Codec) -> Codec:
    encode, decode = codec
    return (
        lambda value: None if value is None else encode(value),
        lambda value: None if value is None else decode(value),
    )
