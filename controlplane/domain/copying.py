"""Changed copies of entities, for where very many are made."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")


def copied(entity: T, **changes: Any) -> T:
    """As dataclasses.replace, of classes that check nothing when they are made: fields are copied at once, where each
    would pass through the constructor. Raises TypeError for what is no field."""
    held = vars(entity)
    if not changes.keys() <= held.keys():
        raise TypeError(f"{type(entity).__name__} has no {', '.join(sorted(changes.keys() - held.keys()))}")
    copy: T = object.__new__(type(entity))
    vars(copy).update(held, **changes)
    return copy
