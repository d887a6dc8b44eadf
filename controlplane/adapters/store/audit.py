"""Checks the invariants of ARCHITECTURE.md that a database can show, on a live one: reads a snapshot, changes nothing.

I1 capacity, I3 ports, I4 outbox, I6 transitions, I10 rented machines, I22 audit trails. What the schema forbids is
not asked again. Besides, what an earlier release took and hosts refuse by now: deployments whose every session would
fail as it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from controlplane.adapters.store.address import SQLITE, address
from controlplane.adapters.store.codec import from_row
from controlplane.adapters.store.refusals import refusing
from controlplane.adapters.store.tables import (
    audit,
    deployments,
    games,
    outbox,
    port_leases,
    projects,
    provisionings,
    sessions,
    vm_attempts,
    vms,
)
from controlplane.adapters.store.trail import FIRST_SHA256, first_break
from controlplane.domain.attempt import Outcome
from controlplane.domain.container import DENIED
from controlplane.domain.host import HOST_MACHINE
from controlplane.domain.machine import Machine
from controlplane.domain.provisioning import Phase
from controlplane.domain.session import FINISHED, ON_HOST, SESSION_MACHINE
from controlplane.domain.vm import PLACEABLE, STATIC, VM_MACHINE, VmState
from controlplane.interfaces import AuditEntry, AuditRecord

# Published events are forgotten after eight days; what changed since a week must still have its event.
EVENTS_KEPT = timedelta(days=7)
# A relay publishes within a second; a broker that is away for longer is worth telling.
PUBLISHED_WITHIN = timedelta(minutes=5)
# Of an audit trail, which is long.
ROWS_AT_ONCE = 1000
# In these there is none, or it is on its way out.
MACHINELESS = frozenset({Phase.WANTED, Phase.PARKED, Phase.RELEASING, Phase.RELEASED})


def violations(url: str) -> list[str]:
    """One line for each broken invariant, such as "I1 vms/local: …", and for each current deployment that no host
    starts; empty when all is well.

    Raises Unavailable, InvalidRequest."""
    parsed = address(url)
    on_sqlite = parsed.get_backend_name() == SQLITE
    options = {} if on_sqlite else {"isolation_level": "REPEATABLE READ"}
    engine = sa.create_engine(parsed, poolclass=sa.NullPool, **options)
    if on_sqlite:
        sa.event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    with refusing(), engine.connect() as connection:
        return found(connection)


def found(connection: sa.Connection) -> list[str]:
    """The same of what a connection sees."""
    now = _now(connection)
    return [
        *_capacity(connection),
        *_ports(connection),
        *_events(connection, now),
        *_transitions(connection),
        *_machines(connection),
        *_trails(connection),
        *_refused(connection),
    ]


def _now(connection: sa.Connection) -> datetime:
    """By the database's clock."""
    now = connection.scalar(sa.select(sa.func.now()))
    assert isinstance(now, datetime)
    return now if now.tzinfo is not None else now.replace(tzinfo=UTC)


def _capacity(connection: sa.Connection) -> Iterator[str]:
    held = (
        sa.select(sessions.c.vm_id, sa.func.count().label("n"), sa.func.sum(sessions.c.units).label("units"))
        .where(sessions.c.state.in_(ON_HOST))
        .group_by(sessions.c.vm_id)
        .subquery()
    )
    columns = (vms.c.id, vms.c.used_units, vms.c.active_sessions, vms.c.capacity_units, held.c.n, held.c.units)
    for vm in connection.execute(sa.select(*columns).outerjoin(held, held.c.vm_id == vms.c.id)):
        units, count = int(vm.units or 0), int(vm.n or 0)
        if (units, count) != (vm.used_units, vm.active_sessions):
            yield (
                f"I1 vms/{vm.id}: {count} sessions weigh {units} units, "
                f"but its row says {vm.active_sessions} and {vm.used_units}"
            )
        if units > vm.capacity_units:
            yield f"I1 vms/{vm.id}: its sessions weigh {units} of {vm.capacity_units} units"


def _ports(connection: sa.Connection) -> Iterator[str]:
    lease, session = port_leases.c, sessions.c
    live = (
        sa.select(lease.vm_id, lease.protocol, lease.host_port, session.id, session.state, session.vm_id.label("on_vm"))
        .join(sessions, session.id == lease.session_id)
        .where(lease.free_at.is_(None), sa.or_(session.state.not_in(ON_HOST), session.vm_id != lease.vm_id))
    )
    for row in connection.execute(live):
        yield f"I3 vms/{row.vm_id} {row.protocol} {row.host_port}: held for sessions/{row.id}, which is {row.state}"
    foreign = (
        sa.select(lease.vm_id, lease.protocol, lease.host_port, lease.game_id, session.id)
        .join(sessions, session.id == lease.session_id)
        .where(lease.purpose != "", lease.free_at.is_(None), session.game_id != lease.game_id)
    )
    for vm_id, protocol, host_port, game_id, session_id in connection.execute(foreign):
        kept = f"games/{game_id}" if game_id else "no game"
        yield f"I3 vms/{vm_id} {protocol} {host_port}: reserved for {kept}, held by sessions/{session_id}"
    media = sa.exists().where(lease.session_id == session.id, lease.free_at.is_(None))
    without = sa.select(session.id).where(session.state.in_(ON_HOST), session.streamed, ~media)
    for row in connection.execute(without):
        yield f"I3 sessions/{row.id}: runs without a leased media port"


