"""A console as a browser has it: the gateway's WebSocket, all the way to a running game and back."""

from __future__ import annotations

import asyncio
import json

from websockets.asyncio.client import connect

from tests.house import House

PATIENCE_S = 60


async def typed(house: House, session: str, line: str, answer: str, after: int = 0) -> list[tuple[int, str]]:
    """Types a line once the console is open; what was printed since `after`, until the answer has come."""
    token = (house.data_dir / "operator.token").read_text().strip()
    lines: list[tuple[int, str]] = []
    url = f"ws://127.0.0.1:{house.http_port}/v1/console"
    async with asyncio.timeout(PATIENCE_S), connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as ws:
        await ws.send(json.dumps({"session": session, "afterSequence": str(after)}))
        await ws.send(json.dumps({"lines": [line]}))
        while answer not in [text for _, text in lines]:
            output = json.loads(await ws.recv())
            lines += [(int(one["sequence"]), one["text"]) for one in output.get("lines", ())]
    return lines
