"""`quarterdeck events …`: what happened in the project, and what happens, as it happens."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.commands.options import Output, OutputOption, Target, TokenFile

if TYPE_CHECKING:
    import grpc

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Events: list what happened, watch what happens.")

RETRY_S = 1.0

Types = Annotated[list[str] | None, typer.Option("--type", help="Such as quarterdeck.vm; may be repeated.")]
Subjects = Annotated[
    list[str] | None, typer.Option("--subject", help="Such as sessions/s-4k2j9x or vms; may be repeated.")
]


@app.command("list")
def list_(
    types: Types = None,
    subjects: Subjects = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Instead of newest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 100,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List what happened in the last eight days, newest first; as a player what happened to your own sessions.

    \b
    quarterdeck events list --subject sessions/s-4k2j9x --oldest-first
    quarterdeck events list --type quarterdeck.vm.error --output json
    """
    from quarterdeck.v1 import events_pb2, events_pb2_grpc

    from controlplane.commands.calls import calling, clock, pages, show_list

    request = events_pb2.ListEventsRequest(types=types, subjects=subjects, oldest_first=oldest_first)
    with calling(target, token_file) as call:
        stub = events_pb2_grpc.EventServiceStub(call.channel)
        found = pages(call, stub.ListEvents, request, "events", limit)
    columns = {
        "TIME": lambda event: clock(event, "time"),
        "TYPE": lambda event: event.type,
        "SUBJECT": lambda event: event.subject,
        "DATA": lambda event: _facts(event),
    }
    show_list("events", found, output, columns)


@app.command()
def watch(
    types: Types = None,
    subjects: Subjects = None,
    resume_token: Annotated[str, typer.Option(help="Go on after the event that this token came with.")] = "",
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print events from now on, until Ctrl-C. A connection that breaks is taken up where it was: nothing is lost.

    \b
    quarterdeck events watch --type quarterdeck.session
    quarterdeck events watch --subject vms/local --output json    # one JSON object per line
    """
    import grpc
    from quarterdeck.v1 import events_pb2, events_pb2_grpc

    from controlplane.commands.calls import calling

    request = events_pb2.WatchEventsRequest(types=types, subjects=subjects, resume_token=resume_token, bookmarks=True)
    with calling(target, token_file) as call:
        stub = events_pb2_grpc.EventServiceStub(call.channel)
        while True:
            try:
                for event in call(stub.WatchEvents, request, None):
                    request.resume_token = event.resume_token
                    if event.event_id:
                        typer.echo(_line(event, output))
            except grpc.RpcError as error:
                _again(error, request)
            time.sleep(RETRY_S)


def _again(error: grpc.RpcError, request: Any) -> None:
    """Goes on where the status says. Raises the error unless it passes, or where the stream never began."""
    import grpc
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
        raise error
    status, info = rpc_status.from_call(error), error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            request.resume_token = info.metadata.get("resume_token", request.resume_token)
    if not request.resume_token:
        raise error
    typer.echo(f"{error.code().name}: {error.details()}; connecting again", err=True)


def _line(event: Any, output: Output) -> str:
    from controlplane.commands.calls import as_json, clock

    if output is Output.JSON:
        return json.dumps(as_json(event), ensure_ascii=False)
    return f"{clock(event, 'time')}  {event.type}  {event.subject}  {_facts(event)}".rstrip()


def _facts(event: Any) -> str:
    from controlplane.commands.calls import as_json

    data = as_json(event).get("data", {})
    return " ".join(f"{name}={_plain(value)}" for name, value in sorted(data.items()) if value != "")


def _plain(value: Any) -> Any:
    # A Struct knows only doubles.
    return int(value) if isinstance(value, float) and value.is_integer() else value
