"""Games and their deployments in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.connection import TxConnection, insert_new, paged, prefixed
from controlplane.adapters.store.tables import deployments, games
from controlplane.domain.errors import NotFound
from controlplane.domain.game import Deployment, Game
from controlplane.interfaces import Page

EDITABLE = frozenset({"display_name", "summary", "default_preset_id", "law", "parameters", "log_retention_s"})

THIS = (games.c.project_id == sa.bindparam("project"), games.c.id == sa.bindparam("game"))
GAME = sa.select(games).where(*THIS)
LOCKED = GAME.with_for_update(key_share=True)
DEPLOYMENT = sa.select(deployments).where(
    deployments.c.project_id == sa.bindparam("project"),
    deployments.c.game_id == sa.bindparam("game"),
    deployments.c.number == sa.bindparam("number"),
)
CURRENT = (
    sa.select(*prefixed(games), *prefixed(deployments), deployments.c.number.is_not(None).label("found"))
    .join_from(
        games,
        deployments,
        (deployments.c.project_id == games.c.project_id)
        & (deployments.c.game_id == games.c.id)
        & (deployments.c.number == games.c.current_deployment),
        isouter=True,
    )
    .where(*THIS)
)


class SqlCatalogue:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def game(self, project_id: str, game_id: str) -> Game | None:
        row = await self._connection.row(GAME, {"project": project_id, "game": game_id})
        return from_row(Game, row) if row else None

    async def current(self, project_id: str, game_id: str) -> tuple[Game, Deployment | None] | None:
        row = await self._connection.row(CURRENT, {"project": project_id, "game": game_id})
        if row is None:
            return None
        return from_row(Game, row, "games_"), from_row(Deployment, row, "deployments_") if row["found"] else None

    async def lock_game(self, project_id: str, game_id: str) -> Game | None:
        row = await self._connection.row(LOCKED, {"project": project_id, "game": game_id})
        return from_row(Game, row) if row else None

    async def games(self, project_id: str, page: Page) -> Sequence[Game]:
        statement = paged(sa.select(games).where(games.c.project_id == project_id), games, page)
        return [from_row(Game, row) for row in await self._connection.rows(statement)]

    async def add_game(self, game: Game) -> None:
        await insert_new(self._connection, games, game, "game")

    async def save_game(self, game: Game) -> None:
        values = {name: value for name, value in to_row(game).items() if name in EDITABLE}
        statement = games.update().where(games.c.project_id == game.project_id, games.c.id == game.id)
        await self._connection.write(statement.values(values))

    async def deployment(self, project_id: str, game_id: str, number: int) -> Deployment | None:
        row = await self._connection.row(DEPLOYMENT, {"project": project_id, "game": game_id, "number": number})
        return from_row(Deployment, row) if row else None

    async def add_deployment(self, deployment: Deployment) -> Deployment:
        scope = (deployment.project_id, deployment.game_id)
        if await self.lock_game(*scope) is None:
            raise NotFound("GAME_NOT_FOUND", f"there is no game games/{deployment.game_id}")
        highest = sa.select(sa.func.coalesce(sa.func.max(deployments.c.number), 0).label("number"))
        row = await self._connection.row(
            highest.where(deployments.c.project_id == scope[0], deployments.c.game_id == scope[1])
        )
        numbered = replace(deployment, number=(row["number"] if row else 0) + 1)
        await insert_new(self._connection, deployments, numbered, "deployment")
        current = games.update().where(games.c.project_id == scope[0], games.c.id == scope[1])
        await self._connection.write(current.values(current_deployment=numbered.number))
        return numbered
