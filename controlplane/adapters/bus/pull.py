"""Messages of a JetStream pull consumer, one by one as they come, with at most `batch` of them unread.

The client library's own `fetch` holds back the first message of a batch until the batch is full or its time is over,
which would cost an event on a quiet bus seconds; this follows the same protocol without that wait."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import suppress

import nats.errors
from nats.aio.msg import Msg

from controlplane.adapters.bus.connection import Link, Patience, bus_away

EXPIRES_S, HEARTBEAT_S = 15, 5
NANOSECONDS = 1_000_000_000
# 404: none now, 408: the request expired, 100: heartbeat.
HEARTBEAT, AGAIN = "100", ("404", "408")


async def pull(link: Link, stream: str, consumer: str, batch: int) -> AsyncGenerator[Msg, None]:
    """For ever. Raises Unavailable when the connection or the consumer is gone: make it again."""
    client, patience = link.client, Patience()
    inbox = client.new_inbox()
    request = json.dumps(
        {"batch": batch, "expires": EXPIRES_S * NANOSECONDS, "idle_heartbeat": HEARTBEAT_S * NANOSECONDS}
    ).encode()
    try:
        subscription = await client.subscribe(inbox)
    except (OSError, nats.errors.Error) as error:
        raise bus_away(repr(error)) from error
    try:
        while True:
            await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", request, reply=inbox)
            wanted = batch
            while wanted:
                message = await subscription.next_msg(timeout=2 * HEARTBEAT_S + 1)
                patience.check()
                status = (message.headers or {}).get("Status", "") if not message.reply else ""
                if not status and message.reply:
                    wanted -= 1
                    yield message
                elif status in AGAIN:
                    break
                elif status != HEARTBEAT:
                    raise bus_away(f"consumer {consumer}: {status} {(message.headers or {}).get('Description', '')}")
    except (TimeoutError, OSError, nats.errors.Error) as error:
        patience.check()
        raise bus_away(repr(error)) from error
    finally:
        with suppress(OSError, nats.errors.Error):
            await subscription.unsubscribe()
