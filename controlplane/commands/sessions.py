"""`quarterdeck sessions …`: ask for a session, watch it, stop it."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.commands.documents import Parameters, pairs
from controlplane.commands.options import Output, OutputOption, Target, TokenFile

if TYPE_CHECKING:
    from quarterdeck.v1 import placement_pb2, sessions_pb2

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Play sessions: create, watch, type into, stop.")

SessionName = Annotated[str, typer.Argument(metavar="SESSION", help="sessions/ID, or the ID alone.")]
Seconds = float | None


class State(StrEnum):
    PENDING = "PENDING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    COMPLETED = "COMPLETED"
    CRASHED = "CRASHED"
    LOST = "LOST"
    REJECTED = "REJECTED"


@app.command()
def create(
    game: Annotated[str, typer.Argument(metavar="GAME", help="games/ID, or the ID alone.")],
    preset: Annotated[str, typer.Option(help="Streaming quality; the game's own when empty.")] = "",
    region: Annotated[str, typer.Option(help="Where to play; anywhere when empty.")] = "",
    territory: Annotated[
        str, typer.Option(metavar="CC", help="The player's, such as DE: regions with a law ask for it.")
    ] = "",
    near: Annotated[
        str, typer.Option(metavar="LAT,LON", help="Where the player is, in degrees: the nearest region comes first.")
    ] = "",
    save: Annotated[str, typer.Option(help="Begin with this save, and store into it; made when there is none.")] = "",
    parameter: Parameters = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return only when it is playable, or over.")] = False,
    client_token: Annotated[
        str, typer.Option(help="The same token gives the same session; made anew when empty.")
    ] = "",
    idle_timeout: Annotated[Seconds, typer.Option(min=0, help="Seconds without input; 0: never.")] = None,
    disconnect_timeout: Annotated[Seconds, typer.Option(min=0, help="Seconds with nobody there; 0: never.")] = None,
    max_duration: Annotated[Seconds, typer.Option(min=0, help="Seconds of play; 0: no end.")] = None,
    lost_after: Annotated[Seconds, typer.Option(min=1, help="Seconds the host may stay away.")] = None,
    queue_timeout: Annotated[Seconds, typer.Option(min=0, help="Seconds to wait for a slot; 0: not at all.")] = None,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Ask for a session of a game.

    \b
    quarterdeck sessions create broadside --wait
    quarterdeck sessions create broadside --max-duration 600 --output json
    quarterdeck sessions create broadside --territory DE --near 52.52,13.41
    quarterdeck sessions create island --save alices-world --parameter difficulty=hard --parameter password=@pw.txt
    """
    from quarterdeck.v1 import sessions_pb2, sessions_pb2_grpc

    from controlplane.commands.calls import calling, resource, show

    request = sessions_pb2.CreateSessionRequest(
        game=resource("games", game),
        preset=preset,
        region=region,
        territory=territory,
        coordinates=_place(near),
        save_id=save.removeprefix("saves/"),
        parameters=pairs(parameter),
        wait_until_playable=wait,
        client_token=client_token or uuid.uuid4().hex,
    )
    _set_duration(request.limits, "idle_timeout", idle_timeout)
    _set_duration(request.limits, "disconnect_timeout", disconnect_timeout)
    _set_duration(request.limits, "max_duration", max_duration)
    _set_duration(request, "lost_after", lost_after)
    _set_duration(request, "queue_timeout", queue_timeout)
    with calling(target, token_file) as call:
        stub = sessions_pb2_grpc.SessionServiceStub(call.channel)
        show(call(stub.CreateSession, request, None if wait else 30.0), output, _rows)


def _place(near: str) -> placement_pb2.Coordinates | None:
    from quarterdeck.v1 import placement_pb2

    if not near:
        return None
    try:
        latitude, longitude = map(float, near.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"'{near}' is no LAT,LON in degrees, such as 52.52,13.41", param_hint="--near"
        ) from None
    return placement_pb2.Coordinates(latitude_degrees=latitude, longitude_degrees=longitude)


