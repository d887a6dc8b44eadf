"""Handlers of durable messages: thin, idempotent, from the wire to a use case."""

from __future__ import annotations

from collections.abc import Callable

from controlplane.domain import subjects
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
