"""One gRPC call from the command line: the channel, the token, and an error told in one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from controlplane.commands.options import Output, settings_from

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message

CALL_TIMEOUT_S = 30.0
MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Caller:
    """A channel to the API and the metadata that says who calls."""

    def __init__(self, channel: grpc.Channel, token: str):
        self.channel = channel
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def __call__(self, method: Callable[..., Any], request: Message, timeout_s: float | None = CALL_TIMEOUT_S) -> Any:
        """Calls a stub's method. Errors of gRPC pass through to `calling`, which tells them."""
        return method(request, metadata=self.metadata, timeout=timeout_s)


@contextmanager
def calling(target: str | None, token_file: Path | None, data_dir: Path | None = None) -> Iterator[Caller]:
    """Yields a Caller; a gRPC error inside ends the program with 1 and one line that says the reason and the field."""
    import grpc

    settings = settings_from(target=target, token_file=token_file, data_dir=data_dir)
    token = settings.token or _read_token(settings.token_file)
    limit = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
    with grpc.insecure_channel(settings.target, options=limit) as channel:
        try:
            yield Caller(channel, token)
        except grpc.RpcError as error:
            fail(explain(error, settings.target))
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def fail(message: str) -> NoReturn:
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(1)


def explain(error: grpc.RpcError, target: str) -> str:
    """`CODE REASON: message (field: what is wrong)`, from the details the API attaches to every refusal."""
    import grpc
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    code: grpc.StatusCode = error.code()
    message: str = error.details() or "no details"
    status = rpc_status.from_call(error)
    if status is None:
        if code is grpc.StatusCode.UNAVAILABLE:
            return (
                f"UNAVAILABLE: nobody answers at {target}; is `quarterdeck up` running there? (--target names another)"
            )
        return f"{code.name}: {message}"
    reason, fields = "", []
    for detail in status.details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = f" {info.reason}"
        elif detail.Unpack(bad):
            fields += [f"{violation.field}: {violation.description}" for violation in bad.field_violations]
    shown = [field for field in fields if field.partition(": ")[2] != status.message] or [
        field.partition(":")[0] for field in fields
    ]
    return f"{code.name}{reason}: {status.message}" + (f" ({'; '.join(shown)})" if shown else "")


def show(message: Message, output: Output, rows: Callable[[Any], Iterable[tuple[str, str]]]) -> None:
    """Prints one resource: as its JSON, or its (label, value) rows."""
    if output is Output.JSON:
        typer.echo(json.dumps(as_json(message), indent=2, ensure_ascii=False))
        return
    pairs = [(label, value) for label, value in rows(message) if value]
    width = max((len(label) for label, _ in pairs), default=0)
    for label, value in pairs:
        typer.echo(f"{label:<{width}}  {value}")


def show_list(name: str, messages: list[Any], output: Output, columns: dict[str, Callable[[Any], str]]) -> None:
    """Prints many: as {name: [...]}, or one line each below a head."""
    if output is Output.JSON:
        typer.echo(json.dumps({name: [as_json(message) for message in messages]}, indent=2, ensure_ascii=False))
        return
    lines = [list(columns), *([cell(message) or "-" for cell in columns.values()] for message in messages)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def as_json(message: Message) -> dict[str, Any]:
    """The JSON of the REST gateway, empty fields left out."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message)


def shown(text: str) -> str:
    """What a game prints must not steer the terminal."""
    return "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in text)


def pages(call: Caller, method: Callable[..., Any], request: Any, field: str, limit: int) -> list[Any]:
    """The first `limit` resources of a List method, page by page."""
    found: list[Any] = []
    while len(found) < limit:
        request.page_size = min(limit - len(found), 500)
        response = call(method, request)
        found += getattr(response, field)
        request.page_token = response.next_page_token
        if not request.page_token:
            break
    return found[:limit]


def resource(kind: str, name: str) -> str:
    """`sessions/abc` for `abc` and for `sessions/abc`."""
    return name if name.startswith(f"{kind}/") else f"{kind}/{name}"


def enum_word(message: Any, field: str) -> str:
    """The enum value's own word: RUNNING for SESSION_STATE_RUNNING, empty for UNSPECIFIED."""
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    values = kind.values_by_number
    prefix = values[0].name.removesuffix("UNSPECIFIED")
    number = getattr(message, field)
    return "" if number == 0 else values[number].name.removeprefix(prefix) if number in values else str(number)


def clock(message: Any, field: str) -> str:
    """A time field in UTC, to the second; empty when unset."""
    return getattr(message, field).ToDatetime().strftime("%Y-%m-%d %H:%M:%S") if message.HasField(field) else ""


def _read_token(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""  # the API says what to do; a target without accounts needs none
    except OSError as error:
        fail(f"cannot read the token: {error}")
