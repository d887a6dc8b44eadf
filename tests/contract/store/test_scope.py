"""Projects, credentials, the catalogue, shapes and the feed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from controlplane.domain.container import Container
from controlplane.domain.errors import AlreadyExists, NotFound
from controlplane.domain.identity import CredentialKind
from controlplane.domain.region import Region
from controlplane.domain.silence import Feed, Span
from controlplane.domain.template import Preset, Template
from controlplane.interfaces import Page, Store
from tests.contract.store.rows import NOW, a_credential, a_deployment, a_game, at, furnish


async def test_a_credential_is_found_by_kind_and_secret(store: Store) -> None:
    await furnish(store)
    join = a_credential(vm_id="vm-1")
    async with store.tx() as tx:
        await tx.credentials.add(join)
        with pytest.raises(AlreadyExists):
            await tx.credentials.add(replace(join, id="c-2"))
        with pytest.raises(AlreadyExists):
            await tx.credentials.add(a_credential(secret_sha256="f" * 64))
        await tx.credentials.add(replace(join, id="c-3", kind=CredentialKind.BEARER, vm_id=""))
    async with store.reading() as tx:
        assert await tx.credentials.by_secret(CredentialKind.JOIN, join.secret_sha256) == join
        assert await tx.credentials.by_secret(CredentialKind.SIGN_IN, join.secret_sha256) is None
        bearer = await tx.credentials.by_secret(CredentialKind.BEARER, join.secret_sha256)
        assert bearer is not None
        assert (bearer.id, bearer.vm_id) == ("c-3", "")


async def test_a_credential_is_used_once(store: Store) -> None:
    async with store.tx() as tx:
        for name in ("fresh", "revoked"):
            await tx.credentials.add(a_credential(name))
        await tx.credentials.revoke("revoked", at(1))
        await tx.credentials.revoke("revoked", at(9))
        await tx.credentials.revoke("unknown", at(1))
        assert not await tx.credentials.use("revoked", at(2))
        assert not await tx.credentials.use("unknown", at(2))
        assert not await tx.credentials.use("fresh", at(900))
        assert await tx.credentials.use("fresh", at(899))
        assert not await tx.credentials.use("fresh", at(899))
    async with store.reading() as tx:
        used = await tx.credentials.by_secret(CredentialKind.JOIN, f"{'fresh':0>64}")
        revoked = await tx.credentials.by_secret(CredentialKind.JOIN, f"{'revoked':0>64}")
    assert used is not None
    assert revoked is not None
    assert (used.used_at, used.revoked_at) == (at(899), None)
    assert (revoked.used_at, revoked.revoked_at) == (None, at(1))


async def test_of_many_who_use_a_credential_at_once_one_wins(store: Store) -> None:
    async with store.tx() as tx:
        await tx.credentials.add(a_credential())

    async def use() -> bool:
        async with store.tx() as tx:
            return await tx.credentials.use("c-1", at(1))

    assert sum(await asyncio.gather(*(use() for _ in range(12)))) == 1


async def test_of_many_who_spend_a_token_at_once_one_wins(store: Store) -> None:
    async def spend() -> bool:
        async with store.tx() as tx:
            return await tx.credentials.spend("jti-1", at(60), NOW)

    assert sum(await asyncio.gather(*(spend() for _ in range(12)))) == 1


async def test_a_spent_token_is_remembered_until_it_expires(store: Store) -> None:
    async with store.tx() as tx:
        assert await tx.credentials.spend("jti-1", at(60), NOW)
    async with store.tx() as tx:
        assert not await tx.credentials.spend("jti-1", at(60), at(59))
        assert await tx.credentials.spend("jti-2", at(90), at(60))
        assert await tx.credentials.spend("jti-1", at(200), at(61))


async def test_games_and_their_deployments_come_back_as_they_went(store: Store) -> None:
    async with store.tx() as tx:
        await tx.catalogue.add_game(a_game())
        with pytest.raises(AlreadyExists):
            await tx.catalogue.add_game(a_game(display_name="Another"))
        first = await tx.catalogue.add_deployment(a_deployment(number=77))
        second = await tx.catalogue.add_deployment(
            a_deployment(readiness=None, ports=(), environment={}, container=Container("o", gpu=True))
        )
    assert (first.number, second.number) == (1, 2)
    async with store.reading() as tx:
        assert await tx.catalogue.deployment("default", "orbit", 1) == a_deployment(number=1)
        assert await tx.catalogue.deployment("default", "orbit", 2) == second
        assert await tx.catalogue.deployment("default", "orbit", 3) is None
        assert await tx.catalogue.game("default", "orbit") == a_game(current_deployment=2)
        assert await tx.catalogue.game("other", "orbit") is None


async def test_a_game_of_the_same_id_in_another_project_is_another(store: Store) -> None:
    async with store.tx() as tx:
        await tx.credentials.put_project("other")
        await tx.credentials.put_project("other")
        await tx.catalogue.add_game(a_game())
        await tx.catalogue.add_game(a_game(project_id="other"))
        await tx.catalogue.add_deployment(a_deployment(project_id="other"))
    async with store.reading() as tx:
        assert await tx.catalogue.games("default", Page()) == [a_game()]
        assert await tx.catalogue.games("other", Page()) == [a_game(project_id="other", current_deployment=1)]


async def test_games_are_paged_newest_first(store: Store) -> None:
    async with store.tx() as tx:
        for number in range(5):
            await tx.catalogue.add_game(a_game(f"game-{number}", created_at=at(number // 2)))
    async with store.reading() as tx:
        first = await tx.catalogue.games("default", Page(size=3))
        rest = await tx.catalogue.games("default", Page(size=3, after=(first[-1].created_at, first[-1].id)))
    assert [game.id for game in (*first, *rest)] == [f"game-{number}" for number in (4, 3, 2, 1, 0)]


async def test_a_deployment_needs_its_game(store: Store) -> None:
    with pytest.raises(NotFound):
        async with store.tx() as tx:
            await tx.catalogue.add_deployment(a_deployment())


async def test_deployments_made_at_once_are_numbered_without_gap_or_double(store: Store) -> None:
    async with store.tx() as tx:
        await tx.catalogue.add_game(a_game())

    async def deploy() -> int:
        async with store.tx() as tx:
            return (await tx.catalogue.add_deployment(a_deployment())).number

    assert sorted(await asyncio.gather(*(deploy() for _ in range(8)))) == list(range(1, 9))


async def test_the_shapes_of_the_first_migration(store: Store) -> None:
    async with store.reading() as tx:
        templates = {t.id: (t.vcpus, t.ram_gb, t.vram_gb, t.seats) for t in await tx.shapes.templates()}
        presets = {p.id: p for p in await tx.shapes.presets()}
        regions = [region.id for region in await tx.shapes.regions()]
        tokyo = await tx.shapes.region("ap-northeast-1")
        assert await tx.shapes.template("H100") is None
        assert await tx.shapes.preset("nope") is None
        assert await tx.shapes.region("mars") is None
        assert await tx.shapes.preset("default-high") == presets["default-high"]
    # Seeds 000 and 001.
    assert templates == {
        "L4-360": (8, 32, 24, 4),
        "L4-90": (4, 16, 12, 2),
        "A10": (12, 48, 24, 4),
        "A16": (16, 64, 64, 6),
        "RTX-4060": (6, 16, 8, 2),
        "RTX-4080": (12, 32, 16, 4),
        "RTX-4090": (16, 48, 24, 4),
        "local": (0, 0, 0, 2),
    }

    def figures(preset: Preset) -> tuple[int, ...]:
        range_kbps = (preset.min_bitrate_kbps, preset.bitrate_kbps, preset.max_bitrate_kbps)
        return (preset.width, preset.height, preset.fps, *range_kbps, preset.sessions_per_vm)

    assert {name: figures(preset) for name, preset in presets.items()} == {
        "default-high": (2560, 1440, 120, 15000, 20000, 25000, 2),
        "default-standard": (1920, 1080, 60, 8000, 12000, 15000, 4),
        "default-competitive": (1920, 1080, 240, 10000, 15000, 20000, 1),
        "software-720p30": (1280, 720, 30, 1500, 4000, 8000, 0),
    }
    seeds_regions = ["ap-northeast-1", "ap-southeast-1", "eu-central-1", "eu-west-1", "us-east-1", "us-west-2"]
    assert regions == sorted([*seeds_regions, "local"])
    chain = ("ap-southeast-1", "us-west-2", "eu-central-1")
    assert tokyo == Region("ap-northeast-1", "Asia Pacific (Tokyo)", 35.6762, 139.6503, "JP", chain, low_water_seats=1)


async def test_a_template_and_a_region_are_added_once_and_saved_again(store: Store) -> None:
    template = Template("H200", "NVIDIA H200", 32, 256, 141, 8, "NVIDIA H200")
    region = Region("eu-north-1", "Stockholm", 59.3293, 18.0686, "SE")
    async with store.tx() as tx:
        await tx.shapes.add(replace(template, seats=1))
        await tx.shapes.save(template)
        await tx.shapes.add(region)
        with pytest.raises(AlreadyExists):
            await tx.shapes.add(replace(region, territory=""))
    async with store.reading() as tx:
        assert await tx.shapes.template("H200") == template
        assert await tx.shapes.region("eu-north-1") == region


async def test_of_many_who_edit_a_shape_at_once_none_loses_what_another_wrote(store: Store) -> None:
    async with store.reading() as tx:
        dublin = await tx.shapes.region("eu-west-1")
    assert dublin is not None

    async def edit() -> None:
        async with store.tx() as tx:
            now = await tx.shapes.lock(dublin)
            assert now is not None
            await tx.shapes.save(replace(now, low_water_seats=now.low_water_seats + 1))

    await asyncio.gather(*(edit() for _ in range(8)))
    async with store.reading() as tx:
        assert await tx.shapes.region("eu-west-1") == replace(dublin, low_water_seats=dublin.low_water_seats + 8)


async def test_the_feed_is_one(store: Store) -> None:
    whole = Feed(at(2), at(1), (Span(at(0), at(1)), Span(at(2), at(2))))
    async with store.tx() as tx:
        assert await tx.feed.get() == await tx.feed.lock() == Feed()
        await tx.feed.save(Feed(at(1), None))
        await tx.feed.save(whole)
        assert await tx.feed.get() == await tx.feed.lock() == whole
    async with store.reading() as tx:
        assert await tx.feed.get() == whole
