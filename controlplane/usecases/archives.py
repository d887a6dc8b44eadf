"""What hosts store of their sessions and fetch for them: rows around objects, so that a version is whole or is not.

The object's key is expected to be garbage before the object is written; the version's row makes it none. Whoever dies
in between leaves what the collection finds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from controlplane.domain.backup import Backup, BackupTrigger
from controlplane.domain.errors import AlreadyExists, Conflict, Forbidden, WrongState
from controlplane.domain.events import EventDraft
from controlplane.domain.save import LARGEST_BYTES, MAX_BYTES, Save, SaveSpec, SaveVersion, surplus
from controlplane.domain.session import Session, SessionState
from controlplane.interfaces import AuditEntry, Tx
from controlplane.usecases import backups
from controlplane.usecases.saves import ALL, DOOMED_S, forget_version
from controlplane.usecases.world import World

# Nobody writes one object for longer than half of that; then it may be collected.
UPLOAD_S = 24 * 3600.0
TRIES = 8
PAUSE_S = 0.02
COLLECTED_AT_ONCE = 100
COLLECT_AGAIN_S = 600.0


@dataclass(frozen=True)
class Sent:
    """What a host says that it sends: whose files, under which name of its own. `final`: nothing comes after it.
    `backup_id`: of a backup in its plan, "" of the session's save."""

    session_id: str
    generation: int
    archive_id: str
    final: bool
    backup_id: str = ""


@dataclass(frozen=True)
class Upload:
    """Where to put it. `max_bytes` bounds the archive."""

    sent: Sent
    host_id: str
    object_key: str
    max_bytes: int


@dataclass(frozen=True)
class Arrived:
    """What has arrived whole: of the archive its length and SHA-256 (hex), of the files in it their length together."""

    size_bytes: int
    sha256: str
    content_bytes: int
    files: int


async def begin(world: World, host_id: str, sent: Sent) -> Upload | None:
    """None: it is on record already. Raises Forbidden, WrongState for what this host has no business to store."""
    async with world.store.tx() as tx:
        session = await _held(tx, host_id, sent.session_id, sent.generation)
        now = await tx.now()
        if sent.backup_id:
            backup = await _backup(tx, session, sent.backup_id)
            if backup is None:
                return None
            await backups.settle(tx, backup, BackupTrigger.SENDING, now, "", "")
            place = f"backups/{backup.project_id}/{backup.id}"
        elif await tx.save_versions.by_archive(sent.session_id, sent.generation, sent.archive_id) is not None:
            return None
        else:
            save = await _save_of(tx, session)
            place = f"saves/{save.project_id}/{save.id}"
        key = f"{place}/{world.ids.new('o')}"
        await tx.garbage.expect(key, now + timedelta(seconds=UPLOAD_S))
        spec = await _spec(tx, session)
    # A tar is larger than what is in it by a block or two for each file; compressed it hardly ever is.
    return Upload(sent, host_id, key, min(2 * spec.max_bytes, LARGEST_BYTES))


async def finish(world: World, upload: Upload, arrived: Arrived) -> None:
    """Puts on record what lies under the key now; unchanged files make no new version. Raises as `begin`."""
    work = _finish_backup if upload.sent.backup_id else _finish
    await _insisting(lambda: work(world, upload, arrived))
    await world.tell()


async def abandon(world: World, upload: Upload) -> None:
    """It has come to nothing: what may lie under the key goes before long, unless it is on record all the same."""
    async with world.store.tx() as tx:
        await tx.garbage.expect(upload.object_key, await tx.now() + timedelta(seconds=DOOMED_S))


async def fail(world: World, host_id: str, sent: Sent, reason: str, detail: str) -> None:
    """The host cannot make a backup that its plan asks for, or store what a session has left. Raises Forbidden, and
    WrongState (SAVE_GONE) when nobody waits for the latter any more."""

    async def failing() -> None:
        async with world.store.tx() as tx:
            session = await _held(tx, host_id, sent.session_id, sent.generation)
            if not sent.backup_id:
                save = await _save_of(tx, session)
                if save.session_id != session.id:
                    raise WrongState("SAVE_GONE", f"{session.name} no longer writes {save.name}: nobody waits for it")
                return
            backup = await _backup(tx, session, sent.backup_id)
            if backup is not None:
                await backups.settle(tx, backup, BackupTrigger.FAIL, await tx.now(), reason, detail)

    await _insisting(failing)
    await world.tell()


async def _finish_backup(world: World, upload: Upload, arrived: Arrived) -> None:
    async with world.store.tx() as tx:
        session = await _held(tx, upload.host_id, upload.sent.session_id, upload.sent.generation)
        backup, now = await _backup(tx, session, upload.sent.backup_id), await tx.now()
        if backup is None:  # deleted, given up, or stored by an earlier try
            await tx.garbage.expect(upload.object_key, now)
            return
        whole = replace(
            backup,
            object_key=upload.object_key,
            size_bytes=arrived.size_bytes,
            sha256=arrived.sha256,
            content_bytes=arrived.content_bytes,
            files=arrived.files,
        )
        await backups.settle(tx, whole, BackupTrigger.STORED, now, "", "")
        host = f"hosts/{upload.host_id}"
        await tx.outbox.audit(AuditEntry(backup.project_id, host, "StoreBackup", backup.name, ""))


