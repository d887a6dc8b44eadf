"""Outbox, dead letters and the audit trail."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from controlplane.adapters.store import open_store
from controlplane.adapters.store.outbox import happened
from controlplane.adapters.store.trail import first_break
from controlplane.domain.errors import NotFound
from controlplane.domain.events import EventFilter
from controlplane.interfaces import AuditEntry, Page, Store
from tests.contract.store.rows import NOW, PROJECT, a_credential, a_draft, a_session, a_vm, at, furnish, synchronous

TOLD = ((1, "pending"), (2, "pending"), (3, "pending"), (1, "running"), (2, "running"))


class Hands:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.moment = NOW

    def __call__(self) -> datetime:
        return self.moment


async def test_events_come_out_as_they_went_in_oldest_first(store: Store) -> None:
    for numbers in ((1, 2), (3,)):
        async with store.tx() as tx:
            await tx.outbox.append([a_draft(number) for number in numbers])
            await tx.outbox.append([a_draft(10 + number) for number in numbers])
            await tx.outbox.append([])
    async with store.tx() as tx:
        events = await tx.outbox.claim(10, 30)
    assert [event.draft for event in events] == [a_draft(number) for number in (1, 2, 11, 12, 3, 13)]
    assert len({event.id for event in events}) == 6
    assert [event.id for event in events] == sorted(event.id for event in events)
    assert all(event.at.utcoffset() == timedelta(0) for event in events)


async def test_a_claim_is_a_lease_and_publishing_ends_it(store_url: str) -> None:
    clock = Hands()
    store = open_store(store_url, clock=clock)
    async with store.tx() as tx:
        await tx.outbox.append([a_draft(number) for number in range(4)])
    async with store.tx() as tx:
        first = await tx.outbox.claim(3, 30)
        assert [event.draft.subject_version for event in first] == [0, 1, 2]
        assert all(event.at == NOW for event in first)
    async with store.tx() as tx:
        assert [event.draft.subject_version for event in await tx.outbox.claim(3, 30)] == [3]
        await tx.outbox.published([first[1].id, first[1].id, "unknown"])
        await tx.outbox.published([])
    clock.moment = at(29.9)
    async with store.tx() as tx:
        assert await tx.outbox.claim(3, 30) == []
    clock.moment = at(30)
    async with store.tx() as tx:
        assert [event.draft.subject_version for event in await tx.outbox.claim(9, 30)] == [0, 2, 3]
    await store.close()


async def test_what_happened_is_listed_published_or_not_by_subject_type_and_owner(store: Store) -> None:
    async with store.tx() as tx:
        await tx.credentials.put_project("other")
    await furnish(store, a_vm())
    async with store.tx() as tx:
        for number, player in ((1, "alice"), (2, "bob"), (3, "alice")):
            await tx.sessions.add(a_session(f"s-{number}", created_by=player, client_token=f"t-{number}"))
        await tx.outbox.append([a_draft(number, type=f"quarterdeck.session.{word}") for number, word in TOLD])
        await tx.outbox.append([a_draft(9, type="quarterdeck.vm_x.ready", subject="vmsx/s-1")])
        await tx.outbox.append([a_draft(8, type="quarterdeck.vm.ready", subject="vms/vm-1")])
        await tx.outbox.append([a_draft(7, project_id="other")])
        await tx.outbox.published([event.id for event in await tx.outbox.claim(2, 30)])

    async def listed(*names: str, types: tuple[str, ...] = (), page: Page | None = None, **order: Any) -> list[int]:
        async with store.reading() as tx:
            events = await tx.outbox.history(PROJECT, EventFilter(types, names), page or Page(), **order)
        return [event.draft.subject_version for event in events]

    assert await listed() == [8, 9, 2, 1, 3, 2, 1]
    assert await listed(oldest_first=True) == [1, 2, 3, 1, 2, 9, 8]
    assert await listed("sessions/s-1") == [1, 1]
    assert await listed("sessions/s-1", "vms") == [8, 1, 1]
    assert await listed(types=("quarterdeck.vm",)) == [8]
    assert await listed(types=("quarterdeck.session.running", "quarterdeck.vm."), oldest_first=True) == [1, 2, 8]
    assert await listed("sessions", types=("quarterdeck.session.stopped",)) == []
    assert await listed(created_by="alice") == [1, 3, 1]
    assert await listed("sessions/s-2", created_by="alice") == []
    assert await listed("sessions/s-2", "sessions/s-3", created_by="alice") == [3]
    async with store.reading() as tx:
        whole = await tx.outbox.history(PROJECT, EventFilter(), Page())
        assert await tx.outbox.history("other", EventFilter(("quarterdeck.vm",)), Page()) == []
    behind = Page(2, (whole[1].at, whole[1].id))
    assert await listed(page=behind) == [2, 1]
    assert await listed(page=behind, oldest_first=True) == [8]
    assert whole[-1].draft == a_draft(1, type="quarterdeck.session.pending")


async def test_a_resources_name_is_no_kind_of_what_is_below_it(store: Store) -> None:
    async with store.tx() as tx:
        await tx.outbox.append([a_draft(number, subject=name) for number, name in ((1, "a/b"), (2, "a/b/c/d"))])
    for wanted, versions in (("a/b", [1]), ("a/b/", [1]), ("a", [2, 1]), ("a/", [2, 1]), ("a/b/c", [])):
        async with store.reading() as tx:
            events = await tx.outbox.history(PROJECT, EventFilter(subjects=(wanted,)), Page())
        assert [event.draft.subject_version for event in events] == versions


async def test_what_happened_to_a_players_sessions_is_found_without_reading_all_that_happened(
    postgres_store_url: str,
) -> None:
    store = open_store(postgres_store_url)
    await furnish(store, a_vm())
    async with store.tx() as tx:
        for player in ("bob", "alice"):
            await tx.sessions.add(a_session(player, created_by=player, client_token=""))
        await tx.outbox.append([a_draft(1, subject="sessions/alice"), a_draft(2, subject="sessions/bob")])
    await store.close()
    with synchronous(postgres_store_url).begin() as connection:
        for table, more in (("sessions", ""), ("outbox", ", 'subject', 'sessions/bob-' || n")):
            connection.execute(
                sa.text(
                    f"INSERT INTO {table}"
                    f" SELECT (jsonb_populate_record(t, jsonb_build_object('id', 'bob-' || n{more}))).*"
                    f" FROM {table} t, generate_series(1, 20000) n WHERE t.id = (SELECT max(id) FROM {table})"
                )
            )
            connection.execute(sa.text(f"ANALYZE {table}"))
        asked = happened(PROJECT, EventFilter(), Page(50), created_by="alice")
        words = asked.compile(connection, compile_kwargs={"literal_binds": True})
        plan = connection.execute(sa.text(f"EXPLAIN {str(words).replace('%%', '%')}")).scalars().all()
    assert any("ix_sessions_project_id_created_by_created_at_id" in line for line in plan), plan
    assert any("ix_outbox_project_id_subject_id" in line for line in plan), plan


async def test_what_rolls_back_tells_nothing(store: Store) -> None:
    async def fail() -> None:
        async with store.tx() as tx:
            await tx.outbox.append([a_draft()])
            await tx.outbox.audit(entry(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with store.tx() as tx:
        assert await tx.outbox.claim(10, 30) == []
        assert await tx.outbox.trail("default", 0, 10) == []


async def test_relays_at_once_share_the_work_without_doubling_it(store: Store) -> None:
    async with store.tx() as tx:
        await tx.outbox.append([a_draft(number) for number in range(60)])

    async def relay() -> list[int]:
        mine: list[int] = []
        while True:
            async with store.tx() as tx:
                events = await tx.outbox.claim(4, 300)
            if not events:
                return mine
            async with store.tx() as tx:
                await tx.outbox.published([event.id for event in events])
            mine += [event.draft.subject_version for event in events]

    claimed = [number for mine in await asyncio.gather(*(relay() for _ in range(6))) for number in mine]
    assert sorted(claimed) == list(range(60))


async def test_prune_takes_only_what_is_over_and_old(store_url: str) -> None:
    clock = Hands()
    store = open_store(store_url, clock=clock)
    async with store.tx() as tx:
        await tx.outbox.append([a_draft(1), a_draft(2)])
        published, _waiting = await tx.outbox.claim(2, 30)
        await tx.outbox.published([published.id])
        await tx.credentials.spend("jti-1", at(60), NOW)
        await tx.credentials.add(a_credential("c-1", expires_at=at(99)))
        await tx.credentials.add(a_credential("c-2", expires_at=at(100)))
    clock.moment = at(100)
    async with store.tx() as tx:
        assert await tx.outbox.prune(NOW) == 0
        assert await tx.outbox.prune(at(100)) == 3
    async with store.tx() as tx:
        assert [event.draft.subject_version for event in await tx.outbox.claim(9, 30)] == [2]
        assert await tx.credentials.lock("c-1") is None
        assert await tx.credentials.lock("c-2") == a_credential("c-2", expires_at=at(100))
    await store.close()


def entry(number: int, project_id: str = "default") -> AuditEntry:
    return AuditEntry(project_id, "alice", "sessions.create", f"sessions/s-{number}", f"r-{number}")


async def test_audit_records_are_chained_by_project(store: Store) -> None:
    async with store.tx() as tx:
        await tx.credentials.put_project("other")
        await tx.outbox.audit(entry(1))
        await tx.outbox.audit(entry(1, "other"))
        await tx.outbox.audit(entry(2))
    async with store.tx() as tx:
        await tx.outbox.audit(entry(3))
    async with store.reading() as tx:
        trail = await tx.outbox.trail("default", 0, 10)
        assert await tx.outbox.trail("default", 1, 1) == trail[1:2]
        other = await tx.outbox.trail("other", 0, 10)
    assert [record.entry for record in trail] == [entry(1), entry(2), entry(3)]
    assert [record.sequence for record in trail] == [1, 2, 3]
    assert [record.previous_sha256 for record in trail[1:]] == [record.sha256 for record in trail[:-1]]
    assert first_break(trail) is None
    assert first_break(other) is None
    assert [record.entry for record in other] == [entry(1, "other")]


async def test_a_trail_tampered_with_shows_where(store: Store) -> None:
    async with store.tx() as tx:
        for number in range(1, 5):
            await tx.outbox.audit(entry(number))
    async with store.reading() as tx:
        one, two, three, four = await tx.outbox.trail("default", 0, 10)
    assert first_break([one, replace(two, entry=entry(9)), three, four]) == 2
    assert first_break([one, three, four]) == 2
    assert first_break([one, two, replace(three, at=at(1)), four]) == 3
    assert first_break([two, three, four]) == 1


async def test_audit_records_made_at_once_are_one_chain(store: Store) -> None:
    async def act(number: int) -> None:
        async with store.tx() as tx:
            await tx.outbox.audit(entry(number))

    await asyncio.gather(*(act(number) for number in range(20)))
    async with store.reading() as tx:
        trail = await tx.outbox.trail("default", 0, 100)
    assert first_break(trail) is None
    assert {record.entry for record in trail} == {entry(number) for number in range(20)}


async def test_audit_of_an_unknown_project_is_refused(store: Store) -> None:
    with pytest.raises(NotFound):
        async with store.tx() as tx:
            await tx.outbox.audit(entry(1, "nobody"))
