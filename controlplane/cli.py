"""The command line: the house's roles, and the operator's verbs over gRPC.

Nothing heavy is imported before a verb has been chosen, so that `--help` and completion answer at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane import __version__
from controlplane.commands import (
    account,
    backups,
    console,
    deadletters,
    events,
    fleet,
    games,
    logs,
    machines,
    pools,
    ports,
    replacements,
    roles,
    saves,
    sessions,
    shapes,
    tokens,
)

app = typer.Typer(
    name="quarterdeck",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    help=(
        "Turns GPU machines into a place to play.\n\n"
        "Run everything on this machine, then look around from another terminal:\n\n"
        "\b\n"
        "  quarterdeck up\n"
        "  quarterdeck sessions create broadside --wait\n"
        "  quarterdeck sessions watch SESSION\n"
        "  quarterdeck hosts list --output json\n\n"
        "Settings are environment variables QUARTERDECK_<NAME> or keys of the TOML file that QUARTERDECK_CONFIG names."
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"quarterdeck {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print which release this is.")
    ] = False,
) -> None:
    pass


roles.register(app)
account.register(app)
logs.register(sessions.app)
console.register(sessions.app)
app.add_typer(sessions.app, name="sessions")
app.add_typer(saves.app, name="saves")
app.add_typer(backups.app, name="backups")
app.add_typer(games.app, name="games")
app.add_typer(fleet.hosts, name="hosts")
replacements.register(machines.app)
app.add_typer(machines.app, name="vms")
app.add_typer(ports.app, name="ports")
app.add_typer(pools.app, name="pools")
app.add_typer(events.app, name="events")
app.add_typer(shapes.templates, name="templates")
app.add_typer(shapes.presets, name="presets")
app.add_typer(shapes.regions, name="regions")
app.add_typer(tokens.app, name="tokens")
app.add_typer(deadletters.app, name="deadletters")
