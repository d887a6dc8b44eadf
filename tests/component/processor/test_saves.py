"""Who may store into a save, once each, and what becomes of those who come late; on every store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from quarterdeck.v1 import agent_pb2

from controlplane.api.archives import store
from controlplane.domain.errors import Exhausted, Forbidden, InvalidRequest, WrongState
from controlplane.domain.host import HostState, HostTrigger
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.reconcile import Report, UnstoredSave, Workload, WorkloadState
from controlplane.domain.save import LARGEST_BYTES, Save, SaveSpec
from controlplane.domain.session import Session, SessionReason, SessionState, SessionTrigger
from controlplane.interfaces import Page, Store
from controlplane.usecases import archives, creation, hosts, saves, sessions
from controlplane.usecases.archives import Arrived, Sent
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.world import World
from tests.component.processor.worlds import world_on
from tests.contract.store.rows import Clock, a_deployment, a_game, a_host, a_vm

OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
ALL = Page(size=100)


@pytest.fixture
async def world(clocked_store: Store, tmp_path: Path) -> World:
    async with clocked_store.tx() as tx:
        await tx.catalogue.add_game(a_game())
        await tx.catalogue.add_deployment(a_deployment(saves=SaveSpec(("v",), keep_versions=3)))
        for vm_id in ("vm-1", "vm-2"):
            await tx.vms.add(a_vm(vm_id, terminate_requested_at=None, capacity_units=240))
            await tx.hosts.add(a_host(vm_id, epoch=1, report_sequence=0))
    return world_on(clocked_store, tmp_path)


async def create(world: World, save_id: str = "mine") -> Session:
    return (await creation.create_session(world, OPERATOR, SessionRequest("orbit", save_id=save_id), "r")).session


class Agent:
    def __init__(self, world: World, session: Session) -> None:
        self.world = world
        self.session = session
        self.sequence = 0

    async def store(self, content: bytes, archive_id: str = "final", *, final: bool = True) -> None:
        sent = Sent(self.session.id, self.session.generation, archive_id, final)
        upload = await archives.begin(self.world, self.session.vm_id, sent)
        if upload is None:
            return

        async def pieces():
            yield content

        await self.world.objects.put(upload.object_key, pieces())
        await archives.finish(self.world, upload, Arrived(len(content), content.hex(), 1, 1))

    async def reports(self, *workloads: Workload, unstored: tuple[UnstoredSave, ...] = ()) -> None:
        self.sequence += 1
        plan = await hosts.plan_of(self.world, self.session.vm_id)
        report = Report(1, self.sequence, plan.version, workloads, unstored)
        assert await hosts.accept_report(self.world, self.session.vm_id, report)

    def exited(self) -> Workload:
        return Workload(
            self.session.id, self.session.generation, WorkloadState.EXITED, SessionReason.GAME_EXITED, exit_code=0
        )

    def unstored(self, detail: str = "") -> UnstoredSave:
        return UnstoredSave(self.session.id, self.session.generation, detail)


async def save_of(world: World, save_id: str = "mine"):
    return await saves.get_save(world, OPERATOR, save_id)


async def numbers(world: World, save_id: str = "mine") -> list[int]:
    return [version.number for version in await saves.list_versions(world, OPERATOR, save_id, ALL)]


async def contents(world: World) -> list[bytes]:
    keys = await world.objects.list("saves")
    return sorted([b"".join([piece async for piece in world.objects.get(key)]) for key in keys])


async def test_what_is_sent_twice_is_stored_once_and_frees_the_save(world: World) -> None:
    agent = Agent(world, await create(world))
    await agent.store(b"one", "a", final=False)
    assert (await save_of(world)).session_id == agent.session.id
    await agent.store(b"two")
    await agent.store(b"two")
    save = await save_of(world)
    assert (save.session_id, save.current, await numbers(world)) == ("", 2, [2, 1])
    assert await contents(world) == [b"one", b"two"]
    async with world.store.reading() as tx:
        trail = await tx.outbox.trail(DEFAULT_PROJECT, 0, 100)
    assert [r.entry.resource for r in trail if r.entry.action == "StoreSave"] == [
        "saves/mine/versions/1",
        "saves/mine/versions/2",
    ]


async def test_unchanged_files_make_no_version_and_leave_no_object(world: World, clock: Clock) -> None:
    agent = Agent(world, await create(world))
    await agent.store(b"one", "a", final=False)
    await agent.store(b"one", "b", final=False)
    await agent.store(b"one")
    assert ((await save_of(world)).session_id, await numbers(world)) == ("", [1])
    assert await archives.collect_garbage(world) == 2
    assert await contents(world) == [b"one"]


async def test_garbage_goes_in_one_round_however_much_there_is(world: World) -> None:
    count = 2 * archives.COLLECTED_AT_ONCE + 1
    async with world.store.tx() as tx:
        for number in range(count):
            await tx.garbage.expect(f"saves/p/mine/o-{number}", await tx.now())
    assert await archives.collect_garbage(world) == count
    assert await archives.collect_garbage(world) == 0


async def test_only_the_host_that_has_the_session_in_this_generation(world: World) -> None:
    session = await create(world)
    other = "vm-2" if session.vm_id == "vm-1" else "vm-1"
    for host_id, sent in (
        (other, Sent(session.id, 1, "final", True)),
        (session.vm_id, Sent(session.id, 2, "final", True)),
        (session.vm_id, Sent("s-unknown", 1, "final", True)),
    ):
        with pytest.raises(Forbidden):
            await archives.begin(world, host_id, sent)
        with pytest.raises(Forbidden):
            await archives.wanted(world, host_id, sent.session_id, sent.generation)
    without = await creation.create_session(world, OPERATOR, SessionRequest("orbit"), "r")
    with pytest.raises(WrongState, match="has no save"):
        await archives.begin(world, without.session.vm_id, Sent(without.session.id, 1, "final", True))


async def test_a_host_that_has_nothing_left_frees_the_save_and_one_that_has_tells_why(world: World) -> None:
    agent = Agent(world, await create(world))
    await agent.store(b"early", "a", final=False)
    await agent.reports(agent.exited(), unstored=(agent.unstored(),))
    assert (await save_of(world)).session_id == agent.session.id
    with pytest.raises(WrongState) as refused:
        await create(world)
    assert refused.value.reason == "SAVE_NOT_STORED"
    await agent.reports(unstored=(agent.unstored("the object store is away"),))
    assert (await save_of(world)).detail == "the object store is away"
    with pytest.raises(WrongState, match="the object store is away"):
        await create(world)
    await agent.reports()
    assert (await save_of(world)).session_id == ""
    await create(world)


async def test_a_save_that_never_got_a_version_goes_with_the_session_that_made_it(world: World) -> None:
    agent = Agent(world, await create(world))
    await agent.reports(agent.exited())
    assert (await save_of(world)).session_id == agent.session.id  # what it has left may still come
    await agent.reports()
    assert not await saves.list_saves(world, OPERATOR, "", ALL)
    async with world.store.tx() as tx:
        for vm in await tx.batch.lock_vms(["vm-1", "vm-2"], wait=True):
            await tx.vms.save(replace(vm, capacity_units=0, version=vm.version + 1))
    waiting = await create(world)
    assert waiting.vm_id == ""
    await sessions.stop_session(world, OPERATOR, waiting.id, "r")
    assert not await saves.list_saves(world, OPERATOR, "", ALL)


async def test_a_player_has_so_many_saves_however_many_he_asks_for_at_once(world: World) -> None:
    world = replace(world, policy=replace(world.policy, saves_each=2))

    async def asked(who: Principal, save_id: str) -> str:
        try:
            await creation.create_session(world, who, SessionRequest("orbit", save_id=save_id), "r")
        except Exhausted as refusal:
            return refusal.message.partition(" (")[0]
        return ""

    too_many = "you have 2 saves, the most that one player may"
    player, other = (Principal(DEFAULT_PROJECT, name, Role.PLAYER) for name in ("player", "other"))
    answers = await asyncio.gather(*(asked(player, name) for name in "abcd"))
    assert sorted(answers) == ["", "", too_many, too_many]
    assert await asked(player, "e") == too_many
    assert [await asked(other, "f"), *[await asked(OPERATOR, name) for name in "ghi"]] == [""] * 4
    async with world.store.tx() as tx:
        free = Save("mine", DEFAULT_PROJECT, "orbit", await tx.now(), await tx.now(), owner="player")
        await tx.saves.add(free)
    assert await asked(player, "mine") == ""


async def test_a_lost_host_gives_way_and_what_it_brings_later_is_kept_beside(world: World) -> None:
    first = Agent(world, await create(world))
    await first.store(b"early", "a", final=False)
    async with world.store.tx() as tx:
        host = await tx.hosts.lock(first.session.vm_id)
        assert host is not None
        for trigger in (HostTrigger.SILENT, HostTrigger.LOST):
            host, _ = host.on(trigger, await tx.now())
        await tx.hosts.save(host)
        session = await tx.sessions.get(first.session.id)
        assert session is not None
        await tx.sessions.save(session.on(SessionTrigger.HOST_GONE, await tx.now(), SessionReason.HOST_LOST)[0])
    assert host.state is HostState.LOST

    second = Agent(world, await create(world))
    assert second.session.state is SessionState.STARTING
    wanted = await archives.wanted(world, second.session.vm_id, second.session.id, 1)
    assert wanted is not None
    assert wanted.number == 1
    await second.store(b"second", "a", final=False)
    await first.store(b"late")
    save = await save_of(world)
    assert (save.session_id, save.current, await numbers(world)) == (second.session.id, 2, [3, 2, 1])
    await second.store(b"second's end")
    assert ((await save_of(world)).current, (await save_of(world)).session_id) == (4, "")


async def test_releasing_gives_up_and_deleting_forgets_it_all(world: World, clock: Clock) -> None:
    agent = Agent(world, await create(world))
    await agent.store(b"one", "a", final=False)
    with pytest.raises(WrongState, match="plays with"):
        await saves.release(world, OPERATOR, "mine", "r")
    await agent.reports(agent.exited(), unstored=(agent.unstored(),))
    with pytest.raises(WrongState, match="has not stored"):
        await saves.delete_save(world, OPERATOR, "mine", "r")
    assert (await saves.release(world, OPERATOR, "mine", "r")).session_id == ""
    await saves.delete_save(world, OPERATOR, "mine", "r")
    with pytest.raises(WrongState):
        await agent.store(b"late")
    clock.now += timedelta(hours=1)
    assert await archives.collect_garbage(world) == 1
    assert await contents(world) == []


async def test_a_save_without_a_version_goes_when_it_is_released(world: World) -> None:
    agent = Agent(world, await create(world))
    await agent.reports(agent.exited(), unstored=(agent.unstored(),))
    assert (await saves.release(world, OPERATOR, "mine", "r")).session_id == ""
    assert not await saves.list_saves(world, OPERATOR, "", ALL)
    with pytest.raises(WrongState) as late:
        await agent.store(b"late")
    assert late.value.reason == "SAVE_GONE"


async def test_files_that_are_no_archive_are_waited_for_until_the_save_is_released(world: World, clock: Clock) -> None:
    agent = Agent(world, await create(world))
    sent = Sent(agent.session.id, 1, "final", True)
    header = agent_pb2.ArchiveHeader(session_id=sent.session_id, generation=1, archive_id="final", final=True)
    failure = agent_pb2.ArchiveFailure(reason="FILES_REFUSED", detail="too large")

    async def says_so() -> None:
        async def requests():
            yield agent_pb2.StoreArchiveRequest(header=header)
            yield agent_pb2.StoreArchiveRequest(failure=failure)

        await store(world, agent.session.vm_id, requests())

    await agent.store(b"early", "a", final=False)
    await agent.reports(agent.exited(), unstored=(agent.unstored(),))
    await says_so()
    assert (await save_of(world)).session_id == agent.session.id
    await saves.release(world, OPERATOR, "mine", "r")
    with pytest.raises(WrongState, match="nobody waits for it") as gone:
        await says_so()
    assert gone.value.reason == "SAVE_GONE"
    clock.now += timedelta(days=2)
    assert await archives.collect_garbage(world) == 0


async def test_an_upload_that_came_to_nothing_is_swept_within_the_hour(world: World, clock: Clock) -> None:
    session = await create(world)
    header = agent_pb2.ArchiveHeader(session_id=session.id, generation=1, archive_id="final", final=True)

    async def damaged():
        yield agent_pb2.StoreArchiveRequest(header=header)
        yield agent_pb2.StoreArchiveRequest(chunk=b"whole")
        yield agent_pb2.StoreArchiveRequest(end=agent_pb2.ArchiveEnd(sha256="0" * 64))

    with pytest.raises(InvalidRequest, match="not what was sent"):
        await store(world, session.vm_id, damaged())
    clock.now += timedelta(hours=1)
    assert await archives.collect_garbage(world) == 1


async def test_no_archive_is_larger_than_an_object_may_be(world: World) -> None:
    async with world.store.tx() as tx:
        await tx.catalogue.add_deployment(a_deployment(number=2, saves=SaveSpec(("v",), max_bytes=1 << 40)))
    session = await create(world)
    upload = await archives.begin(world, session.vm_id, Sent(session.id, 1, "final", True))
    assert upload is not None
    assert upload.max_bytes == LARGEST_BYTES


async def test_an_upload_that_never_ended_is_swept_and_one_that_did_is_not(world: World, clock: Clock) -> None:
    agent = Agent(world, await create(world))
    await agent.store(b"whole", "a", final=False)
    upload = await archives.begin(world, agent.session.vm_id, Sent(agent.session.id, 1, "b", False))
    assert upload is not None

    async def half():
        yield b"half"

    await world.objects.put(upload.object_key, half())  # and whoever wrote it dies
    assert await archives.collect_garbage(world) == 0
    clock.now += timedelta(days=1)
    assert await archives.collect_garbage(world) == 1
    assert await contents(world) == [b"whole"]


async def test_of_requests_for_one_save_at_once_one_gets_it(world: World) -> None:
    answers = await asyncio.gather(*(create(world) for _ in range(6)), return_exceptions=True)
    won = [answer for answer in answers if isinstance(answer, Session)]
    assert len(won) == 1
    assert {answer.reason for answer in answers if isinstance(answer, WrongState)} == {"SAVE_IN_USE"}
    assert (await save_of(world)).session_id == won[0].id


async def test_retention_keeps_the_newest_and_the_current(world: World) -> None:
    agent = Agent(world, await create(world))
    for number in range(5):
        await agent.store(b"%d" % number, f"a{number}", final=False)
    assert await numbers(world) == [5, 4, 3]
    await agent.store(b"end")
    await saves.restore(world, OPERATOR, "mine", 4, "r")
    again = Agent(world, replace(await create(world)))
    # Not the holder's: kept beside, while the current one stays however old it is.
    wanted = await archives.wanted(world, again.session.vm_id, again.session.id, 1)
    assert wanted is not None
    assert wanted.number == 4
