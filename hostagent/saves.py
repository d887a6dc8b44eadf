"""What outlives a session: brought here before its start, taken from here after its end and at intervals.

When a game is over its volumes are moved out of the session's directory, in one step each, and stay on this disk until
the control plane has them on record: neither a dead object store nor a full disk loses them, and the end itself waits
for neither.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import structlog
from quarterdeck.v1 import agent_pb2, wrapper_pb2

from hostagent import archive, tree
from hostagent.archive import ArchiveRefused, FilesChanging, Places
from hostagent.backoff import full_jitter_s
from hostagent.files import write_atomic
from hostagent.plan import WorkloadKey
from hostagent.runtime import StartFailed
from hostagent.sessiondir import SPEC, SessionDir, parse_name
from hostagent.threads import in_a_thread_of_its_own
from hostagent.transfer import TOO_LARGE, ArchiveLink, NotNow, Refused
from hostagent.wrapperlink import WrapperLink, WrapperUnreachable

log = structlog.get_logger()
# Exists while a game that is being read has not been told yet that the reading is over.
_READING = "reading"
# What was stored and is being removed.
_GONE = ".gone"
_ARCHIVE, _STAGING = "restore.tar.gz", "restore"
# There is nobody any more to whom these files belong.
_UNWANTED = frozenset({"SESSION_NOT_YOURS", "SAVE_GONE"})
# As many as a report tells, and as many as there may be for another session to begin with a save: those that play
# then still have room in the report when they end.
_TOLD, _MOST_UNSTORED = 500, 400
_READ_TRIES = 3
_READ_PAUSE_S = 1.0


class SaveNotRestored(StartFailed):
    """The session's save is not here whole; the text says why."""


@dataclass(frozen=True)
class Patience:
    """Seconds: how long a start waits for its save, and the bounds of the pauses between tries."""

    restore_s: float = 120.0
    base_s: float = 0.2
    cap_s: float = 5.0
    # The upper bound where a running game is told of each try.
    disturb_s: float = 60.0
    # After what will hardly pass by itself: the files too large, unreadable.
    hopeless_s: float = 60.0


