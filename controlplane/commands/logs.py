"""`quarterdeck sessions logs`: what a session's game has printed, also long after its end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.commands.options import Output, OutputOption, Target, TokenFile

if TYPE_CHECKING:
    from quarterdeck.v1 import logs_pb2

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
ENDLESS = 1 << 62


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"
    WRAPPER = "wrapper"


def register(app: typer.Typer) -> None:
    app.command()(logs)


def logs(
    name: Annotated[str, typer.Argument(metavar="SESSION", help="sessions/ID, or the ID alone.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until it is over.")] = False,
    since: Annotated[str, typer.Option(help="Only from then on: 90s, 15m, 2h, 3d ago, or a time as ISO 8601.")] = "",
    grep: Annotated[str, typer.Option(metavar="PATTERN", help="Only lines in which this is found (RE2).")] = "",
    stream: Annotated[list[Stream] | None, typer.Option(help="Only these; may be given again.")] = None,
    tail: Annotated[int, typer.Option(min=0, help="Only the last so many lines; 0: all.")] = 0,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print a session's log: what its game printed and its wrapper noted.

    \b
    quarterdeck sessions logs s-4k2j9x --since 15m --grep 'ERROR|panic'
    quarterdeck sessions logs s-4k2j9x --follow
    """
    from quarterdeck.v1 import console_pb2, logs_pb2, logs_pb2_grpc

    from controlplane.commands.calls import as_json, calling, resource, shown

    request = logs_pb2.ListLogLinesRequest(session=resource("sessions", name), pattern=grep, page_size=1000)
    for one in stream or ():
        request.streams.append(getattr(console_pb2, f"LOG_STREAM_{one.name}"))
    if since:
        request.start_time.FromDatetime(_moment(since, datetime.now(UTC)))
    with calling(target, token_file) as call:
        stub = logs_pb2_grpc.LogServiceStub(call.channel)
        for line in _followed(call, stub, request, tail) if follow else _stored(call, stub, request, tail):
            if output is Output.JSON:
                typer.echo(json.dumps(as_json(line), ensure_ascii=False))
                continue
            told = console_pb2.LogStream.Name(line.stream).removeprefix("LOG_STREAM_").lower()
            typer.echo(f"{line.time.ToJsonString()} {told:<7} {shown(line.text)}")


def _stored(call: Any, stub: Any, request: logs_pb2.ListLogLinesRequest, tail: int) -> Iterator[logs_pb2.LogLine]:
    """Page by page; the last `tail` lines are looked for from the end."""
    request.newest_first = tail > 0
    left = tail or ENDLESS
    newest: list[logs_pb2.LogLine] = []
    while left > 0:
        page = call(stub.ListLogLines, request)
        lines = page.lines[:left]
        left -= len(lines)
        if tail:
            newest += lines
        else:
            yield from lines
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    yield from reversed(newest)


def _followed(call: Any, stub: Any, request: logs_pb2.ListLogLinesRequest, tail: int) -> Iterator[logs_pb2.LogLine]:
    """Every line once, from the first that is wanted: the last `tail` of those that are stored, or all."""
    from quarterdeck.v1 import logs_pb2

    wanted = _matcher(request)
    following = logs_pb2.FollowLogsRequest(session=request.session)
    for line in _stored(call, stub, request, tail) if tail else ():
        yield line
        following.after_generation, following.after_sequence = line.generation, line.sequence
    for output in call(stub.FollowLogs, following, None):
        if output.missed:
            typer.echo(f"({output.missed} lines are lost)", err=True)
        yield from (line for line in output.lines if wanted(line))


def _matcher(request: logs_pb2.ListLogLinesRequest) -> Callable[[logs_pb2.LogLine], bool]:
    import re2

    from controlplane.commands.calls import fail

    options = re2.Options()
    options.log_errors = False
    try:
        found = re2.compile(request.pattern, options).search
    except re2.error:
        fail(f"--grep: {request.pattern!r} is no pattern of RE2")
    first = request.start_time.ToNanoseconds() if request.HasField("start_time") else 0

    def wanted(line: logs_pb2.LogLine) -> bool:
        right_stream = not request.streams or line.stream in request.streams
        return right_stream and line.time.ToNanoseconds() >= first and found(line.text) is not None

    return wanted


def _moment(text: str, now: datetime) -> datetime:
    """Ends the program where it is none."""
    from controlplane.commands.calls import fail

    ago = re.fullmatch(r"(\d{1,9})([smhd])", text)
    try:
        at = now - timedelta(seconds=int(ago[1]) * UNITS[ago[2]]) if ago else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        fail(f"--since: {text!r} is neither a time ago, such as 15m, nor one of ISO 8601")
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).replace(tzinfo=None)
