"""GameService: the catalogue's verbs, translated."""

from __future__ import annotations

from typing import Any

from quarterdeck.v1 import games_pb2 as pb
from quarterdeck.v1 import games_pb2_grpc as rpc

from controlplane.api import identity, pages
from controlplane.api.mapping.configuration import choice_of, configuration_message, parameters_of
from controlplane.api.mapping.games import (
    deployment_key,
    deployment_message,
    deployment_of,
    game_message,
    game_over,
    touches,
)
from controlplane.api.mapping.shapes import edit, law_of
from controlplane.api.mapping.values import last_part, seconds
from controlplane.domain.game import Game
from controlplane.usecases import games
from controlplane.usecases.repeating import UNBORN
from controlplane.usecases.world import World


class GameServicer(rpc.GameServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def ListGames(self, request: pb.ListGamesRequest, context: Any) -> pb.ListGamesResponse:
        who = identity.principal()
        query = ("games", who.project_id)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found = await games.list_games(self._world, who, page)
        kept, token = pages.split(page, found, lambda game: (game.created_at, game.id), *query)
        return pb.ListGamesResponse(games=map(game_message, kept), next_page_token=token)

    async def GetGame(self, request: pb.GetGameRequest, context: Any) -> pb.Game:
        return game_message(await games.get_game(self._world, identity.principal(), last_part(request.name)))

    async def CreateGame(self, request: pb.CreateGameRequest, context: Any) -> pb.Game:
        game = await games.create_game(
            self._world,
            identity.principal(),
            request.game_id,
            request.game.display_name,
            request.game.summary,
            request.game.default_preset,
            identity.request_id(),
            law_of(request.game.law),
            parameters_of(request.game.parameters),
            seconds(request.game, "log_retention") or 0.0,
            request.client_token,
        )
        return game_message(game)

    async def UpdateGame(self, request: pb.UpdateGameRequest, context: Any) -> pb.Game:
        def change(before: Game) -> Game:
            def over(wire: pb.Game) -> Game:
                return game_over(before, wire, request.game if touches(request, "parameters") else None)

            return edit(request.game, request.update_mask, game_message, over)(before)

        who, game_id = identity.principal(), last_part(request.game.name)
        return game_message(await games.update_game(self._world, who, game_id, change, identity.request_id()))

    async def CreateDeployment(self, request: pb.CreateDeploymentRequest, context: Any) -> pb.Deployment:
        who = identity.principal()
        deployment = deployment_of(request, who.project_id, UNBORN)
        made = await games.create_deployment(self._world, who, deployment, identity.request_id(), request.client_token)
        return deployment_message(made)

    async def GetDeployment(self, request: pb.GetDeploymentRequest, context: Any) -> pb.Deployment:
        game_id, number = deployment_key(request.name)
        return deployment_message(await games.get_deployment(self._world, identity.principal(), game_id, number))

    async def PreviewDeployment(self, request: pb.PreviewDeploymentRequest, context: Any) -> pb.Configuration:
        game_id, number = deployment_key(request.name)
        choice = choice_of(request.parameters, request.file_patches)
        return configuration_message(await games.preview(self._world, identity.principal(), game_id, number, choice))
