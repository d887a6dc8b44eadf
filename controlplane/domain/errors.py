"""Errors whose class says the caller's next move. The API maps classes to gRPC status in one table (api/status.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class QuarterdeckError(Exception):
    """A refusal with a stable reason.

    `reason` is UPPER_SNAKE_CASE and never changes meaning; `message` is one sentence for people that names the remedy;
    `field` names the offending request field, `details` carries further facts as strings.
    """

    def __init__(self, reason: str, message: str, *, field: str = "", **details: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.details: Mapping[str, str] = details


class InvalidRequest(QuarterdeckError):
    """The request is wrong whatever the state: change it."""


class Unauthenticated(QuarterdeckError):
    """Nobody we know: sign in."""


class Forbidden(QuarterdeckError):
    """Known, but not allowed: ask someone who is."""


class NotFound(QuarterdeckError):
    """There is no such thing in the caller's scope."""


class AlreadyExists(QuarterdeckError):
    """The name or client token is taken by something else."""


class WrongState(QuarterdeckError):
    """Not in this state: change the state first."""


class Conflict(QuarterdeckError):
    """Somebody else was faster: read again and retry."""


class Exhausted(QuarterdeckError):
    """No capacity, quota or budget now: wait or raise the limit."""


class Unavailable(QuarterdeckError):
    """A part is away: retry with backoff."""


def as_one(work: str, errors: Sequence[Exception]) -> Exception:
    """What many pieces of some work ended in, one at least, as one error. A race or a part that is away is told as such
    only where nothing else broke."""
    passing = all(isinstance(error, (Conflict, Unavailable)) for error in errors)
    return errors[0] if passing else ExceptionGroup(work, errors)