async def _backup(tx: Tx, session: Session, backup_id: str) -> Backup | None:
    """The backup, while it is to be made of this session."""
    backup = await tx.backups.get(backup_id)
    made_of_it = backup is not None and backup.session_id == session.id and not backup.finished
    return backup if made_of_it else None


async def _finish(world: World, upload: Upload, arrived: Arrived) -> None:
    sent = upload.sent
    async with world.store.tx() as tx:
        session = await _held(tx, upload.host_id, sent.session_id, sent.generation)
        now = await tx.now()
        if await tx.save_versions.by_archive(sent.session_id, sent.generation, sent.archive_id) is not None:
            await tx.garbage.expect(upload.object_key, now)
            return
        save = await _save_of(tx, session)
        current = await tx.save_versions.get(save.project_id, save.id, save.current) if save.current else None
        if current is not None and current.sha256 == arrived.sha256:
            changed = replace(save, updated_at=now, version=save.version + 1)
            await tx.garbage.expect(upload.object_key, now)
        else:
            changed, number = save.stored(session.id, now)
            version = _version(upload, arrived, save, number, now)
            await tx.save_versions.add(version)
            await _tell(tx, changed, version, upload.host_id)
            keep = (await _spec(tx, session)).keep_versions
            for old in surplus(await tx.save_versions.list(save.project_id, save.id, ALL), changed.current, keep):
                await forget_version(tx, old, now)
        if sent.final and save.session_id == session.id:
            changed = replace(changed, session_id="", detail="")
        await tx.saves.save(changed)


def _version(upload: Upload, arrived: Arrived, save: Save, number: int, now: datetime) -> SaveVersion:
    sent = upload.sent
    return SaveVersion(
        save_id=save.id,
        project_id=save.project_id,
        number=number,
        created_at=now,
        session_id=sent.session_id,
        generation=sent.generation,
        archive_id=sent.archive_id,
        object_key=upload.object_key,
        size_bytes=arrived.size_bytes,
        sha256=arrived.sha256,
        content_bytes=arrived.content_bytes,
        files=arrived.files,
        final=sent.final,
    )


async def wanted(world: World, host_id: str, session_id: str, generation: int) -> SaveVersion | None:
    """What a session that is being started is to begin with; None: nothing is stored yet. Raises Forbidden,
    WrongState."""
    async with world.store.reading() as tx:
        session = await _held(tx, host_id, session_id, generation)
        if session.state is not SessionState.STARTING:
            raise WrongState("SESSION_NOT_STARTING", f"{session.name} is {session.state}: nothing is restored now")
        save = await _save_of(tx, session)
        return await tx.save_versions.get(save.project_id, save.id, save.current) if save.current else None


async def collect_garbage(world: World) -> int:
    """Deletes all objects that are due and that nothing refers to; returns how many."""
    gone = 0
    while True:
        async with world.store.tx() as tx:
            retry_at = await tx.now() + timedelta(seconds=COLLECT_AGAIN_S)
            keys = await tx.garbage.due(COLLECTED_AT_ONCE, retry_at)
        if keys:
            await world.objects.delete(keys)
            async with world.store.tx() as tx:
                await tx.garbage.gone(keys)
        gone += len(keys)
        if len(keys) < COLLECTED_AT_ONCE:
            return gone


async def _tell(tx: Tx, save: Save, version: SaveVersion, host_id: str) -> None:
    facts = {
        **save.facts(),
        "version": version.number,
        "session": f"sessions/{version.session_id}",
        "size_bytes": version.size_bytes,
        "final": version.final,
    }
    await tx.outbox.append([EventDraft("quarterdeck.save.stored", save.project_id, save.name, save.version, facts)])
    await tx.outbox.audit(AuditEntry(save.project_id, f"hosts/{host_id}", "StoreSave", version.name, ""))


async def _insisting(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Again when another was faster: the object is there already, so that to send it anew would be a waste."""
    for attempt in range(1, TRIES):
        try:
            await work()
        except (Conflict, AlreadyExists):
            await asyncio.sleep(PAUSE_S * 2**attempt)
        else:
            return
    await work()


async def _held(tx: Tx, host_id: str, session_id: str, generation: int) -> Session:
    """The session, if it is this host's in this generation (I2, I8)."""
    host = await tx.hosts.get(host_id)
    if host is None or host.revoked_at is not None:
        raise Forbidden("HOST_REVOKED", "this host is unknown or revoked; enrol it again with a new join token")
    session = await tx.sessions.get(session_id)
    if session is None or session.vm_id != host_id or session.generation != generation:
        raise Forbidden(
            "SESSION_NOT_YOURS", f"sessions/{session_id} in generation {generation} is not on hosts/{host_id}"
        )
    return session


async def _save_of(tx: Tx, session: Session) -> Save:
    save = await tx.saves.get(session.project_id, session.save_id) if session.save_id else None
    if save is None:
        raise WrongState("SAVE_GONE", f"{session.name} has no save, or it has been deleted")
    return save


async def _spec(tx: Tx, session: Session) -> SaveSpec:
    deployment = await tx.catalogue.deployment(session.project_id, session.game_id, session.deployment_number)
    spec = deployment.saves if deployment is not None else None
    return spec or SaveSpec(volumes=(), max_bytes=MAX_BYTES)
