"""Server-sent events of a real control plane, on a real broker, can be taken up again as browsers do it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from controlplane.adapters.store import open_store
from controlplane.domain.events import Event, EventDraft
from controlplane.gateway.app import create_app
from controlplane.gateway.call import Limits
from controlplane.gateway.serve import listening
from controlplane.gateway.target import Target, open_channel
from tests.component.api.plane import plane
from tests.component.api.readers import Watched
from tests.component.gateway.conftest import until_ready
from tests.conftest import NatsServer

WATCH = "/v1/events:watch"
LARGE = "x" * 200_000


@dataclass
class Site:
    bus: Watched
    client: httpx.AsyncClient
    port: int
    token: str

    async def tell(self, *numbers: int, detail: str = "") -> None:
        for number in numbers:
            draft = EventDraft("quarterdeck.vm.ready", "default", "vms/vm-1", number, {"detail": detail})
            await self.bus.publish_event(Event(f"e-{number}", datetime.now(UTC), draft))

    @asynccontextmanager
    async def watch(self, query: str = "", last_event_id: str = "") -> AsyncIterator[AsyncIterator[tuple[str, str]]]:
        """(id, event_id) of each."""
        headers = {"accept": "text/event-stream"} | ({"last-event-id": last_event_id} if last_event_id else {})
        async with self.client.stream("GET", WATCH + query, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            yield _events(answer.aiter_lines())


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str]]:
    last = ""
    async for line in lines:
        if line.startswith("id: "):
            last = line.removeprefix("id: ")
        elif line.startswith("data: "):
            yield last, json.loads(line.removeprefix("data: "))["eventId"]


@pytest.fixture
async def site(own_nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Site]:
    async with (
        asyncio.timeout(60),
        Watched(own_nats_server.url) as bus,
        plane(open_store("memory://"), bus, tmp_path) as running,
        open_channel(f"127.0.0.1:{running.ports.api}") as channel,
        listening(create_app(Target(channel), limits=Limits(write_s=0.5)), "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
    ):
        await bus.wait_connected(20)
        await until_ready(client)
        client.headers["authorization"] = f"Bearer {running.operator}"
        yield Site(bus, client, port, running.operator)


async def test_a_stream_is_taken_up_by_its_last_event_id(site: Site) -> None:
    async with site.watch("?bookmarks=true") as events:
        start, none = await anext(events)
        assert none == ""
        await site.tell(1, 2, 3)
        first, one = await anext(events)
        assert one == "e-1"
    async with site.watch(f"?resumeToken={start}", last_event_id=first) as events:  # the header is the newer
        assert [(await anext(events))[1] for _ in range(2)] == ["e-2", "e-3"]
    async with site.watch(last_event_id=start) as events:
        assert [(await anext(events))[1] for _ in range(3)] == ["e-1", "e-2", "e-3"]


async def test_a_made_up_last_event_id_is_refused(site: Site) -> None:
    answer = await site.client.get(WATCH, headers={"accept": "text/event-stream", "last-event-id": "made-up"})
    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (400, "RESUME_TOKEN_INVALID")


async def test_a_page_that_reads_nothing_is_let_go_and_comes_back_where_it_was(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
    start = await site.bus.resume_token()
    head = f"GET {WATCH}?resumeToken={start} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n"
    writer.write(f"{head}authorization: Bearer {site.token}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await site.tell(*range(1, 101), detail=LARGE)
    await site.bus.left.wait()
    flood = await reader.read(-1)
    whole = re.findall(rb"id: (\S+)\ndata: [^\n]+\n\n", flood)
    assert 0 < len(whole) < 100
    told = [(whole[-1].decode(), "")]
    while told[-1][1] != "e-100":  # whoever reads may be slow too, for a moment
        async with site.watch(last_event_id=told[-1][0]) as events:
            async for event in events:
                told.append(event)
                if event[1] == "e-100":
                    break
    assert [event_id for _, event_id in told[1:]] == [f"e-{number}" for number in range(len(whole) + 1, 101)]
    writer.close()
