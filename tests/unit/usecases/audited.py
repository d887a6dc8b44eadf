"""`quarterdeck audit`, of a store in memory."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.adapters.store.audit import found
from controlplane.adapters.store.codec import to_row
from controlplane.adapters.store.tables import metadata, outbox, port_leases, sessions, vms
from controlplane.usecases.world import World

MIRROR = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
metadata.create_all(MIRROR)


def audited(world: World) -> list[str]:
    """What `quarterdeck audit` says of a store in memory."""
    committed = world.store._committed  # type: ignore[attr-defined] - what a look past the store would see
    events = [
        {
            "id": row.event.id,
            "at": row.event.at,
            "lease_until": None,
            "published_at": row.event.at,
            **to_row(row.event.draft),
        }
        for row in committed["outbox"].values()
    ]
    with MIRROR.connect() as connection:
        for table, rows in (
            (vms, [to_row(vm) for vm in committed["vms"].values()]),
            (sessions, [to_row(session) for session in committed.get("sessions", {}).values()]),
            (port_leases, [to_row(lease) for lease in committed.get("port_leases", {}).values()]),
            (outbox, events),
        ):
            if rows:
                connection.execute(table.insert(), rows)
        told = found(connection)
        connection.rollback()
    return told
