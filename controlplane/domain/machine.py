"""A state machine is one literal table `{(state, trigger): state}`; this is all that ever reads one.

The diagrams in ARCHITECTURE.md are drawn from the tables, and one parametrised test proves them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from controlplane.domain.errors import WrongState

S = TypeVar("S", bound=StrEnum)
T = TypeVar("T", bound=StrEnum)


@dataclass(frozen=True)
class Machine(Generic[S, T]):
    """`name` is the entity's word in errors; `initial` states may be created; `final` states absorb. `verbs` are the
    callers' words for the triggers that are theirs to pull; without any, the triggers' own."""

    name: str
    initial: frozenset[S]
    final: frozenset[S]
    table: Mapping[tuple[S, T], S]
    verbs: Mapping[T, str] = field(default_factory=dict)

    def allows(self, state: S, trigger: T) -> bool:
        return (state, trigger) in self.table

    def next(self, state: S, trigger: T) -> S:
        """The state after `trigger`. Raises WrongState, naming what would be allowed instead."""
        try:
            return self.table[state, trigger]
        except KeyError:
            open_now = [t for s, t in self.table if s == state]
            allowed = sorted({self.verbs.get(t, "" if self.verbs else str(t)) for t in open_now} - {""})
            asked = self.verbs.get(trigger, trigger)
            raise WrongState(
                f"{self.name.upper()}_WRONG_STATE",
                f"a {self.name} that is {state} cannot take '{asked}', only: {', '.join(allowed) or 'nothing'}",
                state=str(state),
                trigger=str(trigger),
            ) from None
