"""Which database a URL means, whatever driver it names: the drivers are ours to choose."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.domain.errors import InvalidRequest

SQLITE, POSTGRES = "sqlite", "postgresql"


def address(url: str) -> sa.URL:
    """`sqlite:///path` or `postgresql://…`, parsed. Raises InvalidRequest."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        parsed = sa.URL.create("unknown")
    backend = parsed.get_backend_name()
    if backend == SQLITE and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername=SQLITE)
    if backend == POSTGRES:
        return parsed.set(drivername="postgresql+psycopg")
    raise InvalidRequest(
        "DATABASE_URL_INVALID",
        "a database URL is sqlite:///<path>, postgresql://<user>@<host>/<database> or memory://",
        field="database_url",
    )
