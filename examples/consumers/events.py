"""How a program reads external events: JSON documents from the JetStream stream QD_EXTERNAL, at least once.

Uses nothing of Quarterdeck's own code: it may be copied into a program of yours."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

STREAM = "QD_EXTERNAL"
HEARTBEAT_S = 1.0


@asynccontextmanager
async def connected() -> AsyncIterator[JetStreamContext]:
    """The broker that NATS_URL names, with the token in the file that NATS_TOKEN_FILE names. Waits until the control
    plane has made the stream."""
    client = await nats.connect(
        os.environ.get("NATS_URL", "nats://127.0.0.1:4222"),
        token=_token(),
        max_reconnect_attempts=-1,
    )
    try:
        stream = client.jetstream()
        while not await _exists(stream):  # noqa: ASYNC110 - the broker tells nobody of a new stream
            await asyncio.sleep(1.0)
        yield stream
    finally:
        await client.close()


def _token() -> str | None:
    token_file = os.environ.get("NATS_TOKEN_FILE", "")
    return Path(token_file).read_text(encoding="utf-8").strip() if token_file else None


async def _exists(stream: JetStreamContext) -> bool:
    try:
        await stream.stream_info(STREAM)
    except nats.js.errors.NotFoundError:
        return False
    return True


async def follow(
    stream: JetStreamContext, subject: str, durable: str = ""
) -> AsyncIterator[tuple[dict[str, Any], Msg]]:
    """(document, message) for ever.

    With a `durable` name the broker remembers how far this program has come, and starts it with what is new.
    Acknowledge each message when its document is dealt with: only then comes the next, after half a minute the same.
    Without a name everything that the stream still holds comes first, in order; nothing need be acknowledged."""
    if durable:
        one_by_one = ConsumerConfig(deliver_policy=DeliverPolicy.NEW, max_ack_pending=1)
        subscription = await stream.subscribe(
            subject, stream=STREAM, durable=durable, config=one_by_one, manual_ack=True
        )
    else:
        # The broker forgets a nameless consumer of whom it hears nothing for some seconds: this one is made anew then.
        subscription = await stream.subscribe(subject, stream=STREAM, ordered_consumer=True, idle_heartbeat=HEARTBEAT_S)
    async for message in subscription.messages:
        try:
            document = json.loads(message.data)
        except ValueError:
            await message.term()  # nobody will ever be able to read it
            continue
        yield document, message
