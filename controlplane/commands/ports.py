"""`quarterdeck ports …`: who holds which port of a machine, and those kept for a purpose."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from controlplane.commands.options import Output, OutputOption, Target, TokenFile

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Host ports: list, allocate, release.")

VmName = Annotated[str, typer.Argument(metavar="VM", help="Its id, or vms/ID.")]


class Protocol(StrEnum):
    TCP = "tcp"
    UDP = "udp"


@app.command("list")
def list_(
    vm: VmName,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 1000,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the ports of a machine that are not to be had, and why.

    \b
    quarterdeck ports list local
    """
    from quarterdeck.v1 import ports_pb2, ports_pb2_grpc

    from controlplane.commands.calls import calling, clock, enum_word, pages, resource, show_list

    request = ports_pb2.ListPortsRequest(parent=resource("vms", vm))
    with calling(target, token_file) as call:
        found = pages(call, ports_pb2_grpc.PortServiceStub(call.channel).ListPorts, request, "ports", limit)
    columns = {
        "PORT": lambda p: p.name,
        "STATE": lambda p: enum_word(p, "state"),
        "SESSION": lambda p: p.session,
        "NAME": lambda p: p.port_name,
        "FREE": lambda p: clock(p, "free_time"),
        "GAME": lambda p: p.game,
        "RESERVED FOR": lambda p: p.purpose,
    }
    show_list("ports", found, output, columns)


@app.command()
def allocate(
    vm: VmName,
    purpose: Annotated[str, typer.Option(help="What it is kept for, in words.")],
    protocol: Annotated[Protocol, typer.Option(help="Of the port.")] = Protocol.UDP,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its number; 0: any free one of the range.")] = 0,
    game: Annotated[str, typer.Option(help="The game whose sessions may take it. [default: none may]")] = "",
    client_token: Annotated[str, typer.Option(help="A repeated call with it reserves nothing new.")] = "",
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Keep a port of a machine from sessions, until it is released.

    \b
    quarterdeck ports allocate local --protocol tcp --port 25565 --purpose "the arena's own server" --game arena
    """
    from quarterdeck.v1 import ports_pb2, ports_pb2_grpc

    from controlplane.commands.calls import calling, resource, show

    request = ports_pb2.AllocatePortRequest(
        parent=resource("vms", vm),
        protocol=protocol.value,
        host_port=port,
        purpose=purpose,
        game=resource("games", game) if game else "",
        client_token=client_token,
    )
    with calling(target, token_file) as call:
        show(call(ports_pb2_grpc.PortServiceStub(call.channel).AllocatePort, request), output, _rows)


@app.command()
def release(
    name: Annotated[str, typer.Argument(metavar="PORT", help="vms/VM/ports/PROTOCOL-NUMBER.")],
    target: Target = None,
    token_file: TokenFile = None,
) -> None:
    """Give a reserved port back; a session that has it keeps it until its end.

    \b
    quarterdeck ports release vms/local/ports/tcp-25565
    """
    from quarterdeck.v1 import ports_pb2, ports_pb2_grpc

    from controlplane.commands.calls import calling

    with calling(target, token_file) as call:
        call(ports_pb2_grpc.PortServiceStub(call.channel).ReleasePort, ports_pb2.ReleasePortRequest(name=name))


def _rows(port: Any) -> Iterator[tuple[str, str]]:
    yield "port", port.name
    yield "reserved for", port.purpose
    yield "game", port.game
