"""Presets and regions under edit: what is the house's stays the house's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.adapters.store.memory import MemoryStore
from controlplane.domain.errors import AlreadyExists, Forbidden
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.template import Preset, Template
from controlplane.interfaces import Tx
from controlplane.usecases import shapes
from controlplane.usecases.shapes import find_preset, find_template
from controlplane.usecases.world import World
from tests.contract.store.rows import a_game

HOUSE = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
STRANGER = Principal("other", "operator", Role.OPERATOR)


@pytest.fixture
async def world() -> World:
    store = MemoryStore()
    async with store.tx() as tx:
        await tx.credentials.put_project("other")
        await tx.catalogue.add_game(a_game(project_id="other"))
    return World(store, None, None, None, None, None)  # type: ignore[arg-type] - not used


async def test_no_project_takes_over_a_preset_of_the_house_by_giving_it_to_a_game_of_its_own(world: World) -> None:
    def taken(preset: Preset) -> Preset:
        return replace(preset, project_id="other", game_id="orbit")

    with pytest.raises(Forbidden) as refusal:
        await shapes.update(world, STRANGER, find_preset, "presets/default-high", taken, "")
    assert refusal.value.reason == "HOUSE_ONLY"
    assert (await shapes.get(world, HOUSE, find_preset, "presets/default-high")).project_id == ""


@pytest.mark.parametrize("same", [True, False])
async def test_of_two_creates_at_the_same_moment_the_second_gets_the_firsts_or_is_told_its_name(
    world: World, same: bool
) -> None:
    tower = Template("tower", "Tower", vcpus=4, ram_gb=8, vram_gb=0, seats=1)
    first = tower if same else replace(tower, vcpus=8)
    looked = 0

    async def find(tx: Tx, template_id: str) -> Template | None:
        """Looks before the first is committed."""
        nonlocal looked
        looked += 1
        return None if looked == 1 else await find_template(tx, template_id)

    await shapes.create(world, HOUSE, find_template, first, "")
    work = shapes.create(world, HOUSE, find, tower, "")
    if same:
        assert await work == first
    else:
        with pytest.raises(AlreadyExists, match="'templates/tower'"):
            await work
