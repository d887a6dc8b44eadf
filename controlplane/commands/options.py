"""Options that several verbs share, and what they mean to settings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from controlplane.settings import Settings


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where the house keeps its files. [default: .quarterdeck]")
]
HttpPort = Annotated[
    int | None, typer.Option("--http-port", min=1, max=65535, help="Port of the gateway. [default: 8080]")
]
GrpcPort = Annotated[
    int | None,
    typer.Option(
        "--grpc-port", min=1, max=65535, help="Port of the gRPC API; agents use the next two. [default: 50051]"
    ),
]
Target = Annotated[
    str | None,
    typer.Option("--target", help="HOST:PORT of the gRPC API. [default: 127.0.0.1:50051]", metavar="HOST:PORT"),
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", help="File with your token. [default: <data-dir>/operator.token]")
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print.")]


def settings_from(**options: object) -> Settings:
    """Settings with these options on top; ends the program with 2 and one line per mistake when they cannot be used."""
    from controlplane.settings import SettingsError, load

    try:
        return load(**options)
    except SettingsError as error:
        for line in str(error).splitlines():
            typer.echo(f"Error: {line}", err=True)
        raise typer.Exit(2) from None
