"""`quarterdeck tokens …`: bearer tokens of programs and people; who lost one revokes it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from controlplane.commands.options import Output, OutputOption, Target, TokenFile

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Tokens of this project: create, list, revoke.")


@app.command()
def create(
    subject: Annotated[str, typer.Argument(help="Who it is for, such as ci or alice@example.org.")],
    operator: Annotated[bool, typer.Option("--operator", help="An operator's. [default: a player's]")] = False,
    ttl: Annotated[float, typer.Option(min=0, help="Seconds that it works. [default: 30 days]")] = 0,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a token and print it, once. It ends no later than your own, and is revoked with it.

    \b
    quarterdeck tokens create ci --operator --ttl 86400 > ci.token
    quarterdeck tokens create alice@example.org
    """
    from google.protobuf.duration_pb2 import Duration
    from quarterdeck.v1 import accounts_pb2, accounts_pb2_grpc

    from controlplane.commands.calls import as_json, calling

    request = accounts_pb2.CreateTokenRequest(
        subject=subject, role=accounts_pb2.ROLE_OPERATOR if operator else accounts_pb2.ROLE_PLAYER
    )
    if ttl:
        request.ttl.CopyFrom(Duration(seconds=int(ttl), nanos=round(ttl % 1 * 1e9)))
    with calling(target, token_file) as call:
        made = call(accounts_pb2_grpc.AccountServiceStub(call.channel).CreateToken, request)
    typer.echo(json.dumps(as_json(made), indent=2) if output is Output.JSON else made.token)


@app.command("list")
def list_(
    subject: Annotated[str, typer.Option(help="Only of this one.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 100,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the tokens that work now, newest first: of the whole project, for a player his own.

    \b
    quarterdeck tokens list
    quarterdeck tokens list --subject ci --output json
    """
    from quarterdeck.v1 import accounts_pb2, accounts_pb2_grpc

    from controlplane.commands.calls import calling, clock, pages, show_list

    request = accounts_pb2.ListTokensRequest(subject=subject)
    with calling(target, token_file) as call:
        stub = accounts_pb2_grpc.AccountServiceStub(call.channel)
        found = pages(call, stub.ListTokens, request, "tokens", limit)
    columns = {
        "TOKEN": lambda m: m.name,
        "SUBJECT": lambda m: m.subject,
        "ROLE": lambda m: accounts_pb2.Role.Name(m.role).removeprefix("ROLE_"),
        "MADE": lambda m: clock(m, "create_time"),
        "UNTIL": lambda m: clock(m, "expire_time"),
        "MADE WITH": lambda m: m.made_with,
    }
    show_list("tokens", found, output, columns)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="TOKEN", help="tokens/ID, or the ID alone, as `tokens list` shows.")],
    target: Target = None,
    token_file: TokenFile = None,
) -> None:
    """Revoke a token and all that was made with it.

    \b
    quarterdeck tokens revoke c-4k2j9x7q
    """
    from quarterdeck.v1 import accounts_pb2, accounts_pb2_grpc

    from controlplane.commands.calls import calling, resource

    with calling(target, token_file) as call:
        stub = accounts_pb2_grpc.AccountServiceStub(call.channel)
        answer = call(stub.RevokeToken, accounts_pb2.RevokeTokenRequest(name=resource("tokens", name)))
    typer.echo(f"Revoked: {answer.revoked_count} (it, and what was made with it).")
