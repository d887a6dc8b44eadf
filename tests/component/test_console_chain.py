"""A console on a whole running house: WebSocket, gateway, API, link, agent, wrapper, game, and all the way back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from google.protobuf import json_format
from quarterdeck.v1 import games_pb2

from tests.component.test_hundred import Operator
from tests.console import typed
from tests.house import House

ECHO = "echo ready; while read -r line; do echo heard $line; [ $line = quit ] && exit 0; done"


def add_game(operator: Operator) -> None:
    game = games_pb2.CreateGameRequest(game_id="echo", game=games_pb2.Game(display_name="Echo"))
    operator.call(operator.games.CreateGame, game)
    request = games_pb2.CreateDeploymentRequest(parent="games/echo")
    described = {
        "command": ["/bin/sh", "-c", ECHO],
        "picture": "PICTURE_NONE",
        "readiness": {"logPattern": "ready"},
        "stopCommand": "quit",
    }
    json_format.ParseDict(described, request.deployment)
    operator.call(operator.games.CreateDeployment, request)


async def test_lines_reach_the_game_and_its_answers_come_back_numbered(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        operator = Operator(house)
        add_game(operator)
        session = await asyncio.to_thread(house.json, "sessions", "create", "echo", "--wait")
        assert session["state"] == "SESSION_STATE_RUNNING", house.logs()
        first = await typed(house, session["name"], "one", "heard one")
        assert [text for _, text in first] == ["ready", "heard one"]
        second = await typed(house, session["name"], "two", "heard two", first[-1][0])
        assert second == [(first[-1][0] + 1, "heard two")]
        ended = await asyncio.to_thread(house.json, "sessions", "stop", session["name"], "--wait")
        assert (ended["state"], ended["reason"]) == ("SESSION_STATE_STOPPED", "SESSION_REASON_STOP_REQUESTED")
        operator.close()
