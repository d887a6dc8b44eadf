"""The three JetStream streams: what they hold, for how long, and that they exist."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, RetentionPolicy, StreamConfig
from nats.js.api import StreamInfo as Info
from nats.js.errors import BadRequestError

from controlplane.adapters.bus.connection import Link
from controlplane.domain import subjects
from controlplane.domain.errors import InvalidRequest

EVENTS, WORK, EXTERNAL = "QD_EVENTS", "QD_WORK", "QD_EXTERNAL"
NAME_TAKEN = 10058
REQUEST_TIMEOUT_S = 5.0
# An unacknowledged message is given to another consumer after this; a long handler asks for more time.
ACK_WAIT_S = 10.0
WATCHER_KEPT_S = 60.0


@dataclass(frozen=True)
class Bounds:
    """Events beyond age or size are forgotten, oldest first. Work is never forgotten: when it is full, publishing is
    refused, and the agents keep what they have to say."""

    events_age_s: float = 7 * 86400.0
    events_bytes: int = 512 << 20
    external_bytes: int = 128 << 20
    work_bytes: int = 128 << 20
    duplicate_window_s: float = 300.0
    replicas: int = 1


async def make_streams(link: Link, bounds: Bounds) -> None:
    """Idempotent; a stream that exists with other bounds is changed. Raises Unavailable."""
    events, external = (
        StreamConfig(
            name=name,
            subjects=[subject],
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_age=bounds.events_age_s,
            max_bytes=max_bytes,
            duplicate_window=bounds.duplicate_window_s,
            num_replicas=bounds.replicas,
        )
        for name, subject, max_bytes in (
            (EVENTS, subjects.EVENTS, bounds.events_bytes),
            (EXTERNAL, subjects.EXTERNAL, bounds.external_bytes),
        )
    )
    work = StreamConfig(
        name=WORK,
        subjects=[subjects.WORK],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.NEW,
        max_bytes=bounds.work_bytes,
        duplicate_window=bounds.duplicate_window_s,
        num_replicas=bounds.replicas,
    )
    for config in (events, work, external):
        async with link.within(REQUEST_TIMEOUT_S):
            try:
                await link.js.add_stream(config)
            except BadRequestError as error:
                if error.err_code != NAME_TAKEN:
                    raise
                await link.js.update_stream(config)


async def make_durable(link: Link, durable: str, subject: str) -> str:
    """The stream in which the durable consumer now exists. Raises Unavailable, InvalidRequest for a foreign subject."""
    stream = stream_of(subject)
    config = ConsumerConfig(
        durable_name=durable,
        filter_subject=subject,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_S,
        # Tries are counted by us: the broker would drop a message silently.
        max_deliver=-1,
        max_waiting=512,
    )
    async with link.within(REQUEST_TIMEOUT_S):
        await link.js.add_consumer(stream, config)
    return stream


async def make_watcher(link: Link, subject: str, first_sequence: int) -> str:
    """The name of an ephemeral consumer of QD_EVENTS; the broker forgets it a minute after its reader has left."""
    config = ConsumerConfig(
        filter_subject=subject,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=first_sequence,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=WATCHER_KEPT_S,
        mem_storage=True,
        num_replicas=1,
    )
    async with link.within(REQUEST_TIMEOUT_S):
        return str((await link.js.add_consumer(EVENTS, config)).name)


async def events_info(link: Link) -> Info:
    async with link.within(REQUEST_TIMEOUT_S):
        return await link.js.stream_info(EVENTS)


def identity(info: Info) -> str:
    """Sixteen hex digits that differ for a stream that was made anew."""
    return hashlib.sha256(str(info.created).encode()).hexdigest()[:16]


def stream_of(subject: str) -> str:
    for stream, pattern in ((EVENTS, subjects.EVENTS), (WORK, subjects.WORK), (EXTERNAL, subjects.EXTERNAL)):
        if subject.startswith(pattern.removesuffix(">")):
            return stream
    raise InvalidRequest("SUBJECT_INVALID", "Durable messages are events or work.", subject=subject[:128])
