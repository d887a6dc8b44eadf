"""Ids of events: unique without asking anybody, and in the order of time."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_id(at: datetime, position: int) -> str:
    """A version 7 UUID (RFC 9562) that sorts by `at` in microseconds, then by `position` in its transaction (16 bits),
    and ends in 46 random bits."""
    milliseconds, microseconds = divmod((at - EPOCH) // timedelta(microseconds=1), 1000)
    ordered = milliseconds << 80 | 7 << 76 | microseconds << 66 | 2 << 62 | (position & 0xFFFF) << 46
    word = f"{ordered | secrets.randbits(46):032x}"
    return f"{word[:8]}-{word[8:12]}-{word[12:16]}-{word[16:20]}-{word[20:]}"
