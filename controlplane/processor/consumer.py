"""Handlers of durable messages: thin, idempotent, from the wire to a use case."""

from __future__ import annotations

import json
from collections.abc import Callable

from controlplane.domain import subjects
from controlplane.domain.events import Event
from controlplane.domain.external import public_copy
from controlplane.domain.reconcile import Report
from controlplane.interfaces import Delivery, Handler
from controlplane.usecases import hosts
from controlplane.usecases.world import World


def reports(world: World, decode: Callable[[bytes], Report]) -> Handler:
    """What an agent saw, into the rows. Idempotent by (epoch, sequence); one of an older epoch is dropped (I7, I8)."""

    async def handle(delivery: Delivery) -> None:
        host_id = subjects.last_token(delivery.subject)
        report = decode(delivery.payload)
        if await hosts.accept_report(world, host_id, report):
            await world.bus.hint(subjects.accepted(host_id), f"{report.epoch}:{report.sequence}".encode())

    return handle


def external(world: World, decode: Callable[[bytes], Event]) -> Handler:
    """Public copies of events, for other systems. Idempotent: a copy has the id of its event, and the broker drops
    what it has."""

    async def handle(delivery: Delivery) -> None:
        event = decode(delivery.payload)
        if copy := public_copy(event):
            subject, document = copy
            await world.bus.publish(subject, json.dumps(document).encode(), event.id)

    return handle
