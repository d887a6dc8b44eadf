"""Backups: asked for by hand or by a schedule, made by the session's host through its plan, kept until deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from controlplane.domain import subjects
from controlplane.domain.backup import Backup, BackupState, BackupTrigger, overdue
from controlplane.domain.errors import AlreadyExists, InvalidRequest, NotFound, WrongState
from controlplane.domain.identity import Principal
from controlplane.domain.save import Save, SaveVersion, check_free
from controlplane.domain.session import Session, SessionState
from controlplane.interfaces import AuditEntry, Page, Tx
from controlplane.usecases.repeating import Create, once
from controlplane.usecases.saves import DOOMED_S, holding
from controlplane.usecases.sessions import owned
from controlplane.usecases.world import World, operators_only

# From the wish to the whole archive in the object store.
WITHIN_S = 3600.0


async def create_backup(world: World, who: Principal, session_id: str, client_token: str, request_id: str) -> Backup:
    """Of a running session: PENDING, its host makes it. Of an ended one: COMPLETED, the version that it left.

    The same client token gives the same backup; of another session it is refused (I20). Raises NotFound,
    InvalidRequest (nothing is saved of this game), WrongState, Conflict."""
    operators_only(who)
    async with world.store.tx() as tx:
        session = await owned(tx, who, session_id)

        async def make() -> Backup:
            now = await tx.now()
            backup = await wish(tx, world, session, now, client_token=client_token, created_by=who.subject)
            await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreateBackup", backup.name, request_id))
            return backup

        async def find(name: str) -> Backup | None:
            return await tx.backups.get(name.removeprefix("backups/"))

        create = Create(who, "CreateBackup", client_token, session_id)
        backup = await once(tx, create, make, lambda one: one.name, find)
    await world.tell(*([subjects.hint_plan(session.vm_id)] if session.vm_id else []))
    return backup


async def wish(
    tx: Tx,
    world: World,
    session: Session,
    now: datetime,
    *,
    schedule_id: str = "",
    client_token: str = "",
    created_by: str = "",
) -> Backup:
    """A new backup of the session, inside the caller's transaction. Raises InvalidRequest, WrongState."""
    deployment = await tx.catalogue.deployment(session.project_id, session.game_id, session.deployment_number)
    if deployment is None or deployment.saves is None:
        raise InvalidRequest(
            "GAME_SAVES_NOTHING", f"the deployment of {session.name} names no volumes to keep", field="session"
        )
    backup = Backup(
        id=world.ids.new("b"),
        project_id=session.project_id,
        game_id=session.game_id,
        session_id=session.id,
        generation=session.generation,
        state=BackupState.PENDING,
        created_at=now,
        updated_at=now,
        deadline_at=now + timedelta(seconds=WITHIN_S),
        save_id=session.save_id,
        schedule_id=schedule_id,
        client_token=client_token,
        created_by=created_by,
    )
    if session.finished:
        backup = _copied(backup, await _left(tx, session), now)
    elif session.state is not SessionState.RUNNING:
        raise WrongState(
            "SESSION_NOT_RUNNING",
            f"{session.name} is {session.state}: it is backed up while it runs or when it is over",
        )
    try:
        await tx.backups.add(backup)
    except AlreadyExists:
        raise WrongState(
            "BACKUP_UNDER_WAY", f"another backup of {session.name} is being made: wait for it, or delete it"
        ) from None
    await tx.outbox.append([backup.told()])
    if not backup.finished:
        await replan(tx, session.vm_id, now)
    return backup


async def replan(tx: Tx, vm_id: str, now: datetime) -> None:
    """What the host is to make has changed."""
    vm = await tx.vms.lock(vm_id)
    if vm is not None:
        await tx.vms.save(vm.replanned(now))


async def list_backups(world: World, who: Principal, game_id: str, session_id: str, page: Page) -> Sequence[Backup]:
    """Newest first; "" means of any."""
    async with world.store.reading() as tx:
        return await tx.backups.list(who.project_id, game_id, session_id, page)


async def get_backup(world: World, who: Principal, backup_id: str) -> Backup:
    """Raises NotFound."""
    async with world.store.reading() as tx:
        return await mine(tx, who, backup_id)


async def delete_backup(world: World, who: Principal, backup_id: str, request_id: str) -> None:
    """One that is being made is given up. Raises NotFound."""
    operators_only(who)
    async with world.store.tx() as tx:
        backup = await mine(tx, who, backup_id)
        now = await tx.now()
        await forget(tx, backup, now)
        session = await tx.sessions.get(backup.session_id)
        if session is not None and not backup.finished:
            await replan(tx, session.vm_id, now)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "DeleteBackup", backup.name, request_id))
    await world.tell()


