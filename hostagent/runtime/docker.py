"""Runs each workload in containers of the machine's Docker Engine; their labels are what a restarted agent knows.

Every request can be repeated, since names are fixed: an engine that dies in between is asked again when it is back.
The end of a workload is told by the kernel, not by Docker: so it is seen while the engine is away, too.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests
import structlog
from docker.errors import APIError, DockerException

from hostagent import procfs
from hostagent.files import write_atomic
from hostagent.netports import PortTaken
from hostagent.procfs import ProcessId
from hostagent.runtime import Instance, Order, Pull, StartFailed, Usage, cgroups, images
from hostagent.runtime import container_spec as spec
from hostagent.runtime.dockerhost import ANEW_WITHIN_S, LOST, NO_ANSWER, Engine
from hostagent.runtime.dockersettings import LAUNCHERS, DockerSettings
from hostagent.runtime.graphics import Graphics
from hostagent.runtime.pidfd import gone
from hostagent.runtime.process import kill_all
from hostagent.runtime.pulls import Pulls
from hostagent.sessiondir import LAUNCH, OUTPUT, SPEC
from hostagent.usage import together

log = structlog.get_logger()
_SWEEP_S = 30.0
_ORPHAN_GRACE_S = 300.0
_SETTLE_ROUND_S = 0.05
_SETTLE_ROUNDS = 100
_ENDS_KEPT = 256


class DockerRuntime:
    """Wrappers, and games beside them, in containers labelled with `root`, the directory of session directories."""

    def __init__(self, root: Path, settings: DockerSettings, engine: Engine, graphics: Graphics | None = None) -> None:
        self._root = root
        self._settings = settings
        self._engine = engine
        self._pulls = Pulls(settings.socket)
        self._graphics = graphics or Graphics()
        self.names: tuple[str, ...] = ("docker", *self._graphics.words)
        # The sessions that may have containers here.
        self._busy: set[Path] = set()
        self._exit_codes: dict[Path, int] = {}
        self._counted: dict[Path, list[cgroups.Cgroup]] = {}
        self._sweeper: asyncio.Task[None] | None = None

    async def prepare(self, order: Order, tell: Callable[[str], None] = lambda _: None) -> None:
        """See Runtime.prepare: the images, and for a game of its own image what begins it there."""
        if order.image:
            images.check_allowed(order.image, self._settings.allowed_images, self._settings.digest_needed)
        try:
            await self._fetch_wrapper(tell)
            if order.image:
                await self._fetch(order.image, order.pull, tell)
        except APIError as error:
            raise images.ImageCorrupt(f"the engine cannot tell of its images: {_explain(error)}") from error

    async def _fetch_wrapper(self, tell: Callable[[str], None]) -> None:
        try:
            await self._fetch(self._settings.wrapper_image, Pull.IF_NOT_PRESENT, tell)
        except StartFailed as error:
            remedy = "`make wrapper-image` builds the wrapper's image, --wrapper-image names another"
            raise type(error)(f"{error} ({remedy})") from error

    async def _fetch(self, image: str, policy: Pull, tell: Callable[[str], None]) -> None:
        present = await self._engine.image(image) is not None
        if images.must_pull(image, policy, present):
            await self._pulls.pull(image, tell)

    async def start(self, order: Order) -> Instance:
        """See Runtime.start."""
        if not order.session_dir.is_dir():
            raise StartFailed(f"no such directory: {order.session_dir}")
        self._watch_for_orphans()
        self._busy.add(order.session_dir)
        try:
            return await self._start_at_last(order)
        except (DockerException, OSError, tarfile.TarError) as error:
            why = _explain(error)
            # After its own death an engine may keep ports of a container that it has forgotten.
            kind = PortTaken if "already allocated" in why or "already in use" in why else StartFailed
            raise kind(f"the containers cannot be started: {why}") from error

    async def _start_at_last(self, order: Order) -> Instance:
        """An engine that is killed in the middle of a start may forget what it has begun: all of it is undone, and made
        anew. No game has begun by then, since its wrapper waits for the agent's record of this start."""
        until = asyncio.get_running_loop().time() + ANEW_WITHIN_S
        while True:
            try:
                return await self._start(order)
            except (APIError, *LOST) as error:
                cut_off = isinstance(error, LOST) or "already exists" in _explain(error)
                if not cut_off or asyncio.get_running_loop().time() >= until:
                    raise
                log.warning("a start is made anew", of=order.session_dir.name, why=_explain(error))
            await self._clear(order.session_dir, forgotten=True)
            self._busy.add(order.session_dir)

    async def _start(self, order: Order) -> Instance:
        self._exit_codes.pop(order.session_dir, None)
        image = await self._engine.image(order.image) if order.image else spec.ImageDefaults()
        if image is None:
            raise StartFailed(f"{order.image} is not on this host")
        confinement = replace(
            self._settings.confinement, network=await self._engine.network(self._root), graphics=self._graphics
        )
        user = spec.user_of(order, image, confinement)
        await asyncio.to_thread(_hand_over, order, user)
        body = spec.wrapper_container(order, self._settings.wrapper_image, user, self._root, confinement)
        wrapper = await self._engine.create(self._name(order.session_dir, spec.WRAPPER), body)
        game = ""
        if order.image:
            launcher = await self._launcher(wrapper)
            body = spec.game_container(order, image, user, self._root, wrapper, launcher, confinement)
            game = await self._engine.create(self._name(order.session_dir, spec.GAME), body)
        await self._engine.start(wrapper)
        process = await self._process(wrapper)
        if process is None:
            raise await self._wrapper_gone(wrapper, "at once")
        if game:
            try:
                await self._engine.start(game)
            except APIError as error:
                if await self._process(wrapper) is None:
                    raise await self._wrapper_gone(wrapper, "before its game began") from error
                raise
        return Instance(order.session_dir, process, certain=True)

    async def _wrapper_gone(self, wrapper: str, when: str) -> StartFailed:
        tail = (await self._engine.output(wrapper)).strip().rpartition("\n")[2]
        return StartFailed(f"the wrapper's container ended {when}: {tail[:300]}".removesuffix(": "))

    async def find(self) -> Sequence[Instance]:
        """See Runtime.find; what is dead, was not started to the end or has no directory any more is removed. What
        cannot be removed is in nobody's way: whoever takes stock of its directory kills it, else the sweep does."""
        self._watch_for_orphans()
        held = await self._engine.held(self._root)
        homeless = {one.session_dir for one in held if not one.session_dir.is_dir()}
        unbegun = {one.session_dir for one in held if one.role == spec.GAME and one.state == "created"}
        wrappers = {
            one.session_dir: one.container_id
            for one in held
            if one.role == spec.WRAPPER and one.state in ("running", "paused")
        }
        for session_dir in homeless | unbegun:
            wrappers.pop(session_dir, None)
        session_dirs = sorted({one.session_dir for one in held})
        self._busy.update(session_dirs)
        found = await asyncio.gather(*(self._take_up(path, wrappers.get(path)) for path in session_dirs))
        self._busy -= homeless
        return [instance for instance in found if instance is not None]

    async def _take_up(self, session_dir: Path, wrapper: str | None) -> Instance | None:
        try:
            if wrapper is not None and (process := await self._process(wrapper)) is not None:
                return Instance(session_dir, process, certain=True)
            await self._clear(session_dir, forgotten=True)
        except (APIError, TimeoutError, requests.exceptions.ReadTimeout) as error:
            log.error("a session's containers cannot be removed", of=session_dir.name, why=_explain(error))
        return None

    async def wait(self, instance: Instance) -> int | None:
        """See Runtime.wait."""
        await gone(instance.process)
        if instance.session_dir in self._exit_codes:
            return self._exit_codes.pop(instance.session_dir)
        try:
            state = await self._ended_state(self._name(instance.session_dir, spec.WRAPPER))
        except NO_ANSWER:
            return None
        if state is None or state.get("Running"):
            return self._exit_codes.pop(instance.session_dir, None)
        return _exit_code(state)

    async def kill(self, session_dir: Path, leader: ProcessId | None) -> int:
        """See Runtime.kill; removes the containers, too. Who has none needs no engine to end."""
        if session_dir not in self._busy:
            return 0
        if leader is not None:
            # First in its own namespace of process ids: all others in there die with it.
            procfs.send_all({leader}, signal.SIGKILL)  # one that we may not, the engine kills
        try:
            return await self._clear(session_dir)
        except LOST as error:
            raise TimeoutError("the Docker Engine does not answer") from error
        except DockerException as error:
            raise TimeoutError(f"the Docker Engine refuses: {_explain(error)}") from error

    async def _clear(self, session_dir: Path, forgotten: bool = False) -> int:
        """`forgotten`: also of what the engine knows nothing any more. Raises TimeoutError when something cannot be
        killed."""
        killed = 0
        game, wrapper = (self._name(session_dir, role) for role in (spec.GAME, spec.WRAPPER))
        states = [await self._engine.state(name) for name in (game, wrapper)]
        if (state := states[1]) is not None:
            if state.get("Running"):
                await self._engine.kill(wrapper)
                killed = 1
                state = await self._engine.state(wrapper) or {}
            self._remember(session_dir, _exit_code(state))
            await asyncio.to_thread(_keep_output, session_dir, await self._engine.output(wrapper))
        for name in (game, wrapper):
            await self._remove(name)
        await kill_all(session_dir, None, {one["Id"] for one in states if one is not None} if forgotten else set())
        self._busy.discard(session_dir)
        self._counted.pop(session_dir, None)
        return killed

    async def _remove(self, name: str) -> None:
        """A dead container that an engine cannot remove keeps no session from its end: the sweep tries again."""
        try:
            await self._engine.remove(name)
        except APIError as error:
            state = await self._engine.state(name)
            if state is not None and state.get("Running"):
                raise
            log.warning("a dead container cannot be removed", container=name, why=_explain(error))

    def _remember(self, session_dir: Path, exit_code: int) -> None:
        """For whoever still waits for an end whose container is gone."""
        self._exit_codes[session_dir] = exit_code
        if len(self._exit_codes) > _ENDS_KEPT:
            del self._exit_codes[next(iter(self._exit_codes))]

    async def usage(self, session_dirs: Sequence[Path]) -> Mapping[Path, Usage]:
        """See Runtime.usage: of all containers of a session."""
        found: dict[Path, Usage] = {}
        for path in session_dirs:
            groups = await self._groups(path)
            parts = [part for group in groups if (part := await asyncio.to_thread(cgroups.read, group)) is not None]
            if parts:
                found[path] = together(parts)
        return found

    async def _groups(self, session_dir: Path) -> list[cgroups.Cgroup]:
        """Where the kernel counts for each container of a session; asked of the engine once all of them run."""
        known = self._counted.get(session_dir)
        if known is not None or session_dir not in self._busy:
            return known or []
        found, whole = [], True
        for role in (spec.WRAPPER, spec.GAME):
            try:
                state = await self._engine.state(self._name(session_dir, role), patience_s=0)
            except NO_ANSWER:
                return []
            if state is None:
                continue
            group = cgroups.of_process(int(state["Pid"])) if state.get("Pid") else None
            whole &= group is not None
            found += [group] if group is not None else []
        if whole:
            self._counted[session_dir] = found
        return found

    async def out_of_memory(self, session_dir: Path) -> bool:
        """See Runtime.out_of_memory."""
        for role in (spec.GAME, spec.WRAPPER) if session_dir in self._busy else ():
            try:
                state = await self._ended_state(self._name(session_dir, role))
            except NO_ANSWER:
                return False
            if state is not None and state.get("OOMKilled"):
                return True
        return False

    async def _ended_state(self, name: str) -> dict[str, Any] | None:
        """Docker's State of a container that is ending: the engine hears of a death a moment after the kernel."""
        state = None
        for _ in range(_SETTLE_ROUNDS):
            state = await self._engine.state(name, patience_s=0)
            if state is None or not state.get("Running"):
                return state
            await asyncio.sleep(_SETTLE_ROUND_S)
        return state

    async def close(self) -> None:
        """See Runtime.close."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait({self._sweeper})
        await self._engine.close(self._root)

    async def sweep(self, grace_s: float = _ORPHAN_GRACE_S) -> int:
        """Removes containers of ours that nobody answers for; how many."""
        held = await self._engine.held(self._root)
        existing = {one.session_dir for one in held if one.session_dir.is_dir()}
        lost = spec.orphans(held, self._busy, existing, grace_s)
        removed = 0
        for one in lost:
            try:
                await self._engine.remove(one.container_id)
            except APIError as error:
                log.warning(
                    "orphaned container not removed", of=one.session_dir.name, role=one.role, why=_explain(error)
                )
                continue
            removed += 1
            log.warning("orphaned container removed", of=one.session_dir.name, role=one.role, state=one.state)
        return removed

    def _watch_for_orphans(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep_for_ever(), name="container sweep")

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            try:
                await self.sweep()
            except NO_ANSWER as error:
                log.warning("containers not swept", why=_explain(error))

    async def _process(self, container: str) -> ProcessId | None:
        state = await self._engine.state(container)
        return procfs.identify(int(state["Pid"])) if state and state.get("Running") and state.get("Pid") else None

    async def _launcher(self, wrapper: str) -> Path:
        """What begins a game in a strange image, out of the wrapper's own, once for each image of it."""
        digest = (await self._engine.image_id(self._settings.wrapper_image)).rpartition(":")[2][:32]
        place = self._root.parent / LAUNCHERS / digest
        if not place.is_dir():
            archive = await self._engine.archive(wrapper, spec.LAUNCHER)
            await asyncio.to_thread(_unpack, archive, place)
        return place

    def _name(self, session_dir: Path, role: str) -> str:
        return f"quarterdeck-{self._engine.mark(self._root)}-{session_dir.name}-{role}"


