"""Where a session's sound comes out, and PulseAudio of the session's own for games that know no other way to be heard.

It plays into the session's pipe by its own clock. A session goes on without it; one that died is started again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import structlog

from wrapper import sdk
from wrapper.boundedlog import BoundedLog
from wrapper.exits import ending
from wrapper.supervisor import KeeperLostError, StartError, Supervised

_START_TIMEOUT_S = 15.0
_STOP_TIMEOUT_S = 3.0
# Longer than from one word of the stream's to the next: players are told.
_RESTART_S, _RESTART_MAX_S = 2.0, 60.0
# A path of a unix socket, with its end (unix(7)).
_SOCKET_PATH_MAX_BYTES = 107
_SOCKET = "pulse"
_FORMAT = f"format=s16le channels=2 rate={sdk.SOUND_RATE}"
_STARTED = b"Daemon startup complete"
# Nothing but a socket, the pipe, and no work while no game plays. The system's clock sets the pace: with the reader's,
# the pipe would always be full, and all sound as late as the pipe is long.
_OPTIONS = (
    *("-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disallow-exit=yes"),
    *("--disallow-module-loading=yes", "--disable-shm=yes", "--realtime=no", "--high-priority=no"),
    *("--log-target=stderr", "--log-level=info"),
    *("-L", f"module-native-protocol-unix socket={_SOCKET} auth-anonymous=1 auth-cookie-enabled=0"),
    *("-L", f"module-pipe-sink file={sdk.SOUND_PIPE} {_FORMAT} use_system_clock_for_timing=yes"),
    *("-L", "module-suspend-on-idle timeout=1"),
)


@dataclass
class SoundDoor:
    """`pipe` is the wrapper's end, None where there will never be sound; `silent` says why nothing is heard now."""

    pipe: int | None = None
    silent: str = ""

    def open(self, directory: Path) -> dict[str, str]:
        """Makes the pipe; how a game finds it. Raises OSError."""
        self.pipe, environment = sdk.prepare_sound(str(directory))
        return environment

    def close(self) -> None:
        if self.pipe is not None:
            os.close(self.pipe)
            self.pipe = None


class SoundServer:
    """start() once; close() ends it."""

    def __init__(self, directory: Path, door: SoundDoor) -> None:
        """`directory` belongs to this session alone: whoever may look into it may play."""
        self._door = door
        self._directory = directory
        self._reached: int | None = None
        self._server: Supervised | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._closing = asyncio.Event()
        self._said = b""
        self._logger = structlog.get_logger()

    async def start(self) -> dict[str, str]:
        """How games find it, once they can connect; empty where nothing will be heard, and the door says why."""
        program = shutil.which("pulseaudio", path="/usr/local/bin:/usr/bin:/bin")
        if program is None:
            self._fall_silent("PulseAudio is not installed on this host.")
            return {}
        try:
            self._door.open(self._directory)
            log, directory = BoundedLog(self._directory / "sound.log"), self._short_path()
        except OSError as error:
            self._fall_silent(f"There is no room for sound: {error.strerror}.")
            return {}
        self._keeping = asyncio.get_running_loop().create_task(self._keep(program, directory, log))
        await self._settled.wait()
        return {"PULSE_SERVER": f"unix:{directory}/{_SOCKET}"}

    async def close(self) -> None:
        """Politely first."""
        self._closing.set()
        if self._keeping is None or self._server is None:
            return
        self._server.ask_to_stop()
        await asyncio.wait({self._keeping}, timeout=_STOP_TIMEOUT_S)
        self._server.kill()
        await self._keeping
        if self._reached is not None:
            os.close(self._reached)

    def _short_path(self) -> str:
        """Of the directory, so that the socket in it may have a name: through our own processes' files if need be."""
        path = str(self._directory)
        if len(os.fsencode(f"{path}/{_SOCKET}")) <= _SOCKET_PATH_MAX_BYTES:
            return path
        self._reached = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # PulseAudio takes no link for its directory; the dot behind it is none.
        return f"/proc/{os.getpid()}/fd/{self._reached}/."

    async def _keep(self, program: str, directory: str, log: BoundedLog) -> None:
        """Starts it again and again, each time a little later; a game that connects anew is heard."""
        pause_s = _RESTART_S
        try:
            while not self._closing.is_set():
                self._server = Supervised(lambda _, chunk: self._hear(log, chunk))
                why = await self._run(self._server, program, directory)
                if self._closing.is_set():
                    break
                self._fall_silent(f"The sound server {why}; it is started again.")
                self._settled.set()
                try:
                    async with asyncio.timeout(pause_s):
                        await self._closing.wait()
                except TimeoutError:
                    pause_s = min(_RESTART_MAX_S, 2 * pause_s)
        finally:
            self._settled.set()
            log.close()

    async def _run(self, server: Supervised, program: str, directory: str) -> str:
        """Until its end; how it came."""
        own = {"HOME": directory, "PULSE_RUNTIME_PATH": directory, "PULSE_STATE_PATH": directory}
        watch = asyncio.get_running_loop().call_later(_START_TIMEOUT_S, self._check_started, server)
        try:
            await server.start((program, *_OPTIONS), {"PATH": "/usr/bin:/bin", **own}, self._directory)
            return ending(await server.wait())
        except (StartError, KeeperLostError) as error:
            return f"failed: {error}"
        finally:
            watch.cancel()
            self._said = b""

    def _hear(self, log: BoundedLog, chunk: bytes) -> None:
        log.write(chunk)
        said = self._said + chunk
        if _STARTED in said:
            self._door.silent = ""
            self._settled.set()
        self._said = said[-len(_STARTED) :]

    def _check_started(self, server: Supervised) -> None:
        if self._door.silent or not self._settled.is_set():
            server.kill()

    def _fall_silent(self, why: str) -> None:
        self._door.silent = why
        self._logger.warning("no sound", why=why)