@app.command("list")
def list_(
    state: Annotated[list[State] | None, typer.Option(help="Only these states; may be repeated.")] = None,
    vm: Annotated[str, typer.Option(help="Only sessions on this VM.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 100,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List sessions, newest first.

    \b
    quarterdeck sessions list --state RUNNING
    quarterdeck sessions list --vm local --output json
    """
    from quarterdeck.v1 import sessions_pb2, sessions_pb2_grpc

    from controlplane.commands.calls import calling, clock, enum_word, pages, resource, show_list

    wanted = [f"SESSION_STATE_{word}" for word in state or ()]
    request = sessions_pb2.ListSessionsRequest(states=wanted, vm=resource("vms", vm) if vm else "")
    with calling(target, token_file) as call:
        stub = sessions_pb2_grpc.SessionServiceStub(call.channel)
        found = pages(call, stub.ListSessions, request, "sessions", limit)
    columns = {
        "SESSION": lambda s: s.name,
        "GAME": lambda s: s.game,
        "STATE": lambda s: enum_word(s, "state") + (" (unreachable)" if s.unreachable else ""),
        "REASON": lambda s: enum_word(s, "reason"),
        "VM": lambda s: s.vm,
        "CREATED": lambda s: clock(s, "create_time"),
        "PLAYED": lambda s: _played(s),
    }
    show_list("sessions", found, output, columns)


@app.command()
def get(
    name: SessionName, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Show one session.

    \b
    quarterdeck sessions get s-4k2j9x --output json
    """
    from quarterdeck.v1 import sessions_pb2, sessions_pb2_grpc

    from controlplane.commands.calls import calling, resource, show

    with calling(target, token_file) as call:
        stub = sessions_pb2_grpc.SessionServiceStub(call.channel)
        show(call(stub.GetSession, sessions_pb2.GetSessionRequest(name=resource("sessions", name))), output, _rows)


@app.command()
def stop(
    name: SessionName,
    wait: Annotated[bool, typer.Option("--wait", help="Return only when it is over.")] = False,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Stop a session: politely, then firmly. Stopping a finished one changes nothing.

    \b
    quarterdeck sessions stop s-4k2j9x --wait
    """
    from quarterdeck.v1 import sessions_pb2, sessions_pb2_grpc

    from controlplane.commands.calls import calling, resource, show

    request = sessions_pb2.StopSessionRequest(name=resource("sessions", name), wait=wait)
    with calling(target, token_file) as call:
        stub = sessions_pb2_grpc.SessionServiceStub(call.channel)
        show(call(stub.StopSession, request, None if wait else 30.0), output, _rows)


@app.command()
def assign(
    name: SessionName,
    vm: Annotated[str, typer.Argument(metavar="VM", help="vms/ID, or the ID alone.")],
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Bind a session that waits in the queue to a VM of your choice.

    \b
    quarterdeck sessions assign s-4k2j9x vm-7
    """
    from quarterdeck.v1 import sessions_pb2

    from controlplane.commands.calls import resource

    request = sessions_pb2.AssignSessionRequest(name=resource("sessions", name), vm=resource("vms", vm))
    _bind("AssignSession", request, target, token_file, output)


@app.command()
def release(
    name: SessionName,
    vm: Annotated[str, typer.Argument(metavar="VM", help="The VM that it is on: vms/ID, or the ID alone.")],
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Take a session off its VM: its game is asked to stop first.

    \b
    quarterdeck sessions release s-4k2j9x vm-7
    """
    from quarterdeck.v1 import sessions_pb2

    from controlplane.commands.calls import resource

    request = sessions_pb2.ReleaseSessionRequest(name=resource("sessions", name), vm=resource("vms", vm))
    _bind("ReleaseSession", request, target, token_file, output)


@app.command()
def watch(
    name: SessionName, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Print a session now and after every change, until it is over.

    \b
    quarterdeck sessions watch s-4k2j9x
    quarterdeck sessions watch s-4k2j9x --output json    # one JSON object per line
    """
    from quarterdeck.v1 import sessions_pb2, sessions_pb2_grpc

    from controlplane.commands.calls import as_json, calling, clock, enum_word, resource

    request = sessions_pb2.WatchSessionRequest(name=resource("sessions", name))
    with calling(target, token_file) as call:
        stub = sessions_pb2_grpc.SessionServiceStub(call.channel)
        for session in call(stub.WatchSession, request, None):
            if output is Output.JSON:
                typer.echo(json.dumps(as_json(session), ensure_ascii=False))
                continue
            told = [clock(session, "update_time"), enum_word(session, "state"), enum_word(session, "reason")]
            told += ["unreachable" if session.unreachable else "", session.reason_detail]
            typer.echo("  ".join(word for word in told if word))


def _bind(method: str, request: Any, target: Any, token_file: Any, output: Output) -> None:
    from quarterdeck.v1 import sessions_pb2_grpc

    from controlplane.commands.calls import calling, show

    with calling(target, token_file) as call:
        show(call(getattr(sessions_pb2_grpc.SessionServiceStub(call.channel), method), request), output, _rows)


def _set_duration(message: Any, field: str, seconds: Seconds) -> None:
    if seconds is not None:
        getattr(message, field).FromMilliseconds(round(seconds * 1000))


def _played(session: sessions_pb2.Session) -> str:
    seconds = session.running_duration.seconds
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}" if seconds else ""


def _rows(session: sessions_pb2.Session) -> Iterator[tuple[str, str]]:
    from controlplane.commands.calls import clock, enum_word

    yield "session", session.name
    yield "game", session.deployment or session.game
    yield "state", enum_word(session, "state") + (" (unreachable)" if session.unreachable else "")
    yield "reason", " ".join(word for word in (enum_word(session, "reason"), session.reason_detail) if word)
    yield "exited", _exited(session)
    yield "queue place", str(session.queue_position) if session.queue_position else ""
    yield "vm", session.vm
    yield "preset", session.preset
    yield "save", session.save
    yield "created", clock(session, "create_time")
    for label, field in (
        ("allocated", "allocated_time"),
        ("game started", "game_started_time"),
        ("first frame" if session.streamed else "ready", "first_frame_time"),
    ):
        yield label, clock(session.stages, field)
    yield "progress", session.progress
    yield "used", _used(session.usage) if session.HasField("usage") else ""
    yield "last activity", clock(session, "last_activity_time")
    yield "ended", clock(session, "end_time")
    yield "played", _played(session)
    yield "players", str(session.connected_players) if session.connected_players else ""
    for port in session.ports:
        yield f"port {port.port_name}", f"{port.host_port}/{'udp' if port.protocol == 2 else 'tcp'}"


def _exited(session: sessions_pb2.Session) -> str:
    """How its game did: "with exit code 3", "killed by SIGSEGV"; nothing where a stop that was asked for says it."""
    from quarterdeck.v1 import sessions_pb2

    code = session.exit_code
    if code > 0:
        return f"with exit code {code}"
    if code == 0 or session.state == sessions_pb2.SESSION_STATE_STOPPED:
        return ""
    return "killed by " + next((one.name for one in signal.Signals if one == -code), f"signal {-code}")


def _used(usage: Any) -> str:
    mib = [round(size / 2**20) for size in (usage.memory_bytes, usage.memory_peak_bytes, usage.disk_bytes)]
    memory = f"{mib[0]} MiB of memory, {mib[1]} MiB at most"
    return f"{usage.cpu_time.seconds} s of processor, {memory}, {mib[2]} MiB of disk"
