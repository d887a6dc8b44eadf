"""Resources written down in files: YAML or JSON with the field names of the REST API."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.commands.calls import fail

if TYPE_CHECKING:
    from google.protobuf.message import Message

MAX_BYTES = 4 * 1024 * 1024

File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="YAML or JSON with the fields of the REST API; - reads standard input."),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter",
        "-p",
        metavar="NAME=VALUE",
        help="A parameter; may be repeated. NAME=@FILE takes it from a file, NAME=@- from standard input: so a secret "
        "is in no list of processes. NAME=@@… is a value that begins with @.",
    ),
]


def fill(message: Message, file: Path) -> None:
    """Takes the message's fields from the file. Ends the program with 1 and the reason where it cannot."""
    import yaml
    from google.protobuf.json_format import ParseDict, ParseError

    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as source:
            content = source.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            fail(f"{file} is larger than {MAX_BYTES} bytes")
        found = yaml.safe_load(content)
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        fail(f"{file} is neither YAML nor JSON: {error}")
    if not isinstance(found, dict):
        fail(f"{file} must hold the fields of a {message.DESCRIPTOR.name}, one name and value each")
    try:
        ParseDict(found, message)
    except ParseError as error:
        fail(f"{file} is no {message.DESCRIPTOR.name}: {error}")


def pairs(given: list[str] | None) -> dict[str, str]:
    """NAME=VALUE or NAME=@FILE each. Ends the program with 1 for one without a name or an equals sign, or a file that
    cannot be read."""
    found: dict[str, str] = {}
    for pair in given or ():
        name, separator, value = pair.partition("=")
        if not name or not separator:
            fail(f"--parameter takes NAME=VALUE, not {pair!r}")
        found[name] = _value(name, value)
    return found


def _value(name: str, given: str) -> str:
    if not given.startswith("@"):
        return given
    if given.startswith("@@"):
        return given[1:]
    try:
        with sys.stdin.buffer if given == "@-" else Path(given[1:]).open("rb") as source:
            content = source.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            fail(f"--parameter {name}: {given[1:]} is larger than {MAX_BYTES} bytes")
        return content.decode().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"--parameter {name}: cannot read {given[1:]}: {error}")