class Saves:
    """`root` keeps what is not stored yet, one directory for each session. `changed(urgent)` as in Surroundings."""

    def __init__(
        self, root: Path, link: ArchiveLink, changed: Callable[[bool], None], patience: Patience | None = None
    ) -> None:
        self._root = root
        self._link = link
        self._changed = changed
        self._patience = patience or Patience()
        self._details: dict[WorkloadKey, str] = {}
        self._delivering: dict[WorkloadKey, asyncio.Task[None]] = {}
        # One at a time reads a running game's files.
        self._reading: defaultdict[WorkloadKey, asyncio.Lock] = defaultdict(asyncio.Lock)

    def begin(self, sessions_root: Path) -> None:
        """Takes up what an earlier agent left; call once, with the event loop running."""
        self._root.mkdir(mode=0o700, exist_ok=True)
        for entry in sorted(self._root.iterdir()):
            key = parse_name(entry.name)
            if key is not None:
                self._deliver(key)
            elif entry.name.endswith(_GONE):
                in_a_thread_of_its_own(partial(_clear, entry), "remove")  # of whatever size: nobody waits for it
            elif not (sessions_root / entry.name.removeprefix(".")).is_dir():
                _clear(entry)  # of a start that never came to be

    def unstored(self) -> tuple[Sequence[agent_pb2.UnstoredSave], bool]:
        """What ended sessions have left here and why it is not stored, and whether there is more than can be told."""
        told = [
            agent_pb2.UnstoredSave(session_id=key.session_id, generation=key.generation, detail=detail[:500])
            for key, detail in sorted(self._details.items())[:_TOLD]
        ]
        return told, len(self._details) > _TOLD

    async def restore(self, directory: SessionDir, spec: wrapper_pb2.SessionSpec, tell: Callable[[str], None]) -> None:
        """Brings the session's save into its directory. Raises SaveNotRestored; then nothing of it is there."""
        if not spec.save:
            return
        if len(self._details) >= _MOST_UNSTORED:
            raise SaveNotRestored(
                f"this host takes no session with a save: {len(self._details)} of ended ones are not stored yet"
            )
        file, staging = directory.path / _ARCHIVE, directory.path / _STAGING
        try:
            places = places_of(spec)
            self._expect(directory.key, spec)
            found = await self._fetch(directory.key, spec.save, file, tell)
            if found is not None:
                await asyncio.to_thread(_unpack, file, staging, places, found)
                await asyncio.to_thread(archive.put_in_place, staging, directory.path, places)
        except (ArchiveRefused, OSError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise SaveNotRestored(f"{spec.save} could not be restored: {why}") from error
        finally:
            file.unlink(missing_ok=True)
            await asyncio.to_thread(_clear, staging)

    async def _fetch(self, key: WorkloadKey, save: str, file: Path, tell: Callable[[str], None]) -> int | None:
        """The size of what is in the archive; None: there is none. Raises SaveNotRestored, OSError."""
        deadline, attempt = asyncio.get_running_loop().time() + self._patience.restore_s, 0
        while True:
            try:
                found = await self._link.fetch(key, file)
                return found.content_bytes if found is not None else None
            except Refused as error:
                raise SaveNotRestored(f"{save} could not be restored: {error}") from error
            except NotNow as error:
                tell(f"{save} is waited for: {error}")
                if asyncio.get_running_loop().time() >= deadline:
                    raise SaveNotRestored(f"{save} could not be restored in time: {error}") from error
            await asyncio.sleep(self._pause_s(attempt))
            attempt += 1

    def _expect(self, key: WorkloadKey, spec: wrapper_pb2.SessionSpec) -> None:
        """Makes room for what is set aside later: that must not fail for want of it."""
        prepared = self._prepared(key)
        prepared.mkdir(mode=0o700, exist_ok=True)
        write_atomic(prepared / SPEC, spec.SerializeToString())

    def set_aside(self, directory: SessionDir) -> None:
        """Moves the volumes of a game that is over out of its session's directory, and begins to deliver them. Done
        again it goes on where it was; without a game that was started it does nothing. Raises OSError."""
        prepared, launch = self._prepared(directory.key), directory.launch()
        if launch is None or launch.unfinished or not prepared.is_dir():
            return
        spec = wrapper_pb2.SessionSpec.FromString((prepared / SPEC).read_bytes())
        archive.set_aside(directory.path, places_of(spec), prepared)
        prepared.rename(self._ready(directory.key))
        self._deliver(directory.key)

    def forget(self, key: WorkloadKey) -> None:
        """Of a session that never started. Raises OSError."""
        self._reading.pop(key, None)
        if self._prepared(key).is_dir():
            tree.remove(self._prepared(key))

    async def keep(
        self, directory: SessionDir, spec: wrapper_pb2.SessionSpec, link: WrapperLink, running: Callable[[], bool]
    ) -> None:
        """Stores a running game's files at the intervals that its deployment asks for; ends when cancelled."""
        saves = spec.deployment.saves
        if (directory.path / _READING).exists():
            await self._read(directory, spec, link)
        if not spec.save or not saves.HasField("interval"):
            return
        while True:
            await asyncio.sleep(saves.interval.ToNanoseconds() / 1e9)
            if running():
                await self._store_running(directory, spec, link)

    async def _store_running(self, directory: SessionDir, spec: wrapper_pb2.SessionSpec, link: WrapperLink) -> None:
        header = _header(directory.key, secrets.token_hex(8), final=False)
        try:
            await self._store_still(directory, spec, link, header)
        except (NotNow, Refused, ArchiveRefused, OSError) as error:
            log.warning("save not stored at its interval", workload=str(directory.key), why=str(error))

    async def _store_still(
        self,
        directory: SessionDir,
        spec: wrapper_pb2.SessionSpec,
        link: WrapperLink,
        header: agent_pb2.ArchiveHeader,
    ) -> None:
        """Stores a running game's files as they are when they keep still. Raises what ArchiveLink.store does."""
        most = spec.deployment.saves.max_bytes
        pack = partial(archive.pack, directory.path, places_of(spec), max_bytes=most, live=True)
        for attempt in range(_READ_TRIES):
            try:
                async with self._reading[directory.key]:
                    await self._link.store(header, lambda out: pack(out=out), reading(directory, spec, link))
                return
            except FilesChanging:
                if attempt == _READ_TRIES - 1:
                    raise
            await asyncio.sleep(_READ_PAUSE_S * 2**attempt)

    async def back_up(
        self, directory: SessionDir, spec: wrapper_pb2.SessionSpec, link: WrapperLink, backup_id: str
    ) -> None:
        """Makes one backup of a running game, or says why there will be none; insists until it is heard."""
        header = _header(directory.key, backup_id, final=False)
        header.backup_id = backup_id
        attempt, failure = 0, ("", "")
        while True:
            try:
                if failure[0]:
                    await self._link.fail(header, *failure)
                else:
                    await self._store_still(directory, spec, link, header)
                break
            except NotNow as error:
                log.warning("backup not stored yet", backup=backup_id, why=str(error))
                await asyncio.sleep(self._pause_s(attempt, self._patience.disturb_s))
                attempt += 1
            except Refused as error:
                if failure[0]:
                    break
                failure = (error.reason or "REFUSED", str(error))
            except FilesChanging as error:
                failure = ("FILES_CHANGING", str(error))
            except (ArchiveRefused, OSError) as error:
                failure = ("FILES_UNREADABLE", str(error))
        log.info("backup over", backup=backup_id, workload=str(directory.key), failure=failure[0])

    async def _read(self, directory: SessionDir, spec: wrapper_pb2.SessionSpec, link: WrapperLink) -> None:
        """An earlier agent died while it read: the game still waits to be told that it is over."""
        await _type(link, directory.key, list(spec.deployment.saves.after_lines))
        _read_now(directory)

    def _deliver(self, key: WorkloadKey) -> None:
        self._details.setdefault(key, "")
        if key not in self._delivering:
            self._delivering[key] = asyncio.create_task(self._until_gone(key), name=f"save of {key}")
            self._changed(True)

    async def _until_gone(self, key: WorkloadKey) -> None:
        """Whatever escapes, it is tried again, and that is told: nobody else would."""
        while True:
            try:
                await self._until_stored(key)
                # Out of the way in one step: what is half deleted must not be taken for a save by the next agent.
                gone = self._ready(key).rename(self._root / f".{key}{_GONE}")
                break
            except Exception as error:
                log.exception("a save's delivery failed", workload=str(key))
                self._tell(key, f"its agent failed: {type(error).__name__}")
            await asyncio.sleep(self._patience.hopeless_s)
        await asyncio.to_thread(_clear, gone)
        del self._details[key], self._delivering[key]
        self._changed(True)
        log.info("save stored", workload=str(key))

    def _tell(self, key: WorkloadKey, why: str) -> None:
        if self._details.get(key) != why:
            log.warning("save not stored yet", workload=str(key), why=why)
            self._details[key] = why
            self._changed(True)

    async def _until_stored(self, key: WorkloadKey) -> None:
        """Returns also when nobody wants it any more."""
        header, attempt, never = _header(key, "final", final=True), 0, ""
        while True:
            pause_s = self._pause_s(attempt)
            attempt += 1
            try:
                if not never:
                    await self._store_ended(key, header)
                    break
                # Not to be heard for ever: once nobody waits for them any more, these files may go.
                await self._link.fail(header, "FILES_REFUSED", never)
                why, pause_s = never, self._patience.hopeless_s
            except NotNow as error:
                why = never or str(error)
            except Refused as error:
                why, pause_s = str(error), self._patience.hopeless_s
                if error.reason in _UNWANTED:
                    log.warning("files of a session are given up", workload=str(key), why=why)
                    break
                if error.reason == TOO_LARGE:
                    never, pause_s = why, 0.0
            except (FilesChanging, OSError, ValueError) as error:
                why, pause_s = str(error), self._patience.hopeless_s
            except ArchiveRefused as error:
                why = never = str(error)
                pause_s = 0.0
            self._tell(key, why)
            await asyncio.sleep(pause_s)

    async def _store_ended(self, key: WorkloadKey, header: agent_pb2.ArchiveHeader) -> None:
        kept = self._ready(key)
        spec = wrapper_pb2.SessionSpec.FromString((kept / SPEC).read_bytes())
        places = {name: PurePosixPath(name) for name in spec.deployment.saves.volumes}
        pack = partial(archive.pack, kept, places, max_bytes=spec.deployment.saves.max_bytes)
        await self._link.store(header, lambda out: pack(out=out))

    async def close(self) -> None:
        """Lets go; what is not stored is taken up by the next agent."""
        tasks = [*self._delivering.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _pause_s(self, attempt: int, cap_s: float | None = None) -> float:
        return full_jitter_s(attempt, self._patience.base_s, cap_s or self._patience.cap_s, random.uniform)

    def _prepared(self, key: WorkloadKey) -> Path:
        return self._root / f".{key}"

    def _ready(self, key: WorkloadKey) -> Path:
        return self._root / str(key)


def places_of(spec: wrapper_pb2.SessionSpec) -> Places:
    """Where the saved volumes of a session lie below its directory. Raises ArchiveRefused."""
    contained = {volume.volume_name for volume in spec.deployment.container.volumes}
    below_home = {volume.volume_name: volume.path for volume in spec.deployment.volumes}
    places: dict[str, PurePosixPath] = {}
    for name in spec.deployment.saves.volumes:
        place = PurePosixPath("volumes", name) if name in contained else PurePosixPath("home", below_home.get(name, ""))
        if len(place.parts) < 2 or place.is_absolute() or ".." in place.parts:
            raise ArchiveRefused(f"there is no volume {name!r} to be saved")
        places[name] = place
    return places


@asynccontextmanager
async def reading(directory: SessionDir, spec: wrapper_pb2.SessionSpec, link: WrapperLink) -> AsyncIterator[None]:
    """Around the reading of a running game's files: types what its deployment has it told before and after. The latter
    is owed from then on, by the next agent if need be."""
    saves, key = spec.deployment.saves, directory.key
    if not saves.before_lines and not saves.after_lines:
        yield
        return
    directory.write(_READING, b"")
    try:
        after = await _type(link, key, list(saves.before_lines))
        await _settled(link, key, after, saves.settled_text, saves.settled_within.ToNanoseconds() / 1e9)
        yield
    finally:
        await asyncio.shield(_type(link, key, list(saves.after_lines)))
        _read_now(directory)


def _read_now(directory: SessionDir) -> None:
    """Nothing is owed any more. A game that made something else of the note is typed to again by the next agent, and
    that is all."""
    with suppress(OSError):
        (directory.path / _READING).unlink(missing_ok=True)


async def _type(link: WrapperLink, key: WorkloadKey, lines: list[str]) -> int:
    """The sequence of the game's newest line; a game that takes no input is read all the same."""
    if not lines:
        return 0
    try:
        return await link.type(lines)
    except WrapperUnreachable as error:
        log.warning("lines around a save not typed", workload=str(key), why=str(error))
        return 0


async def _settled(link: WrapperLink, key: WorkloadKey, after: int, text: str, within_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            if not text:
                await asyncio.sleep(within_s)
                return
            try:
                async for output in link.console(after):
                    if any(text in line.text for line in output.lines):
                        return
            except WrapperUnreachable as error:
                log.warning("output around a save not heard", workload=str(key), why=str(error))


def _clear(place: Path) -> None:
    """What cannot be removed is in nobody's way; the next agent tries again."""
    try:
        tree.remove(place)
    except OSError as error:
        log.warning("files that nobody needs could not be removed", of=place.name, why=str(error))


def _unpack(file: Path, staging: Path, places: Places, max_bytes: int) -> None:
    with file.open("rb") as stream:
        archive.unpack(stream, staging, places, max_bytes)


def _header(key: WorkloadKey, archive_id: str, final: bool) -> agent_pb2.ArchiveHeader:
    return agent_pb2.ArchiveHeader(
        session_id=key.session_id, generation=key.generation, archive_id=archive_id, final=final
    )
