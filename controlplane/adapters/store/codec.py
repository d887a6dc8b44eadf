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

_KNOWN: dict[tuple[type[Any], bool], dict[str, Codec]] = {}
SCALARS: tuple[Any, ...] = (str, int, float, bool)


def to_row(entity: Any) -> dict[str, Any]:
    """Column values of an entity, by field name."""
    return _encode(entity, False)


def from_row(cls: type[T], row: Mapping[str, Any], prefix: str = "") -> T:
    """The entity in a row, whose columns may begin with a prefix; the row may have further columns."""
    return cls(**{name: decode(row[prefix + name]) for name, (_, decode) in _fields(cls, False).items()})


def _encode(entity: Any, in_json: bool) -> dict[str, Any]:
    return {name: encode(getattr(entity, name)) for name, (encode, _) in _fields(type(entity), in_json).items()}


def _decode_json(cls: type[T], data: Mapping[str, Any]) -> T:
    return cls(**{name: decode(data[name]) for name, (_, decode) in _fields(cls, True).items() if name in data})


def _fields(cls: Any, in_json: bool) -> dict[str, Codec]:
    if (cls, in_json) not in _KNOWN:
        hints = typing.get_type_hints(cls)
        _KNOWN[cls, in_json] = {f.name: _codec(hints[f.name], in_json) for f in dataclasses.fields(cls)}
    return _KNOWN[cls, in_json]


def _codec(hint: Any, in_json: bool) -> Codec:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = [argument for argument in arguments if argument is not type(None)]
        return _optional(_codec(inner[0], in_json)) if len(inner) == 1 else _PLAIN
    if origin is tuple:
        encode, decode = _codec(arguments[0], True)
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
