"""Tells a Slack channel what happens to hosts and sessions: `python -m examples.consumers.slack`.

SLACK_WEBHOOK_URL is the channel's incoming webhook: a secret, so it is read from the environment and never printed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any

import httpx

from examples.consumers.events import connected, follow

SUBJECT = os.environ.get("QUARTERDECK_SUBJECT", "quarterdeck.ext.>")
RETRY_S = 5.0
SIGNS = {"online": "✅", "stale": "⚠️", "offline": "🔴", "running": "▶️", "stopped": "⏹️", "crashed": "💥"}


def text(event: Mapping[str, Any]) -> str:
    """One line: what happened to what, and why."""
    word = str(event["type"]).rpartition(".")[2]
    data = event.get("data", {})
    facts = [str(data[name]) for name in ("game", "vm", "reason") if data.get(name)]
    line = f"{SIGNS.get(word, '•')} {event['subject']} is {word}" + (f" ({', '.join(facts)})" if facts else "")
    # Slack reads these three as markup.
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def retry_after_s(answer: httpx.Response) -> float | None:
    """Seconds until another try makes sense; None when none ever will, or none is needed."""
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        given = answer.headers.get("Retry-After", "")
        return float(given) if given.isdigit() else RETRY_S
    return RETRY_S if answer.is_server_error else None


async def main() -> None:
    webhook = os.environ.get("SLACK_WEBHOOK_URL", "")
    if not webhook:
        sys.exit("Error: SLACK_WEBHOOK_URL is not set")
    async with httpx.AsyncClient(timeout=10) as http, connected() as stream:
        print("following", flush=True)
        async for event, message in follow(stream, SUBJECT, durable="slack"):
            try:
                answer = await http.post(webhook, json={"text": text(event)})
            except httpx.HTTPError as error:
                print(f"Slack is away ({type(error).__name__}); trying again", file=sys.stderr)
                await message.nak(delay=RETRY_S)
                continue
            wait_s = retry_after_s(answer)
            if wait_s is not None:
                await message.nak(delay=wait_s)
                continue
            if answer.is_error:
                print(f"Slack refused {event['id']}: {answer.status_code}", file=sys.stderr)
            await message.ack()


if __name__ == "__main__":
    asyncio.run(main())
