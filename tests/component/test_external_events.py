"""The two example consumers, as a user starts them, on a real broker and a local HTTP receiver."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue

import httpx
import pytest

from controlplane.adapters.bus.codec import decode_event
from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.domain import subjects
from controlplane.domain.events import Event, EventDraft
from controlplane.processor import consumer

PATIENCE_S = 30
AT = datetime(2026, 11, 21, tzinfo=UTC)


class Receiver:
    """Stands where Slack's webhook stands. `answers` are given in turn, then 200."""

    def __init__(self) -> None:
        self.said: Queue[str] = Queue()
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = receiver.answers.pop(0) if receiver.answers else 200
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "0")
                self.end_headers()
                receiver.said.put(f"{status} {body['text']}")

            def log_message(self, *_: object) -> None:
                """Not on the test's output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/T/B/secret"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    async def next(self) -> str:
        return await asyncio.to_thread(self.said.get, True, PATIENCE_S)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
async def bus(own_nats_server) -> AsyncIterator[JetStreamBus]:
    async with JetStreamBus([own_nats_server.url]) as bus:
        await bus.wait_connected(20)
        yield bus


@pytest.fixture
async def told(bus: JetStreamBus) -> AsyncIterator[JetStreamBus]:
    """A bus on which the processor's own consumer makes the public copies."""

    class OnlyABus:
        pass

    world = OnlyABus()
    world.bus = bus  # type: ignore[attr-defined]

    async def bury(delivery: object, error: Exception) -> None:
        raise AssertionError(delivery) from error

    handler = consumer.external(world, decode_event)  # type: ignore[arg-type]
    task = asyncio.create_task(bus.consume("external", subjects.EVENTS, handler, bury))
    yield bus
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def event(event_id: str, word: str, subject: str, version: int, **data: str) -> Event:
    return Event(event_id, AT, EventDraft(f"quarterdeck.{word}", "default", subject, version, data))


async def start(spawn, module: str, tmp_path: Path, says: bytes, *options: str, **environment: str):
    """The example as a program, once it has said that it follows."""
    output = tmp_path / f"{module}.out"
    with output.open("wb") as file:
        process = spawn(
            [sys.executable, "-u", "-m", f"examples.consumers.{module}", *options],
            env={**os.environ, **environment},
            stdout=file,
        )
    async with asyncio.timeout(PATIENCE_S):
        while says not in output.read_bytes():
            assert process.poll() is None, output.read_text()
            await asyncio.sleep(0.05)
    return process, output


async def test_slack_is_told_once_each_in_words_and_again_after_a_refusal(
    told, own_nats_server, spawn, tmp_path, receiver
):
    receiver.answers = [429]
    environment = {"NATS_URL": own_nats_server.url, "SLACK_WEBHOOK_URL": receiver.url}
    process, output = await start(spawn, "slack", tmp_path, b"following", **environment)
    async with asyncio.timeout(PATIENCE_S):  # "following" is said before the broker knows the consumer
        js = told._connection.require().js
        while not (known := await js.consumers_info("QD_EXTERNAL")):
            await asyncio.sleep(0.05)
    assert [one.config.max_ack_pending for one in known] == [1], "what waits for its turn must not come again"
    await told.publish_event(event("e-1", "host.lost", "hosts/h-1", 3, state="LOST"))
    await told.publish_event(event("e-2", "vm.ready", "vms/v-1", 1))
    assert await receiver.next() == "429 🔴 hosts/h-1 is offline"
    assert await receiver.next() == "200 🔴 hosts/h-1 is offline"
    facts = {"game": "games/<b>", "vm": "vms/v-1", "reason": "GAME_CRASHED"}
    await told.publish_event(event("e-3", "session.crashed", "sessions/s-1", 9, **facts))
    assert await receiver.next() == "200 💥 sessions/s-1 is crashed (games/&lt;b&gt;, vms/v-1, GAME_CRASHED)"
    async with asyncio.timeout(PATIENCE_S):
        while any(one.num_ack_pending for one in await js.consumers_info("QD_EXTERNAL")):
            await asyncio.sleep(0.05)
    process.terminate()
    process.wait(30)
    await told.publish_event(event("e-4", "host.online", "hosts/h-1", 4, state="ONLINE"))
    await start(spawn, "slack", tmp_path, b"following", **environment)
    assert await receiver.next() == "200 ✅ hosts/h-1 is online", "what happened while it was away"
    with pytest.raises(Empty):
        receiver.said.get_nowait()
    assert "secret" not in output.read_text()


async def test_prometheus_finds_hosts_and_running_sessions(told, own_nats_server, spawn, tmp_path):
    await told.publish_event(event("e-1", "host.online", "hosts/h-1", 1))
    await told.publish_event(event("e-2", "host.online", "hosts/h-2", 1))
    await told.publish_event(event("e-3", "session.running", "sessions/s-1", 4))
    _, output = await start(spawn, "metrics", tmp_path, b"/metrics", "--port", "0", NATS_URL=own_nats_server.url)
    page = output.read_text().split()[-1]

    async def figures(*wanted: str) -> None:
        async with httpx.AsyncClient() as http, asyncio.timeout(PATIENCE_S):
            while missing := set(wanted) - set((await http.get(page)).text.splitlines()):
                await asyncio.sleep(0.05)
            assert not missing

    hosts, running = "quarterdeck_external_hosts", 'quarterdeck_external_sessions_running{project="default"}'
    await figures(f'{hosts}{{project="default",state="online"}} 2.0', f"{running} 1.0")
    await told.publish_event(event("e-5", "session.completed", "sessions/s-1", 6))
    await told.publish_event(event("e-6", "host.stale", "hosts/h-2", 5))
    await told.publish_event(event("e-7", "host.online", "hosts/h-2", 4))  # late: it is older than what is known
    await figures(
        f'{hosts}{{project="default",state="online"}} 1.0',
        f'{hosts}{{project="default",state="stale"}} 1.0',
        f"{running} 0.0",
        'quarterdeck_external_events_total{project="default",type="quarterdeck.host.online"} 3.0',
    )
    js = told._connection.require().js
    for forgotten in await js.consumers_info("QD_EXTERNAL"):
        await js.delete_consumer("QD_EXTERNAL", forgotten.name)
    await told.publish_event(event("e-8", "host.lost", "hosts/h-2", 6, state="LOST"))
    await figures(
        f'{hosts}{{project="default",state="offline"}} 1.0', f'{hosts}{{project="default",state="stale"}} 0.0'
    )
