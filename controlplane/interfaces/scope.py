"""Rows of what a project owns or is offered: games, shapes, credentials."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from controlplane.domain.game import Deployment, Game
from controlplane.domain.identity import Credential, CredentialKind, Role
from controlplane.domain.region import Region
from controlplane.domain.request import ClientToken
from controlplane.domain.template import Preset, Template
from controlplane.interfaces.fleet import Page

S = TypeVar("S", Template, Preset, Region)


class CatalogueRows(Protocol):
    async def game(self, project_id: str, game_id: str) -> Game | None: ...

    async def current(self, project_id: str, game_id: str) -> tuple[Game, Deployment | None] | None:
        """The game, with its current deployment once it has one."""
        ...

    async def lock_game(self, project_id: str, game_id: str) -> Game | None:
        """The game, locked against every other transaction that would change it until this one ends."""
        ...

    async def games(self, project_id: str, page: Page) -> Sequence[Game]: ...

    async def add_game(self, game: Game) -> None: ...

    async def save_game(self, game: Game) -> None:
        """Writes what may change of it: names, default preset, law, parameters."""
        ...

    async def deployment(self, project_id: str, game_id: str, number: int) -> Deployment | None: ...

    async def add_deployment(self, deployment: Deployment) -> Deployment:
        """Gives it the next number of its game (whatever its own says) and makes it the current one."""
        ...


class ShapeRows(Protocol):
    """Templates, presets and regions: data, the first of it created by migration. Lists are by id."""

    async def template(self, template_id: str) -> Template | None: ...

    async def preset(self, preset_id: str) -> Preset | None: ...

    async def region(self, region_id: str) -> Region | None: ...

    async def templates(self) -> Sequence[Template]: ...

    async def presets(self) -> Sequence[Preset]: ...

    async def regions(self) -> Sequence[Region]: ...

    async def lock(self, shape: S) -> S | None:
        """It as it is now, locked against every other transaction that would change it until this one ends."""
        ...

    async def add(self, shape: Template | Preset | Region) -> None:
        """Raises AlreadyExists when the id is taken."""
        ...

    async def save(self, shape: Template | Preset | Region) -> None:
        """Writes it over the one of its id."""
        ...

    async def delete(self, shape: Template | Preset | Region) -> None:
        """Raises WrongState while a VM, game or session refers to it; then the transaction can only be rolled back."""
        ...


class CredentialRows(Protocol):
    """Who may come in, and the projects they come into."""

    async def put_project(self, project_id: str) -> None:
        """Makes sure that there is such a project. "default" comes with the first migration."""
        ...

    async def add(self, credential: Credential) -> None:
        """Raises AlreadyExists when the id or (kind, secret) is taken."""
        ...

    async def by_secret(self, kind: CredentialKind, secret_sha256: str) -> Credential | None: ...

    async def lock(self, credential_id: str) -> Credential | None:
        """The credential, locked against every other transaction that would change it until this one ends."""
        ...

    async def valid(
        self,
        project_id: str,
        subject: str,
        kind: CredentialKind,
        now: datetime,
        page: Page,
        role: Role | None = None,
    ) -> Sequence[Credential]:
        """Those that work at `now`, newest first; of every subject where it is "", of every role where it is None."""
        ...

    async def use(self, credential_id: str, now: datetime) -> bool:
        """Marks a single-use credential used; False when it was used, revoked or expired before: exactly one wins."""
        ...

    async def revoke(self, credential_id: str, now: datetime) -> Sequence[str]:
        """Revokes it and all that was made with it, and so on down; the ids of those that were not yet revoked."""
        ...

    async def spend(self, jti: str, expires_at: datetime, now: datetime) -> bool:
        """Remembers a stream token's id until it expires; False when it was spent before. Forgets expired ids."""
        ...


class TokenRows(Protocol):
    """Client tokens, by (project, verb, token). They are never forgotten: what one has made is not made again,
    however late its caller asks."""

    async def claim(self, token: ClientToken) -> ClientToken | None:
        """Keeps it; None. Or else what was kept before, and is left as it was; who comes while another transaction
        keeps the same waits for its end."""
        ...

    async def settle(self, token: ClientToken) -> None:
        """Writes what the token, claimed in this transaction, has made."""
        ...
