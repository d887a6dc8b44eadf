"""The command `quarterdeck-agent`."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from hostagent.agent import DataDirectoryBusy, configure_logs, run_agent
from hostagent.enrolment import EnrolmentRefused
from hostagent.identity import IdentityBroken
from hostagent.inventory import version
from hostagent.runtime import Resources
from hostagent.runtime.choice import NoRuntime, RuntimeChoice
from hostagent.runtime.container_spec import DEFAULTS
from hostagent.runtime.dockersettings import DEFAULT_SOCKET, DockerSettings, confinement
from hostagent.runtime.process import ProcessLimits, default_command
from hostagent.settings import Settings, default_probe

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="The Quarterdeck host agent: runs and watches the sessions of one machine. It dials out only; sessions "
    "outlive it, and its next start takes them over again.",
)
_EPILOG = (
    "Every option can be given as QUARTERDECK_AGENT_… too. The join token is never an argument: put it in a file "
    "(removed after enrolment) or into QUARTERDECK_AGENT_JOIN_TOKEN. Exit codes: 0 stopped on request, 1 failed, "
    "2 wrong usage, 3 not enrolled."
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"quarterdeck-agent {version()}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print which release this is.")
    ] = False,
) -> None:
    pass


def _env(name: str) -> str:
    return f"QUARTERDECK_AGENT_{name}"


@app.command(epilog=_EPILOG)
def run(
    data_dir: Annotated[
        Path, typer.Option(envvar=_env("DATA_DIR"), help="Identity and session directories; one agent per directory.")
    ],
    enrolment_target: Annotated[
        str | None, typer.Option(envvar=_env("ENROLMENT_TARGET"), metavar="HOST:PORT", help="Where to enrol, once.")
    ] = None,
    ca_sha256: Annotated[
        str | None,
        typer.Option(
            envvar=_env("CA_SHA256"), metavar="HEX", help="SHA-256 of the control plane's CA certificate (DER)."
        ),
    ] = None,
    join_token_file: Annotated[
        Path | None,
        typer.Option(envvar=_env("JOIN_TOKEN_FILE"), help="Holds the single-use join token; removed after enrolment."),
    ] = None,
    link_target: Annotated[
        str | None,
        typer.Option(
            envvar=_env("LINK_TARGET"), metavar="HOST:PORT", help="Agent link to use instead of the enrolled one."
        ),
    ] = None,
    advertise_address: Annotated[
        list[str] | None,
        typer.Option(
            envvar=_env("ADVERTISE_ADDRESS"), help="IP address for players; repeat it. Default: the interfaces'."
        ),
    ] = None,
    stop_sessions_on_exit: Annotated[
        bool,
        typer.Option(envvar=_env("STOP_SESSIONS_ON_EXIT"), help="On SIGTERM, stop all sessions before leaving."),
    ] = False,
    orphan_grace_s: Annotated[
        float,
        typer.Option(
            envvar=_env("ORPHAN_GRACE_S"), min=0, help="Seconds before a session that no plan lists is stopped."
        ),
    ] = 5.0,
    measure_s: Annotated[
        float,
        typer.Option(
            envvar=_env("MEASURE_S"), min=1, help="Seconds between two measurements of what each session uses."
        ),
    ] = 10.0,
    wrapper_command: Annotated[
        str | None,
        typer.Option(
            envvar=_env("WRAPPER_COMMAND"), help="The wrapper program and its arguments. Default: the packaged one."
        ),
    ] = None,
    probe_command: Annotated[
        str | None,
        typer.Option(
            envvar=_env("PROBE_COMMAND"), help="The program that tries the encoders. Default: the packaged one."
        ),
    ] = None,
    nice: Annotated[int, typer.Option(envvar=_env("NICE"), min=0, max=19, help="Niceness of sessions.")] = 0,
    max_open_files: Annotated[
        int,
        typer.Option(
            envvar=_env("MAX_OPEN_FILES"), min=64, help="Descriptors that each process of a session may hold."
        ),
    ] = 65536,
    runtime: Annotated[
        RuntimeChoice,
        typer.Option(envvar=_env("RUNTIME"), help="auto: containers too, where a Docker Engine answers."),
    ] = RuntimeChoice.AUTO,
    docker_socket: Annotated[
        str, typer.Option(envvar=_env("DOCKER_SOCKET"), metavar="URL", help="The Docker Engine of this machine.")
    ] = DEFAULT_SOCKET,
    wrapper_image: Annotated[
        str, typer.Option(envvar=_env("WRAPPER_IMAGE"), help="The image that the wrapper runs in, beside the game's.")
    ] = DockerSettings.wrapper_image,
    allow_image: Annotated[
        list[str] | None,
        typer.Option(envvar=_env("ALLOW_IMAGE"), help="Images that may run here, as shell patterns. Default: all."),
    ] = None,
    default_memory_mib: Annotated[
        int, typer.Option(envvar=_env("DEFAULT_MEMORY_MIB"), min=64, help="For games that ask for no bound of memory.")
    ] = DEFAULTS.memory_bytes >> 20,
    default_cpus: Annotated[
        float,
        typer.Option(
            envvar=_env("DEFAULT_CPUS"),
            min=0.1,
            help="Processors of games that ask for no bound. Default: all but one.",
            show_default=False,
        ),
    ] = DEFAULTS.cpu_millis / 1000,
    default_pids: Annotated[
        int, typer.Option(envvar=_env("DEFAULT_PIDS"), min=16, help="Processes of games that ask for no bound.")
    ] = DEFAULTS.pids,
    max_memory_mib: Annotated[
        int, typer.Option(envvar=_env("MAX_MEMORY_MIB"), min=0, help="The most that a game may ask for; 0: any.")
    ] = 0,
    max_cpus: Annotated[
        float, typer.Option(envvar=_env("MAX_CPUS"), min=0, help="The most that a game may ask for; 0: all there are.")
    ] = 0,
    max_pids: Annotated[
        int, typer.Option(envvar=_env("MAX_PIDS"), min=0, help="The most that a game may ask for; 0: any.")
    ] = 0,
    require_digest: Annotated[
        bool, typer.Option(envvar=_env("REQUIRE_DIGEST"), help="Run only images that are pinned by digest.")
    ] = False,
) -> None:
    """Enrol if need be, then keep this host as the plan wants it, until SIGTERM."""
    settings = Settings(
        data_dir=data_dir.resolve(),
        enrolment_target=enrolment_target,
        ca_sha256=_hex(ca_sha256),
        join_token=os.environ.get(_env("JOIN_TOKEN")),
        join_token_file=join_token_file,
        link_target=link_target,
        advertised_addresses=tuple(advertise_address or ()),
        stop_sessions_on_exit=stop_sessions_on_exit,
        orphan_grace_s=orphan_grace_s,
        measure_s=measure_s,
        wrapper_command=tuple(shlex.split(wrapper_command)) if wrapper_command else default_command(),
        probe_command=tuple(shlex.split(probe_command)) if probe_command else default_probe(),
        limits=ProcessLimits(open_files=max_open_files, nice=nice),
        runtime=runtime,
        docker=DockerSettings(
            socket=docker_socket,
            wrapper_image=wrapper_image,
            allowed_images=tuple(allow_image or ("*",)),
            digest_needed=require_digest,
            confinement=confinement(
                Resources(default_memory_mib << 20, round(default_cpus * 1000), default_pids),
                Resources(max_memory_mib << 20, round(max_cpus * 1000), max_pids),
            ),
        ),
    )
    configure_logs()
    try:
        asyncio.run(run_agent(settings))
    except EnrolmentRefused as error:
        raise SystemExit(_say(str(error), 3)) from None
    except (IdentityBroken, DataDirectoryBusy, NoRuntime, OSError) as error:
        raise SystemExit(_say(str(error), 1)) from None


def _say(message: str, code: int) -> int:
    sys.stderr.write(f"quarterdeck-agent: {message}\n")
    return code


def _hex(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise typer.BadParameter("a SHA-256 has 64 hexadecimal digits", param_hint="--ca-sha256")
    return value


def main() -> None:
    """Entry point."""
    app(prog_name="quarterdeck-agent")


if __name__ == "__main__":
    main()
