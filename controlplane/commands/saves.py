"""`quarterdeck saves …`: what of a game's files outlives its sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.commands.options import Output, OutputOption, Target, TokenFile

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Saves: list, get, versions, restore, release, delete."
)

SaveName = Annotated[str, typer.Argument(metavar="SAVE", help="saves/ID, or the ID alone.")]


@app.command("list")
def list_(
    game: Annotated[str, typer.Option(help="Only of this game.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 100,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List saves, newest first.

    \b
    quarterdeck saves list
    quarterdeck saves list --game island --output json
    """
    from quarterdeck.v1 import saves_pb2

    from controlplane.commands.calls import clock, pages, resource, show_list

    request = saves_pb2.ListSavesRequest(game=resource("games", game) if game else "")
    with _service(target, token_file) as (call, stub):
        found = pages(call, stub.ListSaves, request, "saves", limit)
    columns = {
        "SAVE": lambda s: s.name,
        "GAME": lambda s: s.game,
        "CURRENT": lambda s: s.current_version.rpartition("/")[2],
        "SESSION": lambda s: s.session,
        "UPDATED": lambda s: clock(s, "update_time"),
        "NOT STORED BECAUSE": lambda s: s.detail,
    }
    show_list("saves", found, output, columns)


@app.command()
def get(
    name: SaveName, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Show one save: what the next session begins with, and who writes it now.

    \b
    quarterdeck saves get alices-world
    """
    from quarterdeck.v1 import saves_pb2

    from controlplane.commands.calls import resource, show

    with _service(target, token_file) as (call, stub):
        show(call(stub.GetSave, saves_pb2.GetSaveRequest(name=resource("saves", name))), output, rows)


@app.command()
def versions(
    name: SaveName,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 100,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the versions of a save, newest first.

    \b
    quarterdeck saves versions alices-world
    """
    from quarterdeck.v1 import saves_pb2

    from controlplane.commands.calls import clock, pages, resource, show_list

    request = saves_pb2.ListSaveVersionsRequest(parent=resource("saves", name))
    with _service(target, token_file) as (call, stub):
        found = pages(call, stub.ListSaveVersions, request, "versions", limit)
    columns = {
        "VERSION": lambda v: v.name,
        "SESSION": lambda v: v.session,
        "FINAL": lambda v: "yes" if v.final else "",
        "BYTES": lambda v: str(v.size_bytes),
        "FILES": lambda v: str(v.files),
        "CREATED": lambda v: clock(v, "create_time"),
    }
    show_list("versions", found, output, columns)


@app.command()
def restore(
    name: SaveName,
    version: Annotated[int, typer.Argument(min=1, help="The number of one of its versions.")],
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make the next session begin with this version. Later ones stay.

    \b
    quarterdeck saves restore alices-world 3
    """
    from quarterdeck.v1 import saves_pb2

    from controlplane.commands.calls import resource, show

    request = saves_pb2.RestoreSaveRequest(name=resource("saves", name), version=version)
    with _service(target, token_file) as (call, stub):
        show(call(stub.RestoreSave, request), output, rows)


@app.command()
def release(
    name: SaveName, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Give up what the last session's host has not stored yet, so that another session may write the save.

    \b
    quarterdeck saves release alices-world
    """
    from quarterdeck.v1 import saves_pb2

    from controlplane.commands.calls import resource, show

    with _service(target, token_file) as (call, stub):
        show(call(stub.ReleaseSave, saves_pb2.ReleaseSaveRequest(name=resource("saves", name))), output, rows)


@app.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="SAVE", help="A save, or one version: ID/versions/NUMBER.")],
    target: Target = None,
    token_file: TokenFile = None,
) -> None:
    """Delete a save with all its versions, or one version of it, for good.

    \b
    quarterdeck saves delete alices-world
    quarterdeck saves delete alices-world/versions/2
    """
    from quarterdeck.v1 import saves_pb2

    from controlplane.commands.calls import resource

    full = resource("saves", name)
    with _service(target, token_file) as (call, stub):
        if "/versions/" in full:
            call(stub.DeleteSaveVersion, saves_pb2.DeleteSaveVersionRequest(name=full))
        else:
            call(stub.DeleteSave, saves_pb2.DeleteSaveRequest(name=full))


@contextmanager
def _service(target: str | None, token_file: Path | None) -> Iterator[tuple[Any, Any]]:
    from quarterdeck.v1 import saves_pb2_grpc

    from controlplane.commands.calls import calling

    with calling(target, token_file) as call:
        yield call, saves_pb2_grpc.SaveServiceStub(call.channel)


def rows(save: Any) -> Iterator[tuple[str, str]]:
    """A save, as (label, value) lines."""
    from controlplane.commands.calls import clock

    yield "save", save.name
    yield "game", save.game
    yield "current", save.current_version
    yield "session", save.session
    yield "not stored", save.detail
    yield "created", clock(save, "create_time")
    yield "updated", clock(save, "update_time")
