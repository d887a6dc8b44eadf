"""A message that its consumer has given up (I19): kept whole, so that it can be looked at and handled again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class DeadLetter:
    """`replay_at`: when an operator asked for one more try that has not been made yet. `subject` is "" for an event
    that no bus could take: there is nothing to hand to a consumer."""

    consumer: str
    event_id: str
    at: datetime
    subject: str
    payload: bytes
    error: str
    replay_at: datetime | None = None

    @property
    def key(self) -> str:
        """Unique among dead letters; consumers' names have no dot."""
        return f"{self.consumer}.{self.event_id}"

    @property
    def name(self) -> str:
        return f"deadLetters/{self.key}"
