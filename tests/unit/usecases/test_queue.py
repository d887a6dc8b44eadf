"""The placement queue: who stands before whom, and how long it may get."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store.memory import MemoryStore
from controlplane.adapters.store.memory.batch import MemoryQueue
from controlplane.adapters.store.memory.fleet import MemorySessions
from controlplane.domain.errors import Conflict, Exhausted, Unavailable
from controlplane.domain.game import PortSpec
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.queueing import Bounds, Rivals, rivals
from controlplane.domain.region import Law, Region
from controlplane.domain.session import Session, SessionState
from controlplane.domain.template import UNITS_PER_SEAT
from controlplane.interfaces import Tx
from controlplane.usecases import creation, games, queue, replacement, sessions
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.line import BEHIND
from controlplane.usecases.sessions import SessionView
from controlplane.usecases.world import Policy, World
from tests.contract.store.rows import NOW as START
from tests.contract.store.rows import a_deployment, a_game, a_host, a_vm, furnish, next_of

ALICE, BOB = (Principal(DEFAULT_PROJECT, name, Role.PLAYER) for name in ("alice", "bob"))
OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
WAITING, STARTING = SessionState.PENDING, SessionState.STARTING


def region(region_id: str, *chain: str) -> Region:
    return Region(region_id, region_id, chain=chain)


REGIONS = [region("a", "b"), region("b"), region("c", "b"), region("d")]


@pytest.mark.parametrize(
    ("region_id", "located", "among"),
    [
        ("a", False, {"a", "b", "c"}),
        ("b", False, {"a", "b", "c"}),
        ("d", False, {"d"}),
        ("d", True, None),
        ("", False, None),
    ],
)
def test_those_compete_whose_regions_and_chains_meet(region_id: str, located: bool, among: set[str] | None) -> None:
    wanted = None if among is None else frozenset(among)
    assert rivals("p", region_id, located, REGIONS) == Rivals("p", wanted)


def a_world(bounds: Bounds, **rules: float) -> World:
    store, bus = MemoryStore(), MemoryBus(MemoryBroker())
    policy = replace(Policy(queue_bounds=bounds, queue_timeout_s=3600), **rules)
    return World(store, bus, RandomIds(), None, None, None, policy)  # type: ignore[arg-type] - not used


async def ask(world: World, who: Principal = ALICE, **wish: object) -> SessionView:
    return await creation.create_session(world, who, SessionRequest("orbit", **wish), "")  # type: ignore[arg-type]


async def refused(world: World, who: Principal = ALICE) -> Exhausted:
    with pytest.raises(Exhausted) as refusal:
        await ask(world, who)
    return refusal.value


async def test_one_subject_fills_its_share_of_the_queue_and_no_more() -> None:
    world = a_world(Bounds(per_project=5, per_subject=3))
    await furnish(world.store)
    answers = await asyncio.gather(*(ask(world) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, SessionView) for answer in answers) == 3
    full = await refused(world)
    assert (full.reason, full.details["retry_after_s"]) == ("QUEUE_FULL", "5")
    assert "'alice'" in full.message
    for _ in range(2):
        assert (await ask(world, BOB)).session.state is WAITING
    assert "the project" in (await refused(world, BOB)).message


async def test_there_is_room_again_when_one_leaves_and_a_token_is_no_way_round() -> None:
    world = a_world(Bounds(per_project=0, per_subject=1))
    await furnish(world.store)
    first = await ask(world, client_token="t")
    assert (await ask(world, client_token="t")).session == first.session
    assert (await refused(world)).reason == "QUEUE_FULL"
    await sessions.stop_session(world, ALICE, first.session.id, "")
    assert (await ask(world)).session.state is WAITING


class Counted(MemoryStore):
    """Tells how many transactions wrote."""

    written = 0

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[Tx]:
        self.written += 1
        async with super()._write() as tx:
            yield tx


async def test_a_token_that_many_players_use_makes_each_a_session_and_no_line_of_transactions() -> None:
    store = Counted()
    world = replace(a_world(Bounds(per_project=0, per_subject=0)), store=store)
    await furnish(store)
    players = [Principal(DEFAULT_PROJECT, f"player-{number % 20}", Role.PLAYER) for number in range(40)]
    before = store.written
    views = await asyncio.gather(*(ask(world, who, client_token="t") for who in players))
    assert store.written - before <= 4
    assert [view.session.created_by for view in views] == [who.subject for who in players]
    assert len({view.session.id for view in views}) == 20


async def test_a_token_that_many_players_use_in_vain_makes_no_line_of_transactions_either() -> None:
    store = Counted()
    world = replace(a_world(Bounds()), store=store)
    await furnish(store)
    players = [Principal(DEFAULT_PROJECT, f"player-{number}", Role.PLAYER) for number in range(40)]
    before = store.written
    answers = await asyncio.gather(
        *(ask(world, who, client_token="t", queue_timeout_s=0.0) for who in players), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {Exhausted}
    assert store.written - before <= 4


async def test_who_asks_for_many_things_with_one_token_in_vain_holds_up_nobody_for_long() -> None:
    store = Counted()
    world = replace(a_world(Bounds()), store=store)
    await furnish(store)
    before = store.written
    wishes = (ask(world, client_token="t", queue_timeout_s=0.0, lost_after_s=number) for number in range(60))
    answers = await asyncio.gather(*wishes, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Exhausted, Unavailable}
    assert store.written - before <= 2 * creation.TRIES


async def test_who_is_refused_leaves_the_token_to_the_next_and_each_finds_his_own_again() -> None:
    world = a_world(Bounds(per_project=0, per_subject=1))
    await furnish(world.store)
    before = await ask(world)
    carol = replace(BOB, subject="carol")
    orders = (ask(world, who, client_token="t") for who in (ALICE, BOB, carol))
    first, *made = await asyncio.gather(*orders, return_exceptions=True)
    assert isinstance(first, Exhausted)
    made = [view for view in made if isinstance(view, SessionView)]
    assert [view.session.client_token for view in made] == ["t", "t/carol"]
    await sessions.stop_session(world, ALICE, before.session.id, "")
    assert (await ask(world, client_token="t")).session.client_token == "t/alice"
    again = [await ask(world, who, client_token="t") for who in (BOB, carol)]
    assert [view.session for view in again] == [view.session for view in made]


async def test_whoever_finds_a_slot_does_not_wait_and_is_not_counted() -> None:
    world = a_world(Bounds(per_project=1, per_subject=1))
    await furnish(world.store, a_vm(terminate_requested_at=None))
    async with world.store.tx() as tx:
        await tx.hosts.add(a_host())
    assert [(await ask(world)).session.state for _ in range(3)] == [STARTING, STARTING, WAITING]
    assert (await refused(world)).reason == "QUEUE_FULL"


async def test_a_place_counts_nobody_who_waits_elsewhere() -> None:
    world = a_world(Bounds())
    stranger = Principal("other", "alice", Role.PLAYER)
    await furnish(world.store)
    async with world.store.tx() as tx:
        await tx.credentials.put_project("other")
        await tx.catalogue.add_game(a_game(project_id="other"))
        await tx.catalogue.add_deployment(a_deployment(project_id="other"))
    for who in (stranger, stranger, ALICE):
        await ask(world, who, region_id="eu-west-1")
    alone = await ask(world, region_id="local")
    anywhere = await ask(world, BOB)
    assert (alone.queue_position, anywhere.queue_position) == (1, 3)
    behind = await ask(world, region_id="local")
    shown = await sessions.get_session(world, ALICE, behind.session.id)
    assert (behind.queue_position, shown.queue_position) == (3, 3)


async def grow(world: World, seats: int) -> None:
    """A slot becomes free on the VM, and nobody has gone through the queue yet."""
    async with world.store.tx() as tx:
        await tx.vms.save(next_of(await tx.vms.lock("vm-1"), capacity_units=seats * UNITS_PER_SEAT))


async def test_nobody_takes_a_slot_that_somebody_who_waits_could_have_wherever_each_comes_from() -> None:
    world = a_world(Bounds())
    await furnish(world.store, a_vm(terminate_requested_at=None, capacity_units=UNITS_PER_SEAT))
    async with world.store.tx() as tx:
        await tx.hosts.add(a_host())
    assert (await ask(world, region_id="local")).session.state is STARTING
    german = await ask(world, territory="DE")
    await grow(world, 2)
    # He asks for less than she does, and from elsewhere: whatever he could be given, she could have.
    french = await ask(world, BOB, region_id="local", territory="FR")
    assert (german.session.state, french.session.state, french.session.passed_over) == (WAITING, WAITING, BEHIND)
    assert await queue.place_queue(world) == 1
    assert (await sessions.get_session(world, ALICE, german.session.id)).session.state is STARTING
    # She does not wait where he may go: he is given it.
    await sessions.stop_session(world, BOB, french.session.id, "")
    await ask(world, region_id="eu-west-1")
    await grow(world, 3)
    assert (await ask(world, BOB, region_id="local", territory="FR")).session.state is STARTING


async def test_who_waits_for_a_port_of_one_deployment_stands_before_nobody_of_the_next() -> None:
    world = a_world(Bounds())
    async with world.store.tx() as tx:
        await tx.catalogue.add_game(a_game(law=Law()))
        await tx.vms.add(a_vm(terminate_requested_at=None, capacity_units=60))
        await tx.hosts.add(a_host())
    fixed = a_deployment(ports=(PortSpec("query", "udp", host_port=30000),), container=None)
    await games.create_deployment(world, OPERATOR, fixed, "")
    first, second = await ask(world), await ask(world)
    assert (first.session.state, second.session.state) == (STARTING, WAITING)
    await games.create_deployment(world, OPERATOR, replace(fixed, ports=()), "")
    assert (await ask(world, queue_timeout_s=0.0)).session.state is STARTING
    # Nor do those of the next wait behind it when the queue is gone through.
    assert await queue.place_queue(world) == 0


async def test_a_queue_that_nobody_can_go_through_fails_as_a_whole_and_lost_sessions_that_are_stuck_do_not_hold_it_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []

    def work(name: str, fault: Exception | None) -> None:
        async def run(_: World) -> None:
            done.append(name)
            if fault is not None:
                raise fault

        monkeypatch.setattr(replacement, name, run)

    world = a_world(Bounds())
    work("replace_lost", stuck := ExceptionGroup("replacement", [KeyError("row")]))
    work("place_queue", None)
    with pytest.raises(ExceptionGroup) as told:
        await replacement.place_all(world)
    assert (told.value, done) == (stuck, ["replace_lost", "place_queue"])
    work("place_queue", KeyError("row"))
    with pytest.raises(KeyError):
        await replacement.place_all(world)
    work("replace_lost", None)
    with pytest.raises(KeyError):
        await replacement.place_all(world)


async def test_one_who_is_placed_at_the_last_moment_keeps_no_other_from_being_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = START
    world = replace(a_world(Bounds()), store=MemoryStore(lambda: now))
    await furnish(world.store)
    first, second = (await ask(world)).session, (await ask(world)).session
    now += timedelta(seconds=3600)
    save = MemorySessions.save

    async def lost(self: MemorySessions, session: Session) -> None:
        if session.id == first.id:
            raise Conflict("VERSION_CONFLICT", "somebody else was faster")
        await save(self, session)

    monkeypatch.setattr(MemorySessions, "save", lost)
    assert await queue.expire_queue(world) == 1
    assert (await sessions.get_session(world, ALICE, second.id)).session.state is SessionState.REJECTED


async def test_who_is_given_more_time_at_the_last_moment_is_not_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    now = START
    world = replace(a_world(Bounds()), store=MemoryStore(lambda: now))
    await furnish(world.store)
    view = await ask(world)
    now += timedelta(seconds=3600)
    whole, given = world.store.tx, False

    @asynccontextmanager
    async def late() -> AsyncIterator[Tx]:
        nonlocal given
        if not given:
            given = True
            async with whole() as tx:
                session = await tx.sessions.get(view.session.id)
                assert session is not None
                more = replace(session.patient(7200), version=session.version + 1)
                await tx.sessions.save(more)
        async with whole() as tx:
            yield tx

    monkeypatch.setattr(world.store, "tx", late)
    assert await queue.expire_queue(world) == 0
    assert (await sessions.get_session(world, ALICE, view.session.id)).session.state is WAITING
    now += timedelta(seconds=3600)
    assert await queue.expire_queue(world) == 1


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Of whom places were counted, each time that they were."""
    counted: list[Sequence[str]] = []
    count = MemoryQueue.places

    async def counting(self: MemoryQueue, session_ids: Sequence[str], among: Rivals) -> Mapping[str, int]:
        counted.append(session_ids)
        return await count(self, session_ids, among)

    monkeypatch.setattr(MemoryQueue, "places", counting)
    return counted


