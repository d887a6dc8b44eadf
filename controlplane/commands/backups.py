"""`quarterdeck backups …`: copies of sessions' volumes that stay, and the schedules that make them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.commands.options import HttpPort, Output, OutputOption, Target, TokenFile

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Backups: create, list, get, restore, download, delete; schedule, schedules, unschedule.",
)

BackupName = Annotated[str, typer.Argument(metavar="BACKUP", help="backups/ID, or the ID alone.")]
ClientToken = Annotated[str, typer.Option(help="The same token gives the same one; made anew when empty.")]


@app.command()
def create(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="sessions/ID, or the ID alone.")],
    client_token: ClientToken = "",
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Back up a running session's volumes, or what an ended one left in its save.

    \b
    quarterdeck backups create s-4k2j9x
    """
    from quarterdeck.v1 import backups_pb2

    from controlplane.commands.calls import resource, show

    request = backups_pb2.CreateBackupRequest(
        session=resource("sessions", session), client_token=client_token or uuid.uuid4().hex
    )
    with _service(target, token_file) as (call, stub):
        show(call(stub.CreateBackup, request), output, _rows)


@app.command("list")
def list_(
    session: Annotated[str, typer.Option(help="Only of this session.")] = "",
    game: Annotated[str, typer.Option(help="Only of this game.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 100,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List backups, newest first.

    \b
    quarterdeck backups list --game island
    """
    from quarterdeck.v1 import backups_pb2

    from controlplane.commands.calls import clock, enum_word, pages, resource, show_list

    request = backups_pb2.ListBackupsRequest(
        session=resource("sessions", session) if session else "", game=resource("games", game) if game else ""
    )
    with _service(target, token_file) as (call, stub):
        found = pages(call, stub.ListBackups, request, "backups", limit)
    columns = {
        "BACKUP": lambda b: b.name,
        "STATE": lambda b: enum_word(b, "state"),
        "GAME": lambda b: b.game,
        "SESSION": lambda b: b.session,
        "SAVE": lambda b: b.save,
        "BYTES": lambda b: str(b.size_bytes) if b.size_bytes else "",
        "CREATED": lambda b: clock(b, "create_time"),
        "REASON": lambda b: b.reason,
    }
    show_list("backups", found, output, columns)


@app.command()
def get(
    name: BackupName, target: Target = None, token_file: TokenFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Show one backup.

    \b
    quarterdeck backups get b-4k2j9x
    """
    from quarterdeck.v1 import backups_pb2

    from controlplane.commands.calls import resource, show

    with _service(target, token_file) as (call, stub):
        show(call(stub.GetBackup, backups_pb2.GetBackupRequest(name=resource("backups", name))), output, _rows)


@app.command()
def restore(
    name: BackupName,
    save: Annotated[str, typer.Option(help="The save that begins with it from now on; made when there is none.")],
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a backup the current version of a save; the next session with that save begins with it.

    \b
    quarterdeck backups restore b-4k2j9x --save alices-world
    quarterdeck sessions create island --save alices-world
    """
    from quarterdeck.v1 import backups_pb2

    from controlplane.commands.calls import resource, show
    from controlplane.commands.saves import rows

    request = backups_pb2.RestoreBackupRequest(name=resource("backups", name), save_id=save.removeprefix("saves/"))
    with _service(target, token_file) as (call, stub):
        show(call(stub.RestoreBackup, request), output, rows)


@app.command()
def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A backup, or saves/ID/versions/NUMBER.")],
    gateway: Annotated[str, typer.Option("--url", help="Where the gateway is found. [default: this machine]")] = "",
    http_port: HttpPort = None,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the URL at which a backup, or a version of a save, can be fetched for five minutes: keep it to yourself.

    \b
    quarterdeck backups download b-4k2j9x
    quarterdeck backups download saves/alices-world/versions/3 --url https://play.example.org
    """
    from urllib.parse import urljoin

    from quarterdeck.v1 import backups_pb2

    from controlplane.commands.calls import clock, resource, show
    from controlplane.commands.options import settings_from

    full = name if name.startswith("saves/") else resource("backups", name)

    def rows(found: Any) -> Iterator[tuple[str, str]]:
        yield "url", found.url
        yield "until", clock(found, "expire_time")
        yield "bytes", str(found.size_bytes)
        yield "sha256", found.sha256

    with _service(target, token_file) as (call, stub):
        found = call(stub.CreateDownload, backups_pb2.CreateDownloadRequest(name=full))
    # What the gateway itself serves is told as a path: only its caller knows by what name he reaches it.
    found.url = urljoin(gateway or settings_from(http_port=http_port).gateway_url, found.url)
    show(found, output, rows)


@app.command()
def delete(name: BackupName, target: Target = None, token_file: TokenFile = None) -> None:
    """Delete a backup for good; one that is being made is given up.

    \b
    quarterdeck backups delete b-4k2j9x
    """
    from quarterdeck.v1 import backups_pb2

    from controlplane.commands.calls import resource

    with _service(target, token_file) as (call, stub):
        call(stub.DeleteBackup, backups_pb2.DeleteBackupRequest(name=resource("backups", name)))


@app.command()
def schedule(
    game: Annotated[str, typer.Argument(metavar="GAME", help="games/ID, or the ID alone.")],
    cron: Annotated[str, typer.Argument(help="Minute, hour, day of the month, month, day of the week.")],
    save: Annotated[str, typer.Option(help="Only of sessions that play with this save.")] = "",
    time_zone: Annotated[str, typer.Option(help="Such as Europe/Berlin.")] = "UTC",
    keep_count: Annotated[int, typer.Option(min=0, help="How many of each save, or session without one; 0: all.")] = 0,
    keep_days: Annotated[float | None, typer.Option(min=0.001, help="For how long; for ever when unset.")] = None,
    client_token: ClientToken = "",
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Back up every running session of a game at the moments of a cron expression.

    \b
    quarterdeck backups schedule island "30 4 * * *" --time-zone Europe/Berlin --keep-count 7
    """
    from quarterdeck.v1 import backups_pb2

    from controlplane.commands.calls import resource, show

    wanted = backups_pb2.BackupSchedule(
        game=resource("games", game),
        save_id=save.removeprefix("saves/"),
        cron=cron,
        time_zone=time_zone,
        keep_count=keep_count,
    )
    if keep_days is not None:
        wanted.keep_for.FromSeconds(round(keep_days * 86400))
    request = backups_pb2.CreateBackupScheduleRequest(
        backup_schedule=wanted, client_token=client_token or uuid.uuid4().hex
    )
    with _service(target, token_file) as (call, stub):
        show(call(stub.CreateBackupSchedule, request), output, _schedule_rows)


@app.command()
def schedules(
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 100,
    target: Target = None,
    token_file: TokenFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List schedules of backups.

    \b
    quarterdeck backups schedules
    """
    from quarterdeck.v1 import backups_pb2

    from controlplane.commands.calls import clock, pages, show_list

    with _service(target, token_file) as (call, stub):
        request = backups_pb2.ListBackupSchedulesRequest()
        found = pages(call, stub.ListBackupSchedules, request, "backup_schedules", limit)
    columns = {
        "SCHEDULE": lambda s: s.name,
        "GAME": lambda s: s.game,
        "SAVE": lambda s: s.save_id,
        "CRON": lambda s: s.cron,
        "ZONE": lambda s: s.time_zone,
        "NEXT": lambda s: "paused" if s.paused else clock(s, "next_time"),
        "KEEPS": lambda s: str(s.keep_count or "all"),
    }
    show_list("backupSchedules", found, output, columns)


@app.command()
def unschedule(
    name: Annotated[str, typer.Argument(metavar="SCHEDULE", help="backupSchedules/ID, or the ID alone.")],
    target: Target = None,
    token_file: TokenFile = None,
) -> None:
    """Delete a schedule; its backups stay.

    \b
    quarterdeck backups unschedule bs-4k2j9x
    """
    from quarterdeck.v1 import backups_pb2

    from controlplane.commands.calls import resource

    request = backups_pb2.DeleteBackupScheduleRequest(name=resource("backupSchedules", name))
    with _service(target, token_file) as (call, stub):
        call(stub.DeleteBackupSchedule, request)


@contextmanager
def _service(target: str | None, token_file: Path | None) -> Iterator[tuple[Any, Any]]:
    from quarterdeck.v1 import backups_pb2_grpc

    from controlplane.commands.calls import calling

    with calling(target, token_file) as call:
        yield call, backups_pb2_grpc.BackupServiceStub(call.channel)


def _rows(backup: Any) -> Iterator[tuple[str, str]]:
    from controlplane.commands.calls import clock, enum_word

    yield "backup", backup.name
    yield "state", enum_word(backup, "state")
    yield "reason", " ".join(word for word in (backup.reason, backup.reason_detail) if word)
    yield "game", backup.game
    yield "session", backup.session
    yield "save", backup.save
    yield "schedule", backup.backup_schedule
    yield "bytes", str(backup.size_bytes) if backup.size_bytes else ""
    yield "files", str(backup.files) if backup.files else ""
    yield "sha256", backup.sha256
    yield "created", clock(backup, "create_time")
    yield "ended", clock(backup, "end_time")


def _schedule_rows(schedule: Any) -> Iterator[tuple[str, str]]:
    from controlplane.commands.calls import clock

    yield "schedule", schedule.name
    yield "game", schedule.game
    yield "save", schedule.save_id
    yield "cron", f"{schedule.cron} ({schedule.time_zone})"
    yield "next", clock(schedule, "next_time")
