"""Saves as callers see them, and who may write one: the session that holds it, until its host has stored its files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from controlplane.domain.errors import Exhausted, Forbidden, InvalidRequest, NotFound, WrongState
from controlplane.domain.events import EventDraft
from controlplane.domain.game import Deployment
from controlplane.domain.identity import Principal
from controlplane.domain.reconcile import Report
from controlplane.domain.save import Holding, Save, SaveVersion, after_report, check_free
from controlplane.domain.session import Session
from controlplane.domain.vm import VmState
from controlplane.interfaces import AuditEntry, Page, Tx
from controlplane.usecases.world import World, operators_only

# Whoever has just read a row that referred to the object is done with it by then.
DOOMED_S = 900.0
ALL = Page(size=10_000)


async def list_saves(world: World, who: Principal, game_id: str, page: Page) -> Sequence[Save]:
    """Newest first; "" means of any game. Of a player his own, and those of nobody."""
    async with world.store.reading() as tx:
        return await tx.saves.list(who.project_id, game_id, page, who.sees_only)


async def get_save(world: World, who: Principal, save_id: str) -> Save:
    """Raises NotFound."""
    async with world.store.reading() as tx:
        return await _owned(tx, who, save_id)


async def list_versions(world: World, who: Principal, save_id: str, page: Page) -> Sequence[SaveVersion]:
    """Newest first. Raises NotFound (save)."""
    async with world.store.reading() as tx:
        await _owned(tx, who, save_id, field="parent")
        return await tx.save_versions.list(who.project_id, save_id, page)


async def delete_save(world: World, who: Principal, save_id: str, request_id: str) -> None:
    """With all its versions. Raises NotFound, WrongState while a session holds it."""
    operators_only(who)
    async with world.store.tx() as tx:
        save = await _owned(tx, who, save_id)
        check_free(save, await holding(tx, save))
        now = await tx.now()
        for version in await tx.save_versions.list(who.project_id, save_id, ALL):
            await tx.garbage.expect(version.object_key, now + timedelta(seconds=DOOMED_S))
        await tx.saves.remove(save)
        event = EventDraft("quarterdeck.save.deleted", save.project_id, save.name, save.version + 1, save.facts())
        await tx.outbox.append([event])
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "DeleteSave", save.name, request_id))
    await world.tell()


async def delete_version(world: World, who: Principal, save_id: str, number: int, request_id: str) -> None:
    """Raises NotFound, WrongState for the current one."""
    operators_only(who)
    async with world.store.tx() as tx:
        save = await _owned(tx, who, save_id)
        version = await _version(tx, save, number)
        if number == save.current:
            raise WrongState(
                "VERSION_CURRENT", f"the next session would be given {version.name}: restore another version first"
            )
        await forget_version(tx, version, await tx.now())
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "DeleteSaveVersion", version.name, request_id))


async def restore(world: World, who: Principal, save_id: str, number: int, request_id: str) -> Save:
    """The next session begins with that version. Raises NotFound, WrongState while a session holds the save."""
    operators_only(who)
    async with world.store.tx() as tx:
        save = await _owned(tx, who, save_id)
        await _version(tx, save, number)
        check_free(save, await holding(tx, save))
        if save.current == number:
            return save
        save, event = save.restored(number, await tx.now())
        await tx.saves.save(save)
        await tx.outbox.append([event])
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "RestoreSave", save.name, request_id))
    await world.tell()
    return save


async def release(world: World, who: Principal, save_id: str, request_id: str) -> Save:
    """Frees the save of a session that has ended, whatever its host still has of it: one without a version goes. Raises
    NotFound, WrongState."""
    operators_only(who)
    async with world.store.tx() as tx:
        save = await _owned(tx, who, save_id)
        held = await holding(tx, save)
        if held is not None and not held.finished:
            check_free(save, held)
        if save.session_id:
            before, save = save, save.released(await tx.now())
            await _write(tx, before, save)
            await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "ReleaseSave", save.name, request_id))
    return save


class Room:
    """For new saves of players, as one batch of sessions makes them (I18); `each` 0: any number. Other replicas count
    for themselves: each may make a batch beyond."""

    def __init__(self, tx: Tx, each: int) -> None:
        self._tx = tx
        self._each = each
        self._owned: dict[tuple[str, str], int] = {}

    async def take(self, who: Principal, save_id: str) -> None:
        """Raises Exhausted where it would be one more than a player may have. Operators answer for their project."""
        key = who.project_id, who.sees_only
        if not self._each or not who.sees_only or await self._tx.saves.get(who.project_id, save_id) is not None:
            return
        if key not in self._owned:
            self._owned[key] = await self._tx.saves.count(*key)
        if self._owned[key] >= self._each:
            raise Exhausted(
                "TOO_MANY_SAVES",
                f"you have {self._owned[key]} saves, the most that one player may (QUARTERDECK_SAVES_EACH): "
                "play with one of them, or have an operator delete one",
                field="save_id",
            )
        self._owned[key] += 1


async def check_takeable(tx: Tx, who: Principal, save_id: str, deployment: Deployment) -> None:
    """Whether a new session of that deployment may play with the save. Raises InvalidRequest, Forbidden (another
    player's), WrongState."""
    if deployment.saves is None:
        raise InvalidRequest(
            "GAME_SAVES_NOTHING", f"{deployment.name} declares no saves; leave save_id out", field="save_id"
        )
    save = await tx.saves.get(who.project_id, save_id)
    if save is None:
        return
    if save.owner and not who.sees(save.owner):
        raise Forbidden("SAVE_NOT_YOURS", f"{save.name} is another player's: choose another id", field="save_id")
    if save.game_id != deployment.game_id:
        raise InvalidRequest("SAVE_OF_ANOTHER_GAME", f"{save.name} belongs to games/{save.game_id}", field="save_id")
    check_free(save, await holding(tx, save))


async def hold(tx: Tx, who: Principal, session: Session, now: datetime) -> None:
    """From now on this session writes its save, which is the caller's where it is new. Raises Conflict, AlreadyExists
    when another was faster."""
    save = await tx.saves.get(session.project_id, session.save_id)
    if save is None:
        new = Save(session.save_id, session.project_id, session.game_id, now, now, session.id, owner=who.sees_only)
        await tx.saves.add(new)
    else:
        await tx.saves.save(save.held_by(session.id, now))


async def let_go(tx: Tx, session: Session, now: datetime) -> None:
    """A session that ended without ever having had a host will store nothing."""
    save = await tx.saves.get(session.project_id, session.save_id)
    if save is not None and save.session_id == session.id:
        await _write(tx, save, save.released(now))


async def forsake(tx: Tx, session: Session, now: datetime) -> None:
    """A session leaves its VM, which is lost, for another: tells what becomes of the files there."""
    save = await tx.saves.get(session.project_id, session.save_id) if session.save_id else None
    if save is not None and save.session_id == session.id:
        save, event = save.forsaken(session.generation, session.vm_id, now)
        await tx.saves.save(save)
        await tx.outbox.append([event])


async def keep_track(tx: Tx, host_id: str, report: Report, now: datetime) -> None:
    """What a host's report says of the saves that its sessions hold."""
    held = [(one.save, one.finished, one.generation) for one in await tx.saves.held_on(host_id)]
    if held:
        before = {(save.project_id, save.id): save for save, _, _ in held}
        running = {workload.session_id: workload.generation for workload in report.workloads}
        unstored = {one.session_id: (one.generation, one.detail) for one in report.unstored}
        for save in after_report(held, running, unstored, now, more=report.unstored_more):
            await _write(tx, before[save.project_id, save.id], save)


async def _write(tx: Tx, before: Save, save: Save) -> None:
    """One without a version that nobody writes any more is nothing: who names it again makes it anew."""
    if save.newest or save.session_id:
        await tx.saves.save(save)
    else:
        await tx.saves.remove(before)


async def forget_version(tx: Tx, version: SaveVersion, now: datetime) -> None:
    """Its object goes later, unless something else refers to it."""
    await tx.save_versions.remove(version)
    await tx.garbage.expect(version.object_key, now + timedelta(seconds=DOOMED_S))


async def holding(tx: Tx, save: Save) -> Holding | None:
    """What is known of the session that holds the save."""
    session = await tx.sessions.get(save.session_id) if save.session_id else None
    if session is None:
        return None
    host = await tx.hosts.get(session.vm_id) if session.vm_id else None
    if host is None:
        return Holding(session.id, session.finished)
    vm = await tx.vms.get(session.vm_id)
    gone = host.revoked_at is not None or vm is None or vm.state is VmState.TERMINATED
    return Holding(session.id, session.finished, host.state, gone)


async def _owned(tx: Tx, who: Principal, save_id: str, field: str = "name") -> Save:
    save = await tx.saves.get(who.project_id, save_id)
    if save is None or (save.owner and not who.sees(save.owner)):
        raise NotFound("SAVE_NOT_FOUND", f"there is no save 'saves/{save_id}'", field=field)
    return save


async def _version(tx: Tx, save: Save, number: int) -> SaveVersion:
    version = await tx.save_versions.get(save.project_id, save.id, number)
    if version is None:
        raise NotFound("SAVE_VERSION_NOT_FOUND", f"there is no version {number} of {save.name}")
    return version