async def test_who_waits_has_the_queue_counted_when_the_wait_is_over_and_not_at_each_look(
    places: list[Sequence[str]],
) -> None:
    world = a_world(Bounds(), poll_s=0)
    await furnish(world.store)
    session = (await ask(world)).session
    looks = iter(range(5))
    places.clear()
    view = await sessions.wait_until(world, ALICE, session.id, lambda _: next(looks) == 4)
    assert (view.queue_position, places) == (1, [[session.id]])


async def test_who_watches_sees_his_place_change_and_has_it_counted_now_and_then(places: list[Sequence[str]]) -> None:
    world = a_world(Bounds(), poll_s=0, place_s=0)
    await furnish(world.store)
    first, second = (await ask(world)).session, (await ask(world)).session
    watched = sessions.watch_session(world, ALICE, second.id)
    assert (await anext(watched)).queue_position == 2
    await sessions.stop_session(world, ALICE, first.id, "")
    assert (await anext(watched)).queue_position == 1

    seldom = sessions.watch_session(replace(world, policy=replace(world.policy, place_s=3600)), ALICE, second.id)
    assert (await anext(seldom)).queue_position == 1
    places.clear()
    after = asyncio.create_task(anext(seldom))
    for _ in range(100):
        await asyncio.sleep(0)
    assert places == []
    await sessions.stop_session(world, ALICE, second.id, "")
    assert (await after).session.state is SessionState.STOPPED
