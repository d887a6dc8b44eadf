"""Catalogue, shapes, credentials and the heartbeats' feed in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from controlplane.adapters.store.memory.tables import TxTables, exists, paged
from controlplane.adapters.store.versions import in_use
from controlplane.domain.errors import NotFound
from controlplane.domain.game import Deployment, Game
from controlplane.domain.identity import Credential, CredentialKind, Role
from controlplane.domain.region import Region
from controlplane.domain.silence import Feed
from controlplane.domain.template import Preset, Template
from controlplane.interfaces import Page

S = TypeVar("S", Template, Preset, Region)


class MemoryCatalogue:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def game(self, project_id: str, game_id: str) -> Game | None:
        return self._tables.seen("games").get((project_id, game_id))

    async def current(self, project_id: str, game_id: str) -> tuple[Game, Deployment | None] | None:
        game = await self.game(project_id, game_id)
        if game is None:
            return None
        return game, await self.deployment(project_id, game_id, game.current_deployment)

    async def lock_game(self, project_id: str, game_id: str) -> Game | None:
        return await self.game(project_id, game_id)

    async def games(self, project_id: str, page: Page) -> Sequence[Game]:
        rows: Sequence[Game] = list(self._tables.seen("games").values())
        return paged([game for game in rows if game.project_id == project_id], page)

    async def add_game(self, game: Game) -> None:
        self._tables.refer("projects", game.project_id)
        if game.default_preset_id:
            self._tables.refer("presets", game.default_preset_id)
        self._tables.insert("games", (game.project_id, game.id), game, "game")

    async def save_game(self, game: Game) -> None:
        if game.default_preset_id:
            self._tables.refer("presets", game.default_preset_id)
        key = (game.project_id, game.id)
        kept: Game = self._tables.seen("games")[key]
        changed = replace(game, created_at=kept.created_at, current_deployment=kept.current_deployment)
        self._tables.own("games")[key] = changed

    async def deployment(self, project_id: str, game_id: str, number: int) -> Deployment | None:
        return self._tables.seen("deployments").get((project_id, game_id, number))

    async def add_deployment(self, deployment: Deployment) -> Deployment:
        scope = (deployment.project_id, deployment.game_id)
        game = await self.game(*scope)
        if game is None:
            raise NotFound("GAME_NOT_FOUND", f"there is no game games/{deployment.game_id}")
        numbers = [key[2] for key in self._tables.seen("deployments") if key[:2] == scope]
        numbered = replace(deployment, number=max(numbers, default=0) + 1)
        self._tables.own("deployments")[*scope, numbered.number] = numbered
        self._tables.own("games")[scope] = replace(game, current_deployment=numbered.number)
        return numbered


REFERRING = {
    "templates": (("vms", "template_id"), ("pools", "template_id")),
    "presets": (("games", "default_preset_id"), ("sessions", "preset_id")),
    "regions": (("vms", "region_id"), ("pools", "region_id")),
}


class MemoryShapes:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def template(self, template_id: str) -> Template | None:
        return self._tables.seen("templates").get(template_id)

    async def preset(self, preset_id: str) -> Preset | None:
        return self._tables.seen("presets").get(preset_id)

    async def region(self, region_id: str) -> Region | None:
        return self._tables.seen("regions").get(region_id)

    async def templates(self) -> Sequence[Template]:
        return [row for _, row in sorted(self._tables.seen("templates").items())]

    async def presets(self) -> Sequence[Preset]:
        return [row for _, row in sorted(self._tables.seen("presets").items())]

    async def regions(self) -> Sequence[Region]:
        return [row for _, row in sorted(self._tables.seen("regions").items())]

    async def lock(self, shape: S) -> S | None:
        return self._tables.own(_collection(shape)).get(shape.id)

    async def add(self, shape: Template | Preset | Region) -> None:
        self._tables.insert(_collection(shape), shape.id, shape, "shape")

    async def save(self, shape: Template | Preset | Region) -> None:
        self._tables.own(_collection(shape))[shape.id] = shape

    async def delete(self, shape: Template | Preset | Region) -> None:
        for table, column in REFERRING[_collection(shape)]:
            if any(getattr(row, column) == shape.id for row in self._tables.seen(table).values()):
                raise in_use(shape.name)
        self._tables.own(_collection(shape)).pop(shape.id, None)


def _collection(shape: Template | Preset | Region) -> str:
    return shape.name.partition("/")[0]


class MemoryCredentials:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def put_project(self, project_id: str) -> None:
        self._tables.own("projects").setdefault(project_id, ())

    async def add(self, credential: Credential) -> None:
        self._tables.refer("projects", credential.project_id)
        if credential.vm_id:
            self._tables.refer("vms", credential.vm_id)
        if await self.by_secret(credential.kind, credential.secret_sha256):
            raise exists("credential")
        self._tables.insert("credentials", credential.id, credential, "credential")

    async def by_secret(self, kind: CredentialKind, secret_sha256: str) -> Credential | None:
        rows: Sequence[Credential] = list(self._tables.seen("credentials").values())
        return next((row for row in rows if row.kind is kind and row.secret_sha256 == secret_sha256), None)

    async def use(self, credential_id: str, now: datetime) -> bool:
        credential: Credential | None = self._tables.seen("credentials").get(credential_id)
        if credential is None or not credential.valid(now):
            return False
        self._tables.own("credentials")[credential_id] = replace(credential, used_at=now)
        return True

    async def lock(self, credential_id: str) -> Credential | None:
        return self._tables.seen("credentials").get(credential_id)

    async def valid(
        self,
        project_id: str,
        subject: str,
        kind: CredentialKind,
        now: datetime,
        page: Page,
        role: Role | None = None,
    ) -> Sequence[Credential]:
        rows: Sequence[Credential] = list(self._tables.seen("credentials").values())
        ours = [row for row in rows if row.project_id == project_id and row.kind is kind and row.valid(now)]
        return paged([row for row in ours if subject in ("", row.subject) and role in (None, row.role)], page)

    async def revoke(self, credential_id: str, now: datetime) -> Sequence[str]:
        rows: dict[str, Credential] = self._tables.own("credentials")
        found = [credential_id]
        for one in found:
            found += [row.id for row in rows.values() if row.parent_id == one]
        revoked = [one for one in found if one in rows and rows[one].revoked_at is None]
        for one in revoked:
            rows[one] = replace(rows[one], revoked_at=now)
        return revoked

    async def spend(self, jti: str, expires_at: datetime, now: datetime) -> bool:
        rows = self._tables.own("spent_tokens")
        for expired in [key for key, until in rows.items() if until <= now]:
            del rows[expired]
        if jti in rows:
            return False
        rows[jti] = expires_at
        return True


class MemoryFeed:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def get(self) -> Feed:
        feed: Feed = self._tables.seen("feed").get(1, Feed())
        return feed

    lock = get

    async def save(self, feed: Feed) -> None:
        self._tables.own("feed")[1] = feed
