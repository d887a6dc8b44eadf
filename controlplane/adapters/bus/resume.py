"""Resume tokens: where in which stream a reader is. A stream made anew has another identity, so old tokens expire."""

from __future__ import annotations

import re
from dataclasses import dataclass

from controlplane.domain.errors import InvalidRequest, NotFound

TOKEN = re.compile(r"([0-9a-f]{16})\.([0-9]{1,19})")


@dataclass(frozen=True)
class Position:
    """After message `sequence` (0: before the first) of the stream `identity` (16 hex digits)."""

    identity: str
    sequence: int

    @property
    def token(self) -> str:
        return f"{self.identity}.{self.sequence}"


def parse(token: str) -> Position:
    """Raises InvalidRequest (RESUME_TOKEN_INVALID)."""
    found = TOKEN.fullmatch(token)
    if not found:
        raise InvalidRequest("RESUME_TOKEN_INVALID", "Give back a token as it was received.", field="resume_token")
    return Position(found[1], int(found[2]))


def check(position: Position, identity: str, first_sequence: int, last_sequence: int) -> None:
    """Raises NotFound (RESUME_TOKEN_EXPIRED) when a message after `position` is gone, or may be."""
    known = position.identity == identity and position.sequence <= last_sequence
    if not known or position.sequence + 1 < first_sequence:
        raise NotFound(
            "RESUME_TOKEN_EXPIRED", "The stream no longer goes back that far: list again.", field="resume_token"
        )
