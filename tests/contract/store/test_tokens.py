"""Client tokens: one is good for one request of a project and a verb, whoever comes first."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa

from controlplane.adapters.store import open_store, schema
from controlplane.domain.errors import NotFound
from controlplane.domain.request import ClientToken
from controlplane.domain.schedule import BackupSchedule
from controlplane.domain.session import PortLease
from controlplane.interfaces import Store
from tests.contract.store.rows import NOW, PROJECT, a_game, a_vm, at, synchronous
from tests.contract.store.test_backups import a_backup

TOKEN = ClientToken(PROJECT, "CreateVm", "t-1", "ab" * 32, NOW)


async def test_a_token_is_kept_once_for_each_project_and_verb(store: Store) -> None:
    async with store.tx() as tx:
        await tx.credentials.put_project("other")
        assert await tx.tokens.claim(TOKEN) is None
        await tx.tokens.settle(replace(TOKEN, made="vms/vm-1"))
        for other in (
            replace(TOKEN, verb="CreateGame"),
            replace(TOKEN, project_id="other"),
            replace(TOKEN, token="t-2"),
        ):
            assert await tx.tokens.claim(other) is None
    async with store.tx() as tx:
        again = replace(TOKEN, request_sha256="cd" * 32, created_at=at(9))
        assert await tx.tokens.claim(again) == replace(TOKEN, made="vms/vm-1")


async def test_a_token_of_no_project_is_refused(store: Store) -> None:
    with pytest.raises(NotFound):
        async with store.tx() as tx:
            await tx.tokens.claim(replace(TOKEN, project_id="none"))


async def test_what_failed_has_claimed_nothing(store: Store) -> None:
    async def fail() -> None:
        async with store.tx() as tx:
            await tx.tokens.claim(TOKEN)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    async with store.tx() as tx:
        assert await tx.tokens.claim(TOKEN) is None


async def test_who_comes_at_once_waits_for_the_first_to_end(store: Store) -> None:
    claimed, begun = asyncio.Event(), asyncio.Event()

    async def first() -> ClientToken | None:
        async with store.tx() as tx:
            answer = await tx.tokens.claim(TOKEN)
            claimed.set()
            await begun.wait()
            await tx.tokens.settle(replace(TOKEN, made="vms/vm-1"))
        return answer

    async def second() -> ClientToken | None:
        await claimed.wait()
        begun.set()
        async with store.tx() as tx:
            return await tx.tokens.claim(TOKEN)

    assert await asyncio.gather(first(), second()) == [None, replace(TOKEN, made="vms/vm-1")]


async def test_no_token_is_ever_forgotten(store: Store) -> None:
    async with store.tx() as tx:
        await tx.tokens.claim(TOKEN)
        await tx.tokens.settle(replace(TOKEN, made="vms/vm-1"))
        assert await tx.outbox.prune(at(3e7)) == 0
        assert await tx.tokens.claim(TOKEN) == replace(TOKEN, made="vms/vm-1")


async def test_what_a_replica_of_the_last_release_has_made_since_is_known_by_its_row(database_url: str) -> None:
    """It keeps tokens in its rows alone."""
    schema.migrate(database_url)
    store = open_store(database_url)
    async with store.tx() as tx:
        await tx.catalogue.add_game(a_game())
        await tx.vms.add(a_vm())
        mine = {"project_id": PROJECT, "client_token": "t-9"}
        await tx.schedules.add(
            BackupSchedule("bs-1", game_id="orbit", cron="@daily", created_at=NOW, updated_at=NOW, version=1, **mine)
        )
        await tx.ports.lease(PortLease("vm-1", "udp", 28000, purpose="voice", reserved_at=NOW, **mine), NOW)
        await tx.backups.add(a_backup("b-1", **mine))
    made = {
        "CreateBackupSchedule": "backupSchedules/bs-1",
        "AllocatePort": "vms/vm-1/ports/udp-28000",
        "CreateBackup": "backups/b-1",
    }
    for verb, name in made.items():
        for other in (replace(TOKEN, token="t-8"), replace(TOKEN, token="")):
            async with store.tx() as tx:
                assert await tx.tokens.claim(replace(other, verb=verb)) is None
        for request in ("ab", "cd"):
            async with store.tx() as tx:
                found = await tx.tokens.claim(replace(TOKEN, verb=verb, token="t-9", request_sha256=request * 32))
            assert found is not None
            assert (found.request_sha256, found.made) == ("", name)
    async with store.tx() as tx:
        assert await tx.tokens.claim(replace(TOKEN, token="t-9")) is None, "another verb's"
    await store.close()


async def test_tokens_that_rows_kept_are_taken_over(database_url: str) -> None:
    schema.migrate(database_url)
    schema.downgrade(database_url, "0023")
    store = open_store(database_url)
    async with store.tx() as tx:
        await tx.catalogue.add_game(a_game())
    await store.close()
    kept = {
        "id": "bs-1", "project_id": PROJECT, "game_id": "orbit", "client_token": "t-9",
        "cron": "0 4 * * *", "time_zone": "UTC", "save_id": "", "keep_count": 0, "paused": False,
        "created_at": NOW, "updated_at": NOW, "version": 1, "created_by": "alice", "last_error": "",
    }  # fmt: skip
    with synchronous(database_url).begin() as connection:
        table = sa.Table("backup_schedules", sa.MetaData(), autoload_with=connection)
        connection.execute(table.insert().values({name: kept[name] for name in table.c.keys() & kept.keys()}))
    schema.migrate(database_url)
    store = open_store(database_url)
    async with store.tx() as tx:
        token = replace(TOKEN, verb="CreateBackupSchedule", token="t-9")
        found = await tx.tokens.claim(token)
    await store.close()
    assert found is not None
    assert (found.request_sha256, found.made) == ("", "backupSchedules/bs-1")
