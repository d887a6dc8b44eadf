"""One session from its start to its end: wires game, stream or readiness check, limits and status together."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from wrapper import sdk
from wrapper.beside import Beside
from wrapper.console import Console, input_bytes
from wrapper.directory import HOME, LOG, STAGE, SessionDirectory, boot_time_s, own_start_s
from wrapper.gamefiles import FileRefusedError, placed, write_files
from wrapper.gameinput import InputRefusedError
from wrapper.output import Output
from wrapper.readiness import NotReadyError, ReadinessCheck
from wrapper.session import Activity, Reason, Session, State, overdue
from wrapper.spec import Picture, Spec, StreamFigures
from wrapper.spool import Spool
from wrapper.stream.display import Display, DisplayStartError, start_display
from wrapper.stream.soundserver import SoundDoor, SoundServer
from wrapper.supervisor import KeeperLostError, StartError, Supervised

if TYPE_CHECKING:
    # A game without a picture loads no media library.
    from wrapper.stream.hub import Hub

_LIMITS_S = 0.5
_PATH = "/usr/local/bin:/usr/bin:/bin"


class Life:
    """run() lasts as long as the session. Everything else may be called meanwhile, on the same event loop."""

    def __init__(self, spec: Spec, directory: SessionDirectory) -> None:
        self.spec = spec
        self.session = Session()
        self.hub: Hub | None = None
        self._directory = directory
        self._began_s = own_start_s()
        lease_until_s = self._began_s + spec.lease_s if spec.lease_s is not None else None
        self._activity = Activity(deserted_since_s=boot_time_s(), lease_until_s=lease_until_s)
        self._log = structlog.get_logger()
        self.console = Console()
        self._spool = Spool(directory.path / LOG)
        self._check: ReadinessCheck | None = None
        self._output = Output(self.console, self._spool, self._line)
        self._game: Supervised | Beside | None = None
        self._meeting = directory.path / STAGE if spec.beside else directory.path
        self._display: Display | None = None
        self._door = SoundDoor()
        self._sound_server: SoundServer | None = None
        self._launched = asyncio.Event()
        self._stopping = False
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._save: Callable[[Life], None] = lambda _: None

    @property
    def age_s(self) -> float:
        """Seconds since this process was started."""
        return boot_time_s() - self._began_s

    @property
    def active_s(self) -> float | None:
        """Age at the last input, typed line, or coming or going of a player; None: none yet."""
        last_s = self._activity.last_activity_at_s
        return None if last_s is None else max(0.0, last_s - self._began_s)

    @property
    def game_pid(self) -> int:
        return self._game.pid if self._game is not None else 0

    def figures(self) -> StreamFigures | None:
        return self.hub.figures() if self.hub is not None else None

    async def run(self, save: Callable[[Life], None]) -> None:
        """Starts the game, waits for its end. `save` keeps the status after every change of the session.

        Raises OSError when the first cannot be kept: a game never begins without a durable word of it.
        """
        self._save = save
        save(self)
        self._in_background(self._watch_limits())
        exit_code, failure = None, ""
        try:
            game = await self._start()
            exit_code = await game.wait()
        except (StartError, FileRefusedError, NotReadyError, DisplayStartError, KeeperLostError) as error:
            failure = str(error)
        try:
            await self._close()
        finally:
            # Whatever failed, how the session ended must be known.
            self._become(self.session.ended(self.age_s, exit_code, failure))
            reason = self.session.reason.value if self.session.reason is not None else ""
            self._log.info("over", reason=reason, exit_code=exit_code, detail=self.session.detail)
            self._output.note(f"over: {reason}" + (f" ({self.session.detail})" if self.session.detail else ""))
            self.console.close()
            self._spool.close()

    def stop(self, reason: Reason, grace_s: float | None = None, detail: str = "") -> None:
        """Asks the game to stop, and kills it after the grace (None: the deployment's own). Returns at once."""
        self._log.info("stop", reason=reason.value, state=self.session.state.value)
        self._become(self.session.stop(reason, detail))
        if self.session.state is State.STOPPING and not self._stopping:
            self._stopping = True
            self._output.note(f"asked to stop: {reason.value}" + (f" ({detail})" if detail else ""))
            self._in_background(self._stop_game(self.spec.stop_grace_s if grace_s is None else grace_s))

    def type(self, lines: Sequence[str]) -> int:
        """Types lines into the game; the sequence of its newest line of output.

        Raises InputRefusedError, and ValueError for a line that is more than one.
        """
        typed = input_bytes(lines)
        if self._game is None or self.session.state is State.EXITED:
            raise InputRefusedError("the game does not run")
        self._game.write(typed)
        self._active()
        self._notify()
        return self.console.sequence

    def renew_lease(self, lease_s: float) -> None:
        self._activity = replace(self._activity, lease_until_s=boot_time_s() + lease_s)

    async def statuses(self) -> AsyncIterator[None]:
        """Yields now and after every change, the last time when the session is over."""
        over = False
        while not over:
            changed = self._changed
            over = self.session.state is State.EXITED
            yield
            if not over:
                await changed.wait()

    async def _start(self) -> Supervised | Beside:
        """The running game; its stream or readiness check goes on in the background.

        Raises StartError, FileRefusedError, NotReadyError and DisplayStartError.
        """
        home = self._directory.path / HOME
        for place, files in placed(self.spec.files, self.spec.volumes, self._directory.path).items():
            await asyncio.to_thread(write_files, place, files)
        picture = await self._make_room()
        take = self._output.take
        game = Beside(self._meeting, take) if self.spec.beside else Supervised(take)
        await game.start(self.spec.command, self._environment() | picture, home)
        self._game = game
        self._launched.set()
        self._become(self.session.game_started(self.age_s))
        self._log.info("game started", pid=game.pid)
        if self._check is not None:
            self._in_background(self._await_ready(self._check))
        else:
            self._in_background(self._open_stream(picture))
            self._in_background(self._await_first_frame())
        return game

    async def _make_room(self) -> dict[str, str]:
        """What the game must know of where its picture and its sound go. Raises StartError, DisplayStartError."""
        video, meeting, silent = self.spec.video, self._meeting, self.spec.silent
        if self.spec.picture is Picture.NONE:
            self._check = ReadinessCheck(self.spec.readiness, self.spec.ports)
            return {}
        if silent:
            self._door.silent = "Its deployment wants no sound."
        if self.spec.picture is Picture.FRAMES:
            picture = sdk.prepare(str(meeting), video.width, video.height, video.fps)
            return picture if silent else picture | self._open_door()
        # The sound server starts beside the display, which takes longer.
        sound = asyncio.create_task(self._start_sound_server()) if not silent else None
        self._display = await start_display(meeting, video.width, video.height)
        return self._display.environment | (await sound if sound is not None else {})

    def _open_door(self) -> dict[str, str]:
        try:
            return self._door.open(self._meeting)
        except OSError as error:
            self._door.silent = f"There is no room for sound: {error.strerror}."
            self._output.note(f"no sound: {self._door.silent}")
            return {}

    async def _start_sound_server(self) -> dict[str, str]:
        self._sound_server = SoundServer(self._meeting, self._door)
        environment = await self._sound_server.start()
        if self._door.silent:
            self._output.note(f"no sound: {self._door.silent}")
        return environment

    def _line(self, text: str) -> None:
        if self._check is not None:
            self._check.line(text)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            if self.hub is not None:
                await self.hub.close("the session is over")
        finally:
            if self._sound_server is not None:
                await self._sound_server.close()
            self._door.close()
            if self._display is not None:
                await self._display.close()

    async def _open_stream(self, picture: Mapping[str, str]) -> None:
        # While the game starts too; half a second on a small machine.
        hub = await asyncio.to_thread(importlib.import_module, "wrapper.stream.hub")
        on = hub.HubEvents(
            first_frame=self._playable,
            broken=lambda why: self.stop(Reason.GAME_CRASHED, detail=f"The stream broke: {why}"),
            activity=self._active,
            peers_changed=self._peers_changed,
            figures_changed=self._notify,
        )
        try:
            self.hub = await hub.open_hub(self.spec, picture, self._door, on, self._stages_ms)
        except hub.StreamError as error:
            taken = isinstance(error, hub.StreamPortTakenError)
            reason = Reason.PORT_TAKEN if taken else Reason.START_FAILED
            self.stop(reason, detail=f"The stream cannot start: {error}")

    async def _stop_game(self, grace_s: float) -> None:
        await self._launched.wait()
        if self._game is not None:
            await self._ask_by_command(self._game)
            self._game.ask_to_stop()
            await asyncio.sleep(grace_s)
            self._become(self.session.cut_short(f"It did not stop within {grace_s:g} s and was killed."))
            self._log.info("the grace is over", grace_s=grace_s)
            self._game.kill()

    async def _ask_by_command(self, game: Supervised | Beside) -> None:
        """The game's own way to stop; its end cancels the waiting. One that takes no input gets the signal at once."""
        if not self.spec.stop_command:
            return
        try:
            game.write(input_bytes([self.spec.stop_command]))
        except (InputRefusedError, ValueError) as error:
            self._log.warning("stop command not taken", why=str(error))
        else:
            await asyncio.sleep(self.spec.stop_command_grace_s)

    async def _await_ready(self, check: ReadinessCheck) -> None:
        try:
            await check.passed()
        except NotReadyError as error:
            self.stop(Reason.START_FAILED, detail=str(error))
        else:
            self._playable()

    async def _await_first_frame(self) -> None:
        await asyncio.sleep(self.spec.readiness.timeout_s)
        if self.session.playable_s is None:
            self.stop(Reason.START_FAILED, detail=f"no picture after {self.spec.readiness.timeout_s:g} s")

    async def _watch_limits(self) -> None:
        """On a clock that counts while the machine sleeps, which the event loop's own timers do not."""
        while True:
            await asyncio.sleep(_LIMITS_S)
            reason = overdue(self.spec.limits, self._activity, boot_time_s())
            if reason is not None and self.session.state in (State.STARTING, State.RUNNING):
                self.stop(reason)

    def _playable(self) -> None:
        if self.session.state is not State.STARTING:
            return
        self._activity = replace(self._activity, playable_at_s=boot_time_s())
        self._become(self.session.playable(self.age_s))
        self._log.info("playable", stages_ms=self._stages_ms())

    def _active(self) -> None:
        self._activity = replace(self._activity, last_activity_at_s=boot_time_s())

    def _peers_changed(self) -> None:
        """Who comes or goes is activity too."""
        self._active()
        if self.hub is not None and self.hub.connected:
            self._activity = replace(self._activity, deserted_since_s=None)
        elif self._activity.deserted_since_s is None:
            self._activity = replace(self._activity, deserted_since_s=boot_time_s())
        self._notify()

    def _stages_ms(self) -> dict[str, int]:
        stages = {"game_started_ms": self.session.game_started_s, "first_frame_ms": self.session.playable_s}
        return {name: round(value_s * 1000) for name, value_s in stages.items() if value_s is not None}

    def _become(self, session: Session) -> None:
        if session != self.session:
            self.session = session
            try:
                self._save(self)
            except OSError as error:
                # Watchers are told; the next change is kept again. A full disk is no reason to end a game.
                self._log.warning("status not kept", state=session.state.value, why=str(error))
            self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs until it ends or the game does. What it does not expect ends the session, and is logged."""

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self._log.error("the wrapper failed", exc_info=error)
                self.stop(Reason.GAME_CRASHED, detail="The wrapper failed; its log says how.")

        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(done)

    def _environment(self) -> dict[str, str]:
        """Nothing of the wrapper's own environment: what a game sees is what its deployment says."""
        home = str(self._directory.path / HOME)
        # A container of its own has its own of these, and the deployment's from its start.
        own = {
            "PATH": f"{os.path.dirname(sys.executable)}:{_PATH}",
            "HOME": home,
            "LANG": "C.UTF-8",
            **self.spec.environment,
        }
        environment = {
            **({} if self.spec.beside else own),
            # The mark by which the host agent knows whose process this is, should its wrapper be gone.
            "QUARTERDECK_SESSION_DIR": str(self._directory.path),
            "QUARTERDECK_SESSION_ID": self.spec.session_id,
            "QUARTERDECK_GENERATION": str(self.spec.generation),
            "QUARTERDECK_WIDTH": str(self.spec.video.width),
            "QUARTERDECK_HEIGHT": str(self.spec.video.height),
            "QUARTERDECK_FPS": str(self.spec.video.fps),
        }
        for port in self.spec.ports:
            name = port.name.upper().replace("-", "_")
            environment[f"QUARTERDECK_PORT_{name}"] = str(port.game_port or port.host_port)
        return environment
