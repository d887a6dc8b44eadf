"""`quarterdeck games …`: the catalogue, and the deployments that sessions run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from controlplane.commands.documents import File, Parameters, fill, pairs
from controlplane.commands.options import Output, OutputOption, Target, TokenFile

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Games: list, get, create, update, deploy, preview."
)

GameName = Annotated[str, typer.Argument(metavar="GAME", help="games/ID, or the ID alone.")]
Number = Annotated[int | None, typer.Option("--deployment", min=1, help="Its number; the current one when left out.")]


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 100,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the catalogue."""
    from quarterdeck.v1 import games_pb2, games_pb2_grpc

    from controlplane.commands.calls import calling, pages, show_list

    with calling(target, token_file) as call:
        stub = games_pb2_grpc.GameServiceStub(call.channel)
        found = pages(call, stub.ListGames, games_pb2.ListGamesRequest(), "games", limit)
    columns = {
        "GAME": lambda g: g.name,
        "TITLE": lambda g: g.display_name,
        "DEPLOYMENT": lambda g: g.current_deployment.rpartition("/")[2],
        "PRESET": lambda g: g.default_preset,
    }
    show_list("games", found, output, columns)


@app.command()
def get(
    name: GameName, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Show one game."""
    from quarterdeck.v1 import games_pb2

    from controlplane.commands.calls import resource

    _call("GetGame", games_pb2.GetGameRequest(name=resource("games", name)), target, token_file, output)


@app.command()
def create(
    name: GameName, file: File, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Add a game to the catalogue. It can be played once it has a deployment.

    \b
    printf 'displayName: Island\\ndefaultPreset: default-standard\\n' | quarterdeck games create island -
    """
    from quarterdeck.v1 import games_pb2

    request = games_pb2.CreateGameRequest(game_id=name.removeprefix("games/"), client_token=uuid.uuid4().hex)
    request.game.SetInParent()
    fill(request.game, file)
    _call("CreateGame", request, target, token_file, output)


@app.command()
def update(
    name: GameName, file: File, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Change the fields that the file has; others stay as they are."""
    from quarterdeck.v1 import games_pb2

    from controlplane.commands.calls import resource

    request = games_pb2.UpdateGameRequest()
    fill(request.game, file)
    request.game.name = resource("games", name)
    _call("UpdateGame", request, target, token_file, output)


@app.command()
def deploy(
    name: GameName, file: File, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Give a game its next deployment, which new sessions use from then on. Those that play keep theirs.

    \b
    quarterdeck games deploy island deployment.yaml
    quarterdeck games deployment island --output json    # what there is now
    printf 'command: [island]\\npicture: PICTURE_FRAMES\\n' | quarterdeck games deploy island -

    Its fields are those of Deployment in the gateway's /openapi.json; docs/games.md explains them by examples.
    """
    from quarterdeck.v1 import games_pb2

    from controlplane.commands.calls import resource

    request = games_pb2.CreateDeploymentRequest(parent=resource("games", name), client_token=uuid.uuid4().hex)
    fill(request.deployment, file)
    _call("CreateDeployment", request, target, token_file, output)


@app.command()
def deployment(
    name: GameName,
    number: Number = None,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a deployment; secrets are masked."""
    from quarterdeck.v1 import games_pb2, games_pb2_grpc

    from controlplane.commands.calls import calling, show

    with calling(target, token_file) as call:
        stub = games_pb2_grpc.GameServiceStub(call.channel)
        request = games_pb2.GetDeploymentRequest(name=_deployment(call, stub, name, number))
        show(call(stub.GetDeployment, request), output, _rows)


@app.command()
def preview(
    name: GameName,
    number: Number = None,
    parameter: Parameters = None,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what a session would run with: its command, environment and files, secrets masked.

    \b
    quarterdeck games preview island --parameter difficulty=hard
    """
    from quarterdeck.v1 import games_pb2, games_pb2_grpc

    from controlplane.commands.calls import calling, show

    with calling(target, token_file) as call:
        stub = games_pb2_grpc.GameServiceStub(call.channel)
        request = games_pb2.PreviewDeploymentRequest(
            name=_deployment(call, stub, name, number), parameters=pairs(parameter)
        )
        show(call(stub.PreviewDeployment, request), output, _configuration)


def _deployment(call: Any, stub: Any, name: str, number: int | None) -> str:
    from quarterdeck.v1 import games_pb2

    from controlplane.commands.calls import fail, resource

    game = resource("games", name)
    if number is not None:
        return f"{game}/deployments/{number}"
    current: str = call(stub.GetGame, games_pb2.GetGameRequest(name=game)).current_deployment
    return current or fail(f"{game} has no deployment yet; `quarterdeck games deploy` gives it one")


def _call(method: str, request: Any, target: Any, token_file: Any, output: Output) -> None:
    from quarterdeck.v1 import games_pb2_grpc

    from controlplane.commands.calls import calling, show

    with calling(target, token_file) as call:
        show(call(getattr(games_pb2_grpc.GameServiceStub(call.channel), method), request), output, _rows)


def _rows(found: Any) -> Iterator[tuple[str, str]]:
    """Of a game or a deployment: every field that is set, by the name that files use."""
    import json

    from controlplane.commands.calls import as_json

    for label, value in as_json(found).items():
        yield label, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _configuration(found: Any) -> Iterator[tuple[str, str]]:
    import shlex

    yield "command", shlex.join(found.command)
    for name, value in sorted(found.parameters.items()):
        yield f"parameter {name}", value
    for name, value in sorted(found.environment.items()):
        yield f"environment {name}", value
    for file in found.files:
        yield f"file {file.path}", "\n  " + file.text.rstrip("\n").replace("\n", "\n  ")
