"""`python -m wrapper --session-dir DIR`: one process around one game, in a session of its own, needing nobody."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

from wrapper import keeper, wire
from wrapper.boundedlog import BoundedLog
from wrapper.control import serve, status_of
from wrapper.directory import WRAPPER_LOG, DirectoryError, SessionDirectory
from wrapper.life import Life
from wrapper.session import Reason
from wrapper.spec import Spec

# Watchers of the status read the end before the socket goes.
_FAREWELL_S = 1.0


def main() -> int:
    """0: the session ended, however; its status says how. 2: it could not begin, and nothing was started."""
    parser = argparse.ArgumentParser(prog="wrapper", description="Runs one session around one game.")
    parser.add_argument("--session-dir", type=Path, required=True, help="the session's directory, with its spec.binpb")
    path: Path = parser.parse_args().session_dir.absolute()
    os.umask(0o077)
    try:
        directory = SessionDirectory(path)
        spec = wire.parse_spec(directory.read_spec())
        log = BoundedLog(path / WRAPPER_LOG)
    except (DirectoryError, wire.SpecError, OSError) as error:
        return _cannot_begin(error)
    _log_to(log, spec)
    keeper.become_subreaper()
    return asyncio.run(_serve(spec, directory))


def _cannot_begin(error: Exception) -> int:
    print(f"wrapper: {error}", file=sys.stderr)  # noqa: T201 - for the agent, which reads it where there is no status
    return 2


async def _serve(spec: Spec, directory: SessionDirectory) -> int:
    """Listens before its game begins: the agent puts the start on record when it holds the socket."""
    life = Life(spec, directory)
    server = await serve(life, directory.socket_target)
    try:
        await directory.launched()
        await _live(life, directory)
    except DirectoryError as error:
        return _cannot_begin(error)
    finally:
        await server.stop(_FAREWELL_S)
    return 0


async def _live(life: Life, directory: SessionDirectory) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, life.stop, Reason.STOP_REQUESTED)
    try:
        await life.run(lambda changed: _keep_status(directory, changed))
    except Exception:
        structlog.get_logger().exception("the wrapper failed")
        raise


def _keep_status(directory: SessionDirectory, life: Life) -> None:
    """A full disk ends no session: watchers of the status are told all the same."""
    try:
        directory.write_status(status_of(life).SerializeToString())
    except OSError as error:
        structlog.get_logger().error("status not kept", why=error.strerror)


def _log_to(log: BoundedLog, spec: Spec) -> None:
    """JSON lines; the session on each."""

    class Lines:
        def msg(self, line: str) -> None:
            log.write(line.encode() + b"\n")

        debug = info = warning = error = critical = exception = msg

    def with_session(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.update(session=spec.session_id, generation=spec.generation)
        return event

    structlog.configure(
        processors=[
            with_session,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        logger_factory=lambda *_: Lines(),
        cache_logger_on_first_use=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
