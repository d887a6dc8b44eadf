"""Saves, their versions and objects that are to go, on every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from controlplane.adapters.store import open_store
from controlplane.adapters.store.saves import owned
from controlplane.domain.errors import AlreadyExists, Conflict, NotFound
from controlplane.domain.save import Save, SaveVersion
from controlplane.domain.session import SessionReason, SessionState
from controlplane.interfaces import Page, Store
from tests.contract.store.rows import NOW, PROJECT, a_session, at, furnish, synchronous


@pytest.fixture
async def store(clocked_store: Store) -> Store:
    await furnish(clocked_store)
    return clocked_store


def a_save(save_id: str = "one", **fields: Any) -> Save:
    return Save(
        **{"id": save_id, "project_id": PROJECT, "game_id": "orbit", "created_at": NOW, "updated_at": at(1), **fields}
    )


def a_version(number: int = 1, **fields: Any) -> SaveVersion:
    values: dict[str, Any] = {
        "save_id": "one",
        "project_id": PROJECT,
        "number": number,
        "created_at": at(number),
        "session_id": "s-1",
        "generation": 1,
        "archive_id": f"a-{number}",
        "object_key": f"saves/{number}",
        "size_bytes": 2**40,
        "sha256": "ab" * 32,
        "content_bytes": 2**41,
        "files": 3,
        "final": True,
    }
    return SaveVersion(**{**values, **fields})


async def add(store: Store, *saves: Save) -> None:
    async with store.tx() as tx:
        for save in saves:
            await tx.saves.add(save)


async def test_a_save_is_kept_whole_and_found_in_its_project_alone(store):
    save = a_save(session_id="s-1", detail="grüße", current=3, newest=4)
    await add(store, save)
    async with store.reading() as tx:
        assert await tx.saves.get(PROJECT, "one") == save
        assert await tx.saves.get("other", "one") is None


async def test_the_same_id_or_the_same_session_twice_is_refused(store):
    await add(store, a_save(session_id="s-1"))
    async with store.tx() as tx:
        with pytest.raises(AlreadyExists):
            await tx.saves.add(a_save())
        with pytest.raises(AlreadyExists):
            await tx.saves.add(a_save("two", session_id="s-1"))
        await tx.saves.add(a_save("two"))


async def test_a_game_that_is_not_there_has_no_saves(store):
    with pytest.raises(NotFound):
        await add(store, a_save(game_id="nothing"))


async def test_of_two_writers_from_the_same_version_one_wins(store):
    await add(store, a_save())
    async with store.tx() as tx:
        await tx.saves.save(a_save().held_by("s-1", NOW))
    with pytest.raises(Conflict):
        async with store.tx() as tx:
            await tx.saves.save(a_save().held_by("s-2", NOW))
    async with store.reading() as tx:
        save = await tx.saves.get(PROJECT, "one")
    assert save is not None
    assert (save.session_id, save.version) == ("s-1", 2)


async def test_a_session_holds_one_save(store):
    await add(store, a_save(session_id="s-1"), a_save("two"))
    with pytest.raises(Conflict):
        async with store.tx() as tx:
            await tx.saves.save(a_save("two").held_by("s-1", NOW))


async def test_they_are_listed_newest_first_page_by_page(store):
    await add(store, *(a_save(name, created_at=at(i)) for i, name in enumerate("abc")))
    async with store.reading() as tx:
        assert [s.id for s in await tx.saves.list(PROJECT, "", Page(size=2))] == ["c", "b"]
        assert [s.id for s in await tx.saves.list(PROJECT, "orbit", Page(after=(at(1), "b")))] == ["a"]
        assert not await tx.saves.list(PROJECT, "other", Page())
        assert not await tx.saves.list("other", "", Page())


async def test_a_players_own_are_counted(store):
    await add(store, a_save(), a_save("two", owner="anna"), a_save("three", owner="anna"), a_save("four", owner="ben"))
    async with store.reading() as tx:
        assert [await tx.saves.count(PROJECT, owner) for owner in ("anna", "ben", "carl")] == [2, 1, 0]
        assert await tx.saves.count("other", "anna") == 0


async def test_what_is_held_by_sessions_of_a_vm(store):
    over = {"state": SessionState.STOPPED, "reason": SessionReason.IDLE}
    async with store.tx() as tx:
        await tx.sessions.add(a_session("s-1", vm_id="vm-1", state=SessionState.RUNNING, generation=2))
        await tx.sessions.add(a_session("s-2", vm_id="vm-1", **over))
        await tx.sessions.add(a_session("s-3"))
    await add(store, *(a_save(f"save-{n}", session_id=f"s-{n}") for n in (1, 2, 3)), a_save("free"))
    async with store.reading() as tx:
        held = await tx.saves.held_on("vm-1")
        assert [(one.save.id, one.generation, one.finished) for one in held] == [
            ("save-1", 2, False),
            ("save-2", 1, True),
        ]
        assert not await tx.saves.held_on("vm-9")


async def test_versions_are_kept_whole_and_listed_newest_first(store):
    await add(store, a_save())
    async with store.tx() as tx:
        for number in (1, 2, 10):
            await tx.save_versions.add(a_version(number))
    async with store.reading() as tx:
        assert await tx.save_versions.get(PROJECT, "one", 2) == a_version(2)
        assert await tx.save_versions.get(PROJECT, "one", 3) is None
        assert [v.number for v in await tx.save_versions.list(PROJECT, "one", Page(size=2))] == [10, 2]
        assert [v.number for v in await tx.save_versions.list(PROJECT, "one", Page(after=(at(2), "2")))] == [1]
        assert await tx.save_versions.by_archive("s-1", 1, "a-10") == a_version(10)
        assert await tx.save_versions.by_archive("s-1", 2, "a-10") is None


async def test_what_was_sent_twice_is_stored_once(store):
    await add(store, a_save())
    async with store.tx() as tx:
        await tx.save_versions.add(a_version(1))
        with pytest.raises(AlreadyExists):
            await tx.save_versions.add(a_version(2, archive_id="a-1"))
        with pytest.raises(AlreadyExists):
            await tx.save_versions.add(a_version(1, archive_id="a-2"))


async def test_a_version_needs_its_save(store):
    with pytest.raises(NotFound):
        async with store.tx() as tx:
            await tx.save_versions.add(a_version())


async def test_a_save_goes_with_its_versions_unless_it_has_changed(store):
    await add(store, a_save())
    async with store.tx() as tx:
        await tx.save_versions.add(a_version(1))
        await tx.saves.save(a_save().told("why", NOW))
    with pytest.raises(Conflict):
        async with store.tx() as tx:
            await tx.saves.remove(a_save())
    async with store.tx() as tx:
        kept = await tx.saves.get(PROJECT, "one")
        assert kept is not None
        assert await tx.save_versions.list(PROJECT, "one", Page())
        await tx.saves.remove(kept)
    async with store.reading() as tx:
        assert await tx.saves.get(PROJECT, "one") is None
        assert not await tx.save_versions.list(PROJECT, "one", Page())


async def test_garbage_is_due_in_time_and_spared_while_a_row_refers_to_it(store, clock):
    await add(store, a_save())
    later = NOW + timedelta(hours=1)
    async with store.tx() as tx:
        await tx.save_versions.add(a_version(1))
        for number in (1, 2, 3):
            await tx.garbage.expect(f"saves/{number}", NOW)
        await tx.garbage.expect("saves/3", later)
    async with store.tx() as tx:
        assert await tx.garbage.due(10, later) == ["saves/2"]
    async with store.tx() as tx:
        assert await tx.garbage.due(10, later) == []
    clock.now = later
    async with store.tx() as tx:
        assert await tx.garbage.due(1, later + timedelta(hours=1)) in (["saves/2"], ["saves/3"])
        assert len(await tx.garbage.due(10, later + timedelta(hours=1))) == 1
        await tx.garbage.gone(["saves/2", "saves/3"])
    clock.now = later + timedelta(hours=2)
    async with store.tx() as tx:
        assert await tx.garbage.due(10, later) == []


async def test_what_no_row_refers_to_any_more_is_expected_anew(store):
    await add(store, a_save())
    async with store.tx() as tx:
        await tx.save_versions.add(a_version(1))
        await tx.garbage.expect("saves/1", NOW)
        assert await tx.garbage.due(10, at(60)) == []
    async with store.tx() as tx:
        await tx.save_versions.remove(replace(a_version(1)))
        await tx.garbage.expect("saves/1", NOW)
        assert await tx.garbage.due(10, at(60)) == ["saves/1"]


async def test_a_players_list_has_his_own_saves_and_nobodys(store: Store) -> None:
    async with store.tx() as tx:
        for number, owner in enumerate(("", "alice", "bob")):
            await tx.saves.add(a_save(f"save-{number}", owner=owner, created_at=at(number)))
    async with store.reading() as tx:
        assert [save.owner for save in await tx.saves.list(PROJECT, "", Page(), "alice")] == ["alice", ""]
        assert [save.owner for save in await tx.saves.list(PROJECT, "orbit", Page())] == ["bob", "alice", ""]


async def test_the_saves_of_a_player_are_counted_without_reading_all_saves(postgres_store_url: str) -> None:
    store = open_store(postgres_store_url)
    await furnish(store)
    async with store.tx() as tx:
        await tx.saves.add(a_save(owner="bob"))
    await store.close()
    with synchronous(postgres_store_url).begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO saves SELECT (jsonb_populate_record(t, jsonb_build_object('id', 'bob-' || n))).*"
                " FROM saves t, generate_series(1, 5000) n"
            )
        )
        connection.execute(sa.text("ANALYZE saves"))
        words = owned(PROJECT, "alice").compile(connection, compile_kwargs={"literal_binds": True})
        plan = connection.execute(sa.text(f"EXPLAIN {words}")).scalars().all()
    assert any("ix_saves_project_id_owner" in line for line in plan), plan
