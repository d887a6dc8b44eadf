"""LogService: stored lines from the rows and objects, new ones from the session's console."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from quarterdeck.v1 import logs_pb2 as pb
from quarterdeck.v1 import logs_pb2_grpc as rpc

from controlplane.api import identity, pages
from controlplane.api.consolechannels import ConsoleChannels
from controlplane.api.following import Following
from controlplane.api.mapping.logs import STREAMS, line_message
from controlplane.api.mapping.values import duration, last_part, seconds, timestamp
from controlplane.domain.logs import Buckets, LogFilter, LogStream, complete
from controlplane.interfaces import LogPosition
from controlplane.usecases import logs
from controlplane.usecases.world import World

DEFAULT_LINES = 500
EPOCH = datetime.fromtimestamp(0, UTC)


class LogServicer(rpc.LogServiceServicer):
    def __init__(self, world: World, consoles: ConsoleChannels) -> None:
        self._world = world
        self._consoles = consoles

    async def GetLog(self, request: pb.GetLogRequest, context: Any) -> pb.Log:
        session_id = request.name.split("/")[1]
        session, heads = await logs.heads(self._world, identity.principal(), session_id)
        stored = [head.stored_at for head in heads if head.stored_at is not None]
        return pb.Log(
            name=request.name,
            lines=sum(head.lines for head in heads),
            dropped_lines=sum(head.dropped for head in heads),
            bytes=sum(head.bytes for head in heads),
            complete=complete(session.generation, heads) and session.finished,
            last_store_time=timestamp(max(stored, default=None)),
        )

    async def ListLogLines(self, request: pb.ListLogLinesRequest, context: Any) -> pb.ListLogLinesResponse:
        wanted = LogFilter(
            since=_moment(request, "start_time"),
            until=_moment(request, "end_time"),
            contains=request.contains,
            pattern=request.pattern,
            streams=frozenset(STREAMS[stream] for stream in request.streams),
        )
        query = _query(request)
        after = _position(pages.position_of(request.page_token, query))
        found = await logs.search(
            self._world,
            identity.principal(),
            last_part(request.session),
            wanted,
            after,
            request.page_size or DEFAULT_LINES,
            newest_first=request.newest_first,
        )
        token = pages.token_of((EPOCH, f"{found.next[0]}.{found.next[1]}"), query) if found.next else ""
        return pb.ListLogLinesResponse(lines=[line_message(*line) for line in found.lines], next_page_token=token)

    async def GetLogHistogram(self, request: pb.GetLogHistogramRequest, context: Any) -> pb.LogHistogram:
        since, until = _moment(request, "start_time"), _moment(request, "end_time")
        assert since is not None  # the proto's rules ask for both
        assert until is not None
        buckets = Buckets.of(since, until, seconds(request, "bucket"))
        counted = await logs.histogram(self._world, identity.principal(), last_part(request.session), buckets)
        return pb.LogHistogram(
            bucket=duration(buckets.span.total_seconds()),
            buckets=[
                pb.LogHistogram.Bucket(
                    start_time=timestamp(buckets.since + number * buckets.span),
                    stdout_lines=counts[LogStream.STDOUT],
                    stderr_lines=counts[LogStream.STDERR],
                    wrapper_lines=counts[LogStream.WRAPPER],
                )
                for number, counts in enumerate(counted)
            ],
        )

    async def FollowLogs(self, request: pb.FollowLogsRequest, context: Any) -> AsyncIterator[pb.FollowLogsResponse]:
        position = request.after_generation, request.after_sequence
        following = Following(self._world, self._consoles, identity.principal(), last_part(request.session), position)
        async for output in following.outputs():
            yield output


def _moment(message: Any, field: str) -> datetime | None:
    value: Timestamp = getattr(message, field)
    return value.ToDatetime(UTC) if message.HasField(field) else None


def _position(found: tuple[datetime, str] | None) -> LogPosition | None:
    if found is None:
        return None
    generation, _, sequence = found[1].partition(".")
    return int(generation), int(sequence)


def _query(request: pb.ListLogLinesRequest) -> bytes:
    """Whatever selects the list."""
    query = pb.ListLogLinesRequest()
    query.CopyFrom(request)
    query.ClearField("page_size")
    query.ClearField("page_token")
    return query.SerializeToString(deterministic=True)
