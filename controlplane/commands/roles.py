"""The programs of the house: `up` supervises all of them, the others run one."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.commands.options import DataDir, GrpcPort, HttpPort, settings_from

if TYPE_CHECKING:
    from controlplane.bootstrap import Role


def register(app: typer.Typer) -> None:
    app.command("up")(up)
    app.command("all")(all_roles)
    app.command("api")(api)
    app.command("gateway")(gateway)
    app.command("processor")(processor)
    app.command("migrate")(migrate)
    app.command("audit")(audit)


def up(
    data_dir: DataDir = None,
    http_port: HttpPort = None,
    grpc_port: GrpcPort = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="API, gateway and processor as processes of their own; needs PostgreSQL.")
    ] = False,
    no_agent: Annotated[bool, typer.Option("--no-agent", help="Start no host agent on this machine.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Start a first session of the demo game.")] = False,
) -> None:
    """Run everything on this machine, and restart what dies. Ctrl-C stops it all.

    \b
    quarterdeck up
    quarterdeck up --data-dir /var/lib/quarterdeck --http-port 9000
    QUARTERDECK_DATABASE_URL=postgresql+psycopg://… quarterdeck up --separate
    """
    from controlplane.supervise.house import run

    settings = settings_from(data_dir=data_dir, http_port=http_port, grpc_port=grpc_port)
    sys.exit(run(settings, separate=separate, agent=not no_agent, demo=demo))


def all_roles(
    data_dir: DataDir = None,
    http_port: HttpPort = None,
    grpc_port: GrpcPort = None,
) -> None:
    """Run migrations, then API, gateway and processor in one process."""
    _run("all", data_dir=data_dir, http_port=http_port, grpc_port=grpc_port)


def api(data_dir: DataDir = None, grpc_port: GrpcPort = None) -> None:
    """Run the gRPC API, enrolment and the agent link."""
    _run("api", data_dir=data_dir, grpc_port=grpc_port)


def gateway(
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="HOST:PORT", help="Any gRPC server with reflection; it decides who may call."),
    ] = None,
    api: Annotated[
        str | None,
        typer.Option(
            "--api", metavar="HOST:PORT", help="Quarterdeck's API, with pages and sign-in. [default: this machine's]"
        ),
    ] = None,
    data_dir: DataDir = None,
    http_port: HttpPort = None,
) -> None:
    """Run the HTTP gateway, for Quarterdeck's API or for any gRPC server that has reflection.

    \b
    quarterdeck gateway
    quarterdeck gateway --target 127.0.0.1:50051 --http-port 8081
    """
    if target and api:
        raise typer.BadParameter("give either --target or --api", param_hint="--target")
    _run("gateway", plain=target or "", target=api, data_dir=data_dir, http_port=http_port)


def processor(data_dir: DataDir = None) -> None:
    """Run consumers, the outbox relay and the ticker."""
    _run("processor", data_dir=data_dir)


class Migration(StrEnum):
    UP = "up"
    DOWN = "down"
    CHECK = "check"


def migrate(
    verb: Annotated[Migration, typer.Argument(help="up, down or check.")] = Migration.UP,
    to: Annotated[str, typer.Option(metavar="REVISION", help="Where `down` goes, such as 0004, or base.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Bring the database's tables up to date, take them back, or say where they stand.

    `up` may run while the release before serves the database. `down` loses what later tables held. `check` ends with 1
    when a migration is missing, or a table is not what this release knows.

    \b
    quarterdeck migrate
    quarterdeck migrate check
    quarterdeck migrate down --to 0004
    """
    if (verb is Migration.DOWN) != bool(to):
        raise typer.BadParameter("`down` needs --to, and nothing else takes it", param_hint="--to")
    if verb is Migration.UP:
        _run("migrate", data_dir=data_dir)
    from controlplane import bootstrap

    sys.exit(bootstrap.migrate(settings_from(data_dir=data_dir), "down" if to else "check", to))


def audit(data_dir: DataDir = None) -> None:
    """Check the invariants of a live database; exit code 1 tells that one is broken, or that hosts refuse a current
    deployment.

    \b
    quarterdeck audit
    QUARTERDECK_DATABASE_URL=postgresql+psycopg://… quarterdeck audit
    """
    from controlplane.bootstrap import audit as broken_invariants
    from controlplane.domain.errors import QuarterdeckError

    try:
        broken = broken_invariants(settings_from(data_dir=data_dir))
    except QuarterdeckError as error:
        raise SystemExit(f"Error: {error}") from error
    for line in broken:
        typer.echo(line)
    typer.echo(
        f"{len(broken)} broken" if broken else "Every invariant that a database can show holds.", err=bool(broken)
    )
    sys.exit(1 if broken else 0)


def _run(role: Role, plain: str = "", **options: object) -> None:
    from controlplane.bootstrap import run

    sys.exit(run(role, settings_from(**options), plain=plain))
