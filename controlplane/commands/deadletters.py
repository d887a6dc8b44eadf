"""`quarterdeck deadletters …`: messages that a consumer gave up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.commands.options import Output, OutputOption, Target, TokenFile

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Dead letters: list, get, replay, delete what consumers gave up."
)

LetterName = Annotated[str, typer.Argument(metavar="LETTER", help="deadLetters/ID, or the ID alone.")]


@app.command("list")
def list_(
    consumer: Annotated[str, typer.Option(help="Only of this consumer, such as reports.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 100,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List dead letters, newest first.

    \b
    quarterdeck deadletters list
    quarterdeck deadletters list --consumer reports --output json
    """
    from quarterdeck.v1 import deadletters_pb2, deadletters_pb2_grpc

    from controlplane.commands.calls import calling, clock, pages, show_list

    request = deadletters_pb2.ListDeadLettersRequest(consumer=consumer)
    with calling(target, token_file) as call:
        stub = deadletters_pb2_grpc.DeadLetterServiceStub(call.channel)
        found = pages(call, stub.ListDeadLetters, request, "dead_letters", limit)
    columns = {
        "LETTER": lambda m: m.name,
        "TIME": lambda m: clock(m, "time"),
        "BYTES": lambda m: str(m.payload_bytes),
        "REPLAY": lambda m: clock(m, "replay_time"),
        "ERROR": lambda m: m.error,
    }
    show_list("deadLetters", found, output, columns)


@app.command()
def get(
    name: LetterName, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Show one dead letter; with --output json its message too, in base64.

    \b
    quarterdeck deadletters get reports.local-3-17
    """
    from quarterdeck.v1 import deadletters_pb2

    from controlplane.commands.calls import show

    with _service(target, token_file) as (call, stub):
        show(call(stub.GetDeadLetter, deadletters_pb2.GetDeadLetterRequest(name=_full(name))), output, _rows)


@app.command()
def replay(
    name: LetterName, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Hand it to its consumer once more: gone when that succeeds, else it stays with the new error.

    \b
    quarterdeck deadletters replay reports.local-3-17
    """
    from quarterdeck.v1 import deadletters_pb2

    from controlplane.commands.calls import show

    with _service(target, token_file) as (call, stub):
        show(call(stub.ReplayDeadLetter, deadletters_pb2.ReplayDeadLetterRequest(name=_full(name))), output, _rows)


@app.command()
def delete(name: LetterName, target: Target = None, token_file: TokenFile = None) -> None:
    """Drop a dead letter for good.

    \b
    quarterdeck deadletters delete reports.local-3-17
    """
    from quarterdeck.v1 import deadletters_pb2

    with _service(target, token_file) as (call, stub):
        call(stub.DeleteDeadLetter, deadletters_pb2.DeleteDeadLetterRequest(name=_full(name)))


@contextmanager
def _service(target: str | None, token_file: Path | None) -> Iterator[tuple[Any, Any]]:
    from quarterdeck.v1 import deadletters_pb2_grpc

    from controlplane.commands.calls import calling

    with calling(target, token_file) as call:
        yield call, deadletters_pb2_grpc.DeadLetterServiceStub(call.channel)


def _full(name: str) -> str:
    from controlplane.commands.calls import resource

    return resource("deadLetters", name)


def _rows(letter: Any) -> Iterator[tuple[str, str]]:
    from controlplane.commands.calls import clock

    yield "letter", letter.name
    yield "consumer", letter.consumer
    yield "subject", letter.subject
    yield "time", clock(letter, "time")
    yield "error", letter.error
    yield "bytes", str(letter.payload_bytes)
    yield "replay asked", clock(letter, "replay_time")