def _hand_over(order: Order, user: str) -> None:
    """Makes the session's directory ready for `user`, who shares it from now on."""
    uid, gid = (int(part) for part in user.split(":"))
    parts = [spec.HOME, spec.STAGE, spec.DISPLAY_SOCKETS, *(f"{spec.VOLUMES}/{v.volume_name}" for v in order.volumes)]
    for part in parts:
        (order.session_dir / part).mkdir(mode=0o700, parents=True, exist_ok=True)
    (order.session_dir / spec.DISPLAY_SOCKETS).chmod(0o1777)
    if os.geteuid() != 0:
        return
    # The directory and the agent's own records stay its own: who shares it adds files, and replaces only those.
    kept = {order.session_dir, order.session_dir / SPEC, order.session_dir / LAUNCH}
    for path in (order.session_dir, *order.session_dir.rglob("*")):
        os.chown(path, 0 if path in kept else uid, gid, follow_symlinks=False)
    order.session_dir.chmod(0o1770)


def _unpack(archive: bytes, place: Path) -> None:
    scratch = place.with_name(f".{place.name}.{os.getpid()}.{time.monotonic_ns()}")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(scratch, filter="data")
    inner = scratch / Path(spec.LAUNCHER).name
    for path in (inner, *inner.iterdir()):
        path.chmod(0o755)
    try:
        inner.rename(place)
    except OSError:
        if not place.is_dir():  # else another start has just made the same
            raise


def _keep_output(session_dir: Path, output: str) -> None:
    path = session_dir / OUTPUT
    if output and session_dir.is_dir() and not os.path.lexists(path):
        try:
            write_atomic(path, output.encode())
        except OSError as error:
            log.warning("a wrapper's last words are lost", of=session_dir.name, why=str(error), words=output[-300:])


def _exit_code(state: dict[str, Any]) -> int:
    code = int(state.get("ExitCode", 0))
    return code if code <= 128 else 128 - code


def _explain(error: Exception) -> str:
    if isinstance(error, APIError):
        return str(error.explanation or error)[:300]
    return str(error)[:300] or type(error).__name__
