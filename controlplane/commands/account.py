"""`quarterdeck signin|operator|keys`: a link for a browser; the first operator and the keys of separate roles."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from controlplane.commands.options import DataDir, HttpPort, Output, OutputOption, Target, TokenFile


def register(app: typer.Typer) -> None:
    app.command("signin")(sign_in)
    app.command("operator")(operator)
    app.command("keys")(keys)


def operator(data_dir: DataDir = None, token_file: TokenFile = None) -> None:
    """Make the token of a file an operator's, right in the database; the file is made where there is none.

    For the first operator of a house whose roles run apart, and for one who has lost his token. `quarterdeck up` does
    it by itself.

    \b
    quarterdeck operator
    quarterdeck operator --token-file /run/secrets/operator-token
    """
    from controlplane import bootstrap
    from controlplane.commands.options import settings_from
    from controlplane.domain.errors import QuarterdeckError

    settings = settings_from(data_dir=data_dir, token_file=token_file)
    try:
        bootstrap.operator(settings)
    except (QuarterdeckError, OSError) as error:
        raise SystemExit(f"Error: {error}") from error
    typer.echo(f"The token in {settings.token_file} is an operator's.")


def keys(data_dir: DataDir = None) -> None:
    """Make the house's keys in QUARTERDECK_CA_DIR where there are none, and print what agents pin.

    Every API and processor needs the same ones. The roles make them too; this is for mounting them read-only.
    """
    from controlplane.adapters.ca import FileCertificateAuthority, stream_token_key
    from controlplane.commands.options import settings_from

    settings = settings_from(data_dir=data_dir)
    try:
        stream_token_key(settings.ca_dir)
        typer.echo(FileCertificateAuthority(settings.ca_dir, settings.cert_ttl_s).ca_sha256)
    except OSError as error:
        raise SystemExit(f"Error: {error}") from error


def sign_in(
    url: Annotated[str, typer.Option(help="Where your browser finds the gateway. [default: this machine]")] = "",
    session: Annotated[str, typer.Option(help="Lead straight to this session's play page.")] = "",
    data_dir: DataDir = None,
    http_port: HttpPort = None,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print a link that signs a browser in, once.

    \b
    quarterdeck signin
    quarterdeck signin --session s-4k2j9x
    quarterdeck signin --url https://play.example.org
    """
    from quarterdeck.v1 import accounts_pb2, accounts_pb2_grpc

    from controlplane.commands.calls import calling, clock
    from controlplane.commands.options import settings_from
    from controlplane.settings import sign_in_link

    settings = settings_from(data_dir=data_dir, http_port=http_port)
    with calling(target, token_file, data_dir) as call:
        stub = accounts_pb2_grpc.AccountServiceStub(call.channel)
        code = call(stub.CreateSignInCode, accounts_pb2.CreateSignInCodeRequest())
    link = sign_in_link(url or settings.gateway_url, code.code, session.removeprefix("sessions/"))
    if output is Output.JSON:
        typer.echo(json.dumps({"url": link, "expireTime": code.expire_time.ToJsonString()}))
    else:
        typer.echo(f"{link}\nGood once, until {clock(code, 'expire_time')} UTC.")
