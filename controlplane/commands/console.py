"""`quarterdeck sessions console|send|act`: what a session's game prints, and lines typed into it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from controlplane.commands.documents import Parameters, pairs
from controlplane.commands.options import Output, OutputOption, Target, TokenFile
from controlplane.commands.sessions import SessionName


def console(
    name: SessionName,
    after: Annotated[int, typer.Option(min=0, help="Only lines after this sequence.")] = 0,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print what a session's game prints, as it comes, until it is over.

    \b
    quarterdeck sessions console s-4k2j9x
    quarterdeck sessions console s-4k2j9x --after 120 --output json    # one JSON object per line
    """
    from quarterdeck.v1 import console_pb2, console_pb2_grpc

    from controlplane.commands.calls import as_json, calling, resource, shown

    request = console_pb2.StreamConsoleRequest(session=resource("sessions", name), after_sequence=after)
    with calling(target, token_file) as call:
        stub = console_pb2_grpc.ConsoleServiceStub(call.channel)
        for printed in call(stub.StreamConsole, request, None):
            if printed.missed and output is not Output.JSON:
                typer.echo(f"({printed.missed} lines are not kept any more)", err=True)
            for line in printed.lines:
                told = json.dumps(as_json(line), ensure_ascii=False) if output is Output.JSON else shown(line.text)
                typer.echo(told)


def send(
    name: SessionName,
    lines: Annotated[list[str], typer.Argument(metavar="LINE…", help="Each is typed as one line.")],
    target: Target = None,
    token_file: TokenFile = None,
) -> None:
    """Type lines into the console of a session's game.

    \b
    quarterdeck sessions send s-4k2j9x "say hello"
    """
    from quarterdeck.v1 import console_pb2, console_pb2_grpc

    from controlplane.commands.calls import calling, resource

    request = console_pb2.SendConsoleInputRequest(session=resource("sessions", name), lines=lines)
    with calling(target, token_file) as call:
        call(console_pb2_grpc.ConsoleServiceStub(call.channel).SendConsoleInput, request)


def act(
    name: SessionName,
    action: Annotated[str, typer.Argument(metavar="ACTION", help="One of its deployment's actions.")],
    parameter: Parameters = None,
    target: Target = None,
    token_file: TokenFile = None,
) -> None:
    """Type the lines of one of the deployment's actions into the console.

    \b
    quarterdeck sessions act s-4k2j9x weather --parameter kind=squall
    """
    from quarterdeck.v1 import console_pb2, console_pb2_grpc

    from controlplane.commands.calls import calling, resource

    request = console_pb2.ExecuteActionRequest(
        session=resource("sessions", name), action=action, parameters=pairs(parameter)
    )
    with calling(target, token_file) as call:
        call(console_pb2_grpc.ConsoleServiceStub(call.channel).ExecuteAction, request)


def register(sessions: typer.Typer) -> None:
    """Adds these verbs to those of sessions."""
    for verb in (console, send, act):
        sessions.command()(verb)
