"""The gRPC listeners and those who come without a call: a connection that says nothing does not stay."""

from __future__ import annotations

import asyncio
import contextlib

from controlplane.api.server import ENROLMENT_BOUNDS
from tests.component.api.plane import Plane

WITHIN_S = 60.0


async def test_a_connection_that_says_nothing_does_not_stay(api: Plane) -> None:
    for port in (api.ports.api, api.ports.enrolment, api.ports.link):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(WITHIN_S):
            await ended(reader)
        writer.close()


async def test_enrolment_takes_few_connections_at_once(api: Plane) -> None:
    guests = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", api.ports.enrolment) for _ in range(300)))
    shown_out = {asyncio.ensure_future(ended(reader)) for reader, _ in guests}
    async with asyncio.timeout(WITHIN_S):
        while len([one for one in shown_out if one.done()]) < 300 - ENROLMENT_BOUNDS.connections:
            await asyncio.wait({one for one in shown_out if not one.done()}, return_when=asyncio.FIRST_COMPLETED)
    still = [one for one in shown_out if not one.done()]
    for one in still:
        one.cancel()
    for _, writer in guests:
        writer.close()
    assert still


async def ended(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionResetError):
        while await reader.read(1024):
            pass