async def restore_backup(world: World, who: Principal, backup_id: str, save_id: str, request_id: str) -> Save:
    """The save, whose next session begins with the backup; a save that is not there is made. Doing it again changes
    nothing. Raises NotFound, InvalidRequest (a save of another game), WrongState."""
    operators_only(who)
    async with world.store.tx() as tx:
        backup = await mine(tx, who, backup_id)
        if backup.state is not BackupState.COMPLETED:
            raise WrongState("BACKUP_NOT_COMPLETED", f"{backup.name} is {backup.state}: there is nothing to restore")
        now = await tx.now()
        save = await tx.saves.get(who.project_id, save_id)
        if save is None:
            save = Save(save_id, who.project_id, backup.game_id, now, now)
            await tx.saves.add(save)
        if save.game_id != backup.game_id:
            raise InvalidRequest(
                "SAVE_OF_ANOTHER_GAME", f"{save.name} belongs to games/{save.game_id}", field="save_id"
            )
        check_free(save, await holding(tx, save))
        current = await tx.save_versions.get(who.project_id, save_id, save.current) if save.current else None
        if current is not None and current.object_key == backup.object_key:
            return save
        number = save.newest + 1
        await tx.save_versions.add(_version(backup, save, number, now, world.ids.new("r")))
        save, event = replace(save, newest=number, session_id="", detail="").restored(number, now)
        await tx.saves.save(save)
        await tx.outbox.append([event])
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "RestoreBackup", backup.name, request_id))
    await world.tell()
    return save


async def give_up_overdue(world: World) -> int:
    """Fails backups that can no longer be made; returns how many."""
    async with world.store.reading() as tx:
        waiting = await tx.backups.unfinished()
    failed = 0
    for stale in waiting:
        async with world.store.tx() as tx:
            backup, session, now = (
                await tx.backups.get(stale.id),
                await tx.sessions.get(stale.session_id),
                await tx.now(),
            )
            if backup is None or backup.finished:
                continue
            over, generation = session is None or session.finished, session.generation if session is not None else 0
            why = overdue(backup, over, generation, now)
            if why is None:
                continue
            await settle(tx, backup, BackupTrigger.FAIL, now, *why)
            failed += 1
        await world.tell()
    return failed


async def settle(tx: Tx, backup: Backup, trigger: BackupTrigger, now: datetime, reason: str, detail: str) -> Backup:
    """Moves a backup on, and its host's plan when it is over."""
    backup, events = backup.on(trigger, now, reason, detail)
    await tx.backups.save(backup)
    await tx.outbox.append(events)
    session = await tx.sessions.get(backup.session_id)
    if backup.finished and session is not None and session.vm_id:
        await replan(tx, session.vm_id, now)
    return backup


async def forget(tx: Tx, backup: Backup, now: datetime) -> None:
    """Its object goes later, unless something else refers to it."""
    await tx.backups.remove(backup)
    if backup.object_key:
        await tx.garbage.expect(backup.object_key, now + timedelta(seconds=DOOMED_S))


async def mine(tx: Tx, who: Principal, backup_id: str) -> Backup:
    """Raises NotFound, for another project's backup too (I21)."""
    backup = await tx.backups.get(backup_id)
    if backup is None or backup.project_id != who.project_id:
        raise NotFound("BACKUP_NOT_FOUND", f"there is no backup 'backups/{backup_id}'", field="name")
    return backup


async def _left(tx: Tx, session: Session) -> SaveVersion:
    """What an ended session has left. Raises WrongState, also while its host has yet to store it."""
    if not session.save_id:
        raise WrongState("SESSION_FILES_GONE", f"{session.name} is over and played without a save: its files are gone")
    save = await tx.saves.get(session.project_id, session.save_id)
    if save is not None and save.session_id == session.id:
        check_free(save, await holding(tx, save))  # what is stored by now is older than what its host still has
    versions = await tx.save_versions.list(session.project_id, session.save_id, Page(size=10_000))
    own = (version for version in versions if version.session_id == session.id)
    # A backup of it that was restored is a version too, but not what it left.
    left = next((version for version in own if version.object_key.startswith("saves/")), None)
    if left is None:
        raise WrongState(
            "SESSION_LEFT_NOTHING",
            f"nothing is stored of {session.name}: its host has yet to do so, or its files had not changed",
        )
    return left


def _copied(backup: Backup, version: SaveVersion, now: datetime) -> Backup:
    return replace(
        backup,
        state=BackupState.COMPLETED,
        ended_at=now,
        object_key=version.object_key,
        size_bytes=version.size_bytes,
        sha256=version.sha256,
        content_bytes=version.content_bytes,
        files=version.files,
    )


def _version(backup: Backup, save: Save, number: int, now: datetime, archive_id: str) -> SaveVersion:
    return SaveVersion(
        save_id=save.id,
        project_id=save.project_id,
        number=number,
        created_at=now,
        session_id=backup.session_id,
        generation=backup.generation,
        archive_id=archive_id,
        object_key=backup.object_key,
        size_bytes=backup.size_bytes,
        sha256=backup.sha256,
        content_bytes=backup.content_bytes,
        files=backup.files,
    )
