"""What the databases' errors mean to the caller: the class says the next move."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from controlplane.domain.errors import Conflict, InvalidRequest, NotFound, QuarterdeckError, Unavailable

FASTER = "serialisation failure, deadlock or lock time-out"

# https://www.postgresql.org/docs/current/errcodes-appendix.html
POSTGRES_CONFLICT = frozenset({"40001", "40P01", "55P03"})
POSTGRES_AWAY = frozenset({"57014", "57P01", "57P02", "57P03", "57P05", "25P03", "53300", "53100", "53200"})
# https://www.sqlite.org/rescode.html
SQLITE_CONFLICT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
SQLITE_AWAY = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})


@contextmanager
def refusing() -> Iterator[None]:
    """Raises the refusal that a database error within stands for."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        if known := refusal(error):
            raise known from error
        raise


def refusal(error: sa.exc.SQLAlchemyError) -> QuarterdeckError | None:
    """The refusal that a database error stands for; None when it is a fault of ours."""
    if isinstance(error, sa.exc.TimeoutError):
        return Unavailable("DATABASE_BUSY", "every database connection is in use: retry shortly")
    if isinstance(error, sa.exc.PendingRollbackError):
        return away()
    if not isinstance(error, sa.exc.DBAPIError):
        return None
    state = getattr(error.orig, "sqlstate", None) or ""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if state in POSTGRES_CONFLICT or code in SQLITE_CONFLICT:
        return Conflict("TRANSACTION_CONFLICT", f"{FASTER}: read again and retry")
    if error.connection_invalidated or state.startswith("08") or state in POSTGRES_AWAY or code in SQLITE_AWAY:
        return away()
    if isinstance(error, sa.exc.IntegrityError):
        return _integrity(error, state)
    if isinstance(error, sa.exc.OperationalError) and not state and not code:
        return away()
    if isinstance(error, sa.exc.DataError):
        return InvalidRequest("VALUE_REFUSED", "a value cannot be stored: it is out of range or holds a NUL character")
    return None


def away() -> Unavailable:
    return Unavailable("DATABASE_UNAVAILABLE", "the database is away: retry with backoff")


def _integrity(error: sa.exc.IntegrityError, state: str) -> QuarterdeckError:
    extended = getattr(error.orig, "sqlite_errorcode", 0)
    if state == "23503" or extended == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return NotFound("REFERENCE_MISSING", "the row refers to something that does not exist")
    return Conflict("CONSTRAINT_VIOLATED", "the change would break a constraint of the database")
