"""Logs of sessions: taken over from hosts, searched, counted, and in the end forgotten.

An object is written before the row that names it, and deleted before that row is: a row may for a moment name an
object that is gone, never the other way round for long, since a session's last row leaves all that is left of it to the
collection of garbage.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import dropwhile

from controlplane.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from controlplane.domain.identity import Principal
from controlplane.domain.logs import (
    Buckets,
    LogChunk,
    LogFilter,
    LogHead,
    LogLine,
    LogStream,
    appended,
    packed,
    unpacked,
)
from controlplane.domain.session import Session
from controlplane.interfaces import LogPosition, LogRange
from controlplane.usecases.links import admitted
from controlplane.usecases.world import World, operators_only

APPEND_TRIES = 5
# What one call reads at most: then it answers with what it has, and the next page goes on.
PAGE_CHUNKS = 32
HISTOGRAM_CHUNKS = 500
EXPIRE_BATCH = 200
LEFT_BATCH = 1000


async def append(world: World, host_id: str, session_id: str, generation: int, records: bytes, complete: bool) -> int:
    """Stores what is new of these lines; the sequence up to which all is stored or lost. Only the host that the
    generation is bound to may. Raises InvalidRequest, NotFound, Forbidden; Unavailable and Exhausted by the store."""
    await admitted(world, host_id)
    lines = await asyncio.to_thread(unpacked, records) if records else ()
    for _ in range(APPEND_TRIES):
        head, keep_s, stored_bytes = await _head(world, host_id, session_id, generation)
        fresh = list(dropwhile(lambda line, seen=head.to_sequence: line.sequence <= seen, lines))  # type: ignore[misc]
        if not fresh and head.complete >= complete:
            return head.to_sequence
        try:
            acknowledged = await _append(world, head, fresh, complete, timedelta(seconds=keep_s))
        except Conflict:
            continue  # the same lines came another way too
        if stored_bytes > world.policy.log_session_bytes:
            async with world.store.tx() as tx:
                await tx.logs.shorten(session_id, world.policy.log_session_bytes)
        return acknowledged
    raise Conflict("LOG_BUSY", "this log is written by others at the same time: send it again")


async def _append(world: World, head: LogHead, lines: Sequence[LogLine], complete: bool, keep: timedelta) -> int:
    """Raises Conflict when the head has moved on."""
    key, chunk = "", None
    data = await asyncio.to_thread(packed, lines) if lines else b""
    if lines:
        name = f"{head.generation}/{lines[0].sequence:020d}-{world.ids.new('c')}.gz"
        key = f"logs/{head.project_id}/{head.session_id}/{name}"
        await world.objects.put(key, _once(data))
    try:
        async with world.store.tx() as tx:
            now = await tx.now()
            if lines:
                head, chunk = appended(head, lines, complete, now, keep, key, len(data))
            else:
                head = head.closed(now)
            await tx.logs.put(head, chunk)
    except Conflict:
        if key:
            await world.objects.delete([key])
        raise
    return head.to_sequence


async def _head(world: World, host_id: str, session_id: str, generation: int) -> tuple[LogHead, float, int]:
    """The head as it is, how long lines are to be kept, and the bytes of all that was ever stored of the session.
    Raises NotFound, Forbidden."""
    async with world.store.reading() as tx:
        session = await tx.sessions.get(session_id)
        if session is None:
            raise NotFound("SESSION_NOT_FOUND", f"there is no session 'sessions/{session_id}'", field="session_id")
        heads = await tx.logs.heads(session_id)
        known = [head for head in heads if head.generation == generation]
        game = await tx.catalogue.game(session.project_id, session.game_id)
    bound = session.vm_id if session.generation == generation else ""
    if (known[0].host_id if known else bound) != host_id:
        raise Forbidden("LOG_NOT_YOURS", f"generation {generation} of {session.name} is not bound to this host")
    head = known[0] if known else LogHead(session_id, generation, session.project_id, host_id)
    keep_s = (game.log_retention_s if game else 0.0) or world.policy.log_retention_s
    return head, keep_s, sum(one.bytes for one in heads)


async def heads(world: World, who: Principal, session_id: str) -> tuple[Session, Sequence[LogHead]]:
    """A session of the caller's project and its generations' logs. Raises NotFound, Forbidden."""
    operators_only(who)
    async with world.store.reading() as tx:
        session = await tx.sessions.get(session_id)
        if session is None or session.project_id != who.project_id:
            raise NotFound("SESSION_NOT_FOUND", f"there is no session 'sessions/{session_id}'", field="session")
        return session, await tx.logs.heads(session_id)


@dataclass(frozen=True)
class Found:
    """Lines with their generations, and where to go on; None: nowhere."""

    lines: Sequence[tuple[int, LogLine]]
    next: LogPosition | None


async def search(
    world: World,
    who: Principal,
    session_id: str,
    wanted: LogFilter,
    after: LogPosition | None,
    limit: int,
    *,
    newest_first: bool = False,
) -> Found:
    """Stored lines behind `after`. Reads a bounded number of chunks. Raises NotFound, Forbidden, InvalidRequest."""
    matches = wanted.matcher()
    await heads(world, who, session_id)
    span = LogRange(after, wanted.since, wanted.until, newest_first)
    async with world.store.reading() as tx:
        chunks = await tx.logs.chunks(session_id, span, PAGE_CHUNKS)
    found: list[tuple[int, LogLine]] = []
    for chunk in chunks:
        lines = await _read(world, chunk)
        for line in reversed(lines) if newest_first else lines:
            position = chunk.generation, line.sequence
            if after is not None and (position >= after if newest_first else position <= after):
                continue
            if matches(line):
                found.append((chunk.generation, line))
                if len(found) == limit:
                    return Found(found, position)
    if len(chunks) < PAGE_CHUNKS:
        return Found(found, None)
    last = chunks[-1]
    return Found(found, (last.generation, last.from_sequence if newest_first else last.to_sequence))


async def histogram(world: World, who: Principal, session_id: str, buckets: Buckets) -> Sequence[Counter[LogStream]]:
    """Lines by stream in each bucket. Raises NotFound, Forbidden, InvalidRequest when too much would be read."""
    await heads(world, who, session_id)
    counted: list[Counter[LogStream]] = [Counter() for _ in range(buckets.count)]
    after: LogPosition | None = None
    read = 0
    while True:
        async with world.store.reading() as tx:
            span = LogRange(after, buckets.since, buckets.until)
            chunks = await tx.logs.chunks(session_id, span, HISTOGRAM_CHUNKS)
        for chunk in chunks:
            whole = buckets.whole(chunk)
            if whole is not None:
                counted[whole].update(chunk.counts)
                continue
            read += 1
            if read > HISTOGRAM_CHUNKS:
                raise InvalidRequest(
                    "BUCKETS_TOO_FINE", "that is too much to count: take longer buckets", field="bucket"
                )
            for line in await _read(world, chunk):
                if (index := buckets.index(line.at)) is not None:
                    counted[index][line.stream] += 1
        if len(chunks) < HISTOGRAM_CHUNKS:
            return counted
        after = chunks[-1].generation, chunks[-1].to_sequence


async def expire(world: World) -> int:
    """Deletes chunks whose time is over, and the logs of finished sessions that nothing is left of; how many chunks.
    Any number of replicas may: what is gone is fine."""
    gone = 0
    while True:
        async with world.store.reading() as tx:
            chunks = await tx.logs.expired(EXPIRE_BATCH)
        if chunks:
            await world.objects.delete([chunk.object_key for chunk in chunks])
            async with world.store.tx() as tx:
                await tx.logs.remove(chunks)
        gone += len(chunks)
        if len(chunks) < EXPIRE_BATCH:
            await _forget_spent(world)
            return gone


async def _forget_spent(world: World) -> None:
    """Lines may come while this is under way: their object is newer than the look at what is left, or their row keeps
    the head, and with it all that lies there."""
    async with world.store.reading() as tx:
        before = await tx.now() - timedelta(seconds=world.policy.log_retention_s)
        spent = await tx.logs.spent(before, EXPIRE_BATCH)
        over = [head for head in spent if (session := await tx.sessions.get(head.session_id)) and session.finished]
    left = {(head.session_id, head.generation): await _left(world, head) for head in over}
    async with world.store.tx() as tx:
        now = await tx.now()
        for head in await tx.logs.forget(over):
            for key in left[head.session_id, head.generation]:
                await tx.garbage.expect(key, now)


async def _left(world: World, head: LogHead) -> Sequence[str]:
    """Objects that no row names: of one who died between the two."""
    prefix, found = f"logs/{head.project_id}/{head.session_id}/{head.generation}", list[str]()
    while more := await world.objects.list(prefix, found[-1] if found else "", LEFT_BATCH):
        found += more
    return found


async def _read(world: World, chunk: LogChunk) -> Sequence[LogLine]:
    """No lines when retention was faster."""
    try:
        data = b"".join([piece async for piece in world.objects.get(chunk.object_key)])
    except NotFound:
        return ()
    return await asyncio.to_thread(unpacked, data)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
