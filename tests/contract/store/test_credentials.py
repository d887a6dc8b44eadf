"""Credentials: those that work are listed, and one that is revoked takes all that was made with it along."""

from __future__ import annotations

from typing import Any

from controlplane.domain.identity import Credential, CredentialKind, Role
from controlplane.interfaces import Page, Store
from tests.contract.store.rows import NOW, PROJECT, a_credential, at

ALL = Page()


def a_token(credential_id: str, **fields: Any) -> Credential:
    return a_credential(credential_id, **{"kind": CredentialKind.BEARER, **fields})


async def listed(
    store: Store, subject: str = "", page: Page = ALL, when_s: float = 0, role: Role | None = None
) -> list[str]:
    async with store.reading() as tx:
        found = await tx.credentials.valid(PROJECT, subject, CredentialKind.BEARER, at(when_s), page, role)
        return [one.id for one in found]


async def test_a_revoked_credential_takes_its_descendants_along(store: Store) -> None:
    family = {"c-1": "", "c-2": "c-1", "c-3": "c-1", "c-4": "c-3", "d-1": "", "d-2": "d-1"}
    async with store.tx() as tx:
        for credential_id, parent_id in family.items():
            await tx.credentials.add(a_token(credential_id, parent_id=parent_id))
    async with store.tx() as tx:
        assert list(await tx.credentials.revoke("c-4", at(1))) == ["c-4"]
        assert sorted(await tx.credentials.revoke("c-1", at(2))) == ["c-1", "c-2", "c-3"]
        assert list(await tx.credentials.revoke("nobody", at(2))) == []
    async with store.tx() as tx:
        moments = {one: (await tx.credentials.lock(one)) for one in family}
    assert {one: row.revoked_at for one, row in moments.items() if row} == {
        "c-1": at(2),
        "c-2": at(2),
        "c-3": at(2),
        "c-4": at(1),
        "d-1": None,
        "d-2": None,
    }


async def test_only_what_works_is_listed_newest_first(store: Store) -> None:
    async with store.tx() as tx:
        await tx.credentials.put_project("other")
        await tx.credentials.add(a_token("c-1", created_at=at(1)))
        await tx.credentials.add(a_token("c-2", created_at=at(2), subject="ci"))
        await tx.credentials.add(a_token("c-3", created_at=at(3), expires_at=at(4), role=Role.PLAYER))
        await tx.credentials.add(a_token("c-4", used_at=NOW))
        await tx.credentials.add(a_token("c-5", revoked_at=NOW))
        await tx.credentials.add(a_token("c-6", project_id="other"))
        await tx.credentials.add(a_credential("c-7", kind=CredentialKind.SIGN_IN))
    assert await listed(store) == ["c-3", "c-2", "c-1"]
    assert await listed(store, when_s=4) == ["c-2", "c-1"]
    assert await listed(store, subject="ci") == ["c-2"]
    assert await listed(store, page=Page(1)) == ["c-3"]
    assert await listed(store, page=Page(1), role=Role.OPERATOR) == ["c-2"]
    assert await listed(store, role=Role.PLAYER) == ["c-3"]
    assert await listed(store, page=Page(5, (at(3), "c-3"))) == ["c-2", "c-1"]
