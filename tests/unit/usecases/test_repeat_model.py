"""Every create that takes a client token, repeated at any time, at once, otherwise and across deaths (I20, I16).

Real use cases on the store in memory; what a token made is changed, moved and taken away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.ids import RandomIds
from controlplane.domain.errors import AlreadyExists
from controlplane.domain.pool import Pool
from controlplane.domain.region import Region
from controlplane.usecases import games, pools, ports, schedules, shapes, succession, upkeep, vms
from controlplane.usecases.ports import PortRequest
from controlplane.usecases.repeating import UNBORN
from controlplane.usecases.schedules import ScheduleRequest
from controlplane.usecases.vms import VmRequest
from controlplane.usecases.world import World
from tests.contract.store.rows import a_deployment, a_game, a_vm
from tests.unit.usecases.rig import OPERATOR, START, Crash, Fate, MortalStore

Create = Callable[[World, str, str], Coroutine[Any, Any, Any]]


async def make_vm(world: World, variant: str, token: str) -> str:
    return (await vms.create_vm(world, OPERATOR, VmRequest("", variant, client_token=token), "")).name


async def make_game(world: World, variant: str, token: str) -> str:
    made = await games.create_game(world, OPERATOR, f"game-{token}", variant, "", "", "", client_token=token)
    return made.name


async def deploy(world: World, variant: str, token: str) -> str:
    wanted = replace(a_deployment(ports=(), container=None), command=(variant,), created_at=UNBORN)
    return (await games.create_deployment(world, OPERATOR, wanted, "", token)).name


async def reserve(world: World, variant: str, token: str) -> str:
    request = PortRequest("vm-1", "udp", variant, client_token=token)
    return (await ports.allocate_port(world, OPERATOR, request, ""))[0].name


async def schedule(world: World, variant: str, token: str) -> str:
    request = ScheduleRequest("orbit", "0 4 * * *", save_id=variant)
    return (await schedules.create_schedule(world, OPERATOR, request, token, "")).name


async def replace_all(world: World, variant: str, token: str) -> str:
    template = {"local": "templates/local", "eu-west-1": "templates/L4-90"}[variant]
    return str([row.id for row in await succession.replace_vms(world, OPERATOR, template, token, "")])


TEMPLATES = {"t-1": "local", "t-2": "L4-90", "t-3": "L4-360"}


async def make_pool(world: World, variant: str, token: str) -> str:
    wanted = Pool(f"pool-{token}", "", "local", variant, TEMPLATES[token], UNBORN, 1, 0, 5)
    return (await pools.create_pool(world, OPERATOR, wanted, "", token)).pool.name


async def make_region(world: World, variant: str, token: str) -> str:
    wanted = Region(f"region-{token}", variant)
    return (await shapes.create(world, OPERATOR, shapes.find_region, wanted, "", token)).name


CREATES: dict[str, Create] = {
    "vm": make_vm,
    "game": make_game,
    "deployment": deploy,
    "port": reserve,
    "schedule": schedule,
    "series": replace_all,
    "pool": make_pool,
    "region": make_region,
}


@dataclass
class Kept:
    variant: str
    name: str
    gone: bool = False


whats = st.sampled_from(sorted(CREATES))
variants = st.sampled_from(["local", "eu-west-1"])
tokens = st.sampled_from(["t-1", "t-2", "t-3"])


class Repeats(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now = START
        self.fate = Fate()
        store = MortalStore(lambda: self.now, self.fate)
        bus, provider = MemoryBus(MemoryBroker()), {"local": None}
        self.world = World(store, bus, RandomIds(), None, None, None, providers=provider)  # type: ignore[arg-type]
        self.kept: dict[tuple[str, str], Kept] = {}
        self.runner.run(self.furnish())

    def teardown(self) -> None:
        self.runner.close()

    async def furnish(self) -> None:
        async with self.world.store.tx() as tx:
            await tx.catalogue.add_game(a_game())
            await tx.vms.add(a_vm())

    def create(self, what: str, variant: str, token: str, times: int = 1) -> list[Any]:
        async def all_at_once() -> list[Any]:
            calls = (CREATES[what](self.world, variant, token) for _ in range(times))
            return await asyncio.gather(*calls, return_exceptions=True)

        return self.runner.run(all_at_once())

    def check(self, what: str, variant: str, token: str, answer: Any) -> None:
        kept = self.kept.get((what, token))
        if kept is None:
            assert isinstance(answer, str), answer
            self.kept[what, token] = Kept(variant, answer)
        elif kept.variant != variant:
            assert isinstance(answer, AlreadyExists)
            assert answer.reason == "CLIENT_TOKEN_MISMATCH"
        elif kept.gone:
            assert isinstance(answer, AlreadyExists)
            assert answer.reason == "CLIENT_TOKEN_SPENT"
        else:
            assert answer == kept.name

    @rule(what=whats, variant=variants, token=tokens, times=st.integers(1, 3))
    def ask(self, what: str, variant: str, token: str, times: int) -> None:
        for answer in self.create(what, variant, token, times):
            self.check(what, variant, token, answer)

    @rule(what=whats, variant=variants, token=tokens, at=st.integers(1, 3))
    def ask_and_die(self, what: str, variant: str, token: str, at: int) -> None:
        """The process dies before, within or after the commit; who asks again is told the same, and nothing is there
        twice."""
        self.fate.at, self.fate.awaits = at, 0
        (answer,) = self.create(what, variant, token)
        assert isinstance(answer, Crash) or not self.fate.dead
        self.fate.at, self.fate.dead = 0, False
        (answer,) = self.create(what, variant, token)
        self.check(what, variant, token, answer)

    @rule(token=tokens)
    def a_vm_comes_up_elsewhere(self, token: str) -> None:
        kept = self.kept.get(("vm", token))
        if kept is not None:
            self.runner.run(self.move(kept.name.removeprefix("vms/")))

    async def move(self, vm_id: str) -> None:
        async with self.world.store.tx() as tx:
            vm = await tx.vms.lock(vm_id)
            assert vm is not None
            await tx.vms.save(replace(vm, region_id="us-east-1", version=vm.version + 1))

    @rule(token=tokens, summary=st.text(max_size=3))
    def a_game_is_changed(self, token: str, summary: str) -> None:
        kept = self.kept.get(("game", token))
        if kept is not None:
            edit = games.update_game(
                self.world, OPERATOR, kept.name.removeprefix("games/"), lambda game: replace(game, summary=summary), ""
            )
            self.runner.run(edit)

    @rule(token=tokens, name=st.text(max_size=3))
    def a_region_is_changed(self, token: str, name: str) -> None:
        kept = self.kept.get(("region", token))
        if kept is not None and not kept.gone:
            edit = shapes.update(
                self.world, OPERATOR, shapes.find_region, kept.name, lambda one: replace(one, display_name=name), ""
            )
            self.runner.run(edit)

    @rule(token=tokens)
    def a_pool_is_deleted(self, token: str) -> None:
        kept = self.kept.get(("pool", token))
        if kept is not None and not kept.gone:
            self.runner.run(pools.delete_pool(self.world, OPERATOR, kept.name.removeprefix("pools/"), ""))
            kept.gone = True

    @rule(token=tokens)
    def a_port_is_given_back(self, token: str) -> None:
        kept = self.kept.get(("port", token))
        if kept is not None and not kept.gone:
            number = int(kept.name.rpartition("-")[2])
            self.runner.run(ports.release_port(self.world, OPERATOR, "vm-1", "udp", number, ""))
            kept.gone = True

    @rule(token=tokens, cron=st.sampled_from(["0 5 * * *", "0 6 * * 1"]))
    def a_schedule_is_changed(self, token: str, cron: str) -> None:
        kept = self.kept.get(("schedule", token))
        if kept is not None and not kept.gone:
            request = ScheduleRequest("orbit", cron, save_id=kept.variant)
            schedule_id = kept.name.removeprefix("backupSchedules/")
            self.runner.run(schedules.update_schedule(self.world, OPERATOR, schedule_id, request, ""))

    @rule(token=tokens)
    def a_schedule_is_deleted(self, token: str) -> None:
        kept = self.kept.get(("schedule", token))
        if kept is not None and not kept.gone:
            schedule_id = kept.name.removeprefix("backupSchedules/")
            self.runner.run(schedules.delete_schedule(self.world, OPERATOR, schedule_id, ""))
            kept.gone = True

    @rule(days=st.integers(1, 20))
    def days_pass(self, days: int) -> None:
        """And what is old is forgotten, as far as it ever is."""
        self.now += timedelta(days=days)
        self.runner.run(upkeep.prune(self.world))

    @invariant()
    def one_thing_for_each_token_and_no_more(self) -> None:
        tables = self.world.store._committed  # type: ignore[attr-defined] - what a look past the store would see
        alive = {
            what: [one for (kind, _), one in self.kept.items() if kind == what and not one.gone] for what in CREATES
        }
        assert len(tables["vms"]) == 1 + len(alive["vm"])
        assert len(tables["games"]) == 1 + len(alive["game"])
        assert len(tables.get("pools", {})) == len(alive["pool"])
        assert len(tables.get("port_leases", {})) == len(alive["port"])
        assert len(tables.get("backup_schedules", {})) == len(alive["schedule"])
        assert len(tables.get("client_tokens", {})) == len(self.kept)


TestRepeats = Repeats.TestCase
TestRepeats.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