def _events(connection: sa.Connection, now: datetime) -> Iterator[str]:
    told = sa.exists().where(
        outbox.c.subject == "sessions/" + sessions.c.id,
        outbox.c.type == "quarterdeck.session." + sa.func.lower(sessions.c.state),
    )
    recent = sessions.c.updated_at > now - EVENTS_KEPT
    for row in connection.execute(sa.select(sessions.c.id, sessions.c.state).where(recent, ~told)):
        yield f"I4 sessions/{row.id}: became {row.state} without an event"
    late = sa.select(outbox.c.id, outbox.c.type).where(
        outbox.c.published_at.is_(None), outbox.c.at < now - PUBLISHED_WITHIN
    )
    for row in connection.execute(late):
        yield f"I4 event {row.id} ({row.type}): not published for {PUBLISHED_WITHIN.total_seconds():.0f} s"


def _transitions(connection: sa.Connection) -> Iterator[str]:
    machines: Mapping[str, Machine[Any, Any]] = {"vm": VM_MACHINE, "session": SESSION_MACHINE, "host": HOST_MACHINE}
    for word, machine in machines.items():
        allowed = {(str(before), str(after)) for (before, _), after in machine.table.items()}
        allowed |= {("", str(state)) for state in machine.initial}
        events = sa.select(outbox.c.subject, outbox.c.data).where(outbox.c.type.like(f"quarterdeck.{word}.%"))
        for subject, data in connection.execute(events):
            step = data.get("previous"), data.get("state")
            if None not in step and step not in allowed:
                yield f"I6 {subject}: went from {step[0] or 'nothing'} to {step[1]}"
    unended = sa.select(sessions.c.id, sessions.c.state).where(
        sessions.c.state.in_(FINISHED), sa.or_(sessions.c.ended_at.is_(None), sessions.c.reason == "")
    )
    for row in connection.execute(unended):
        yield f"I6 sessions/{row.id}: is {row.state} without an end and a reason"


def _machines(connection: sa.Connection) -> Iterator[str]:
    """Rented VMs and their purchase tell the same."""
    rented = (
        sa.select(vms.c.id, vms.c.state, provisionings.c.phase)
        .outerjoin(provisionings, provisionings.c.id == vms.c.id)
        .where(vms.c.provider != STATIC)
    )
    for row in connection.execute(rented):
        if row.phase is None:
            yield f"I10 vms/{row.id}: is rented, but no row wants its machine"
        elif row.state == VmState.TERMINATED and row.phase != Phase.RELEASED:
            yield f"I10 vms/{row.id}: is TERMINATED, but its machine is {row.phase}"
        elif row.state in PLACEABLE and row.phase in MACHINELESS:
            yield f"I10 vms/{row.id}: is {row.state} without a machine, which is {row.phase}"
    doubled = sa.select(vm_attempts.c.vm_id).where(vm_attempts.c.outcome == str(Outcome.OPEN))
    doubled = doubled.group_by(vm_attempts.c.vm_id).having(sa.func.count() > 1)
    for row in connection.execute(doubled):
        yield f"I10 vms/{row.vm_id}: has more than one attempt under way"


def _trails(connection: sa.Connection) -> Iterator[str]:
    for project in connection.execute(sa.select(projects)).all():
        trail = sa.select(audit).where(audit.c.project_id == project.id)
        in_order = trail.order_by(audit.c.sequence).execution_options(yield_per=ROWS_AT_ONCE)
        with connection.execute(in_order) as rows:
            broken = first_break(map(_record, rows.mappings()))
        if broken is not None:
            yield f"I22 projects/{project.id}: its audit trail was changed at record {broken}"
            continue
        newest = connection.execute(trail.order_by(audit.c.sequence.desc()).limit(1)).first()
        last, digest = (newest.sequence, newest.sha256) if newest is not None else (0, FIRST_SHA256)
        if (last, digest) != (project.audit_sequence, project.audit_sha256):
            yield f"I22 projects/{project.id}: its audit trail ends at record {last} of {project.audit_sequence}"


def _record(row: sa.RowMapping) -> AuditRecord:
    entry = from_row(AuditEntry, dict(row))
    return AuditRecord(entry, row["at"], row["sequence"], row["previous_sha256"], row["sha256"])


def _refused(connection: sa.Connection) -> Iterator[str]:
    made, game = deployments.c, games.c
    current = sa.and_(
        made.project_id == game.project_id, made.game_id == game.id, made.number == game.current_deployment
    )
    columns = (made.project_id, made.game_id, made.number, made.environment, made.container, made.disk_bytes)
    asked = sa.select(*columns).join(games, current).order_by(made.project_id, made.game_id)
    for row in connection.execute(asked):
        refused = [f"variable {name}" for name in sorted(filter(DENIED.match, row.environment))]
        if row.disk_bytes and row.container and row.container.get("writable_root"):
            refused.append("writable_root beside disk_bytes")
        for what in refused:
            yield (
                f"games/{row.game_id}/deployments/{row.number} of {row.project_id}: hosts refuse its {what}; "
                "deploy the game without it"
            )
