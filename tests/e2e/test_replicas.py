"""Two APIs, two gateways and two processors on one PostgreSQL and one NATS serve two agents, whoever speaks to whom."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa
from playwright.async_api import Browser, Page

from controlplane.adapters.store.audit import violations
from tests.conftest import NatsServer, end_process
from tests.contract.store.rows import synchronous
from tests.e2e.waiting import until
from tests.ports import free_port, free_ports

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

PATIENCE_S = 90.0
REPLICAS = ("a", "b")
HOSTS = ("local", "second")


class Balancer:
    """One address for a host's agent; each connection goes to the first replica that takes it."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._pipes: set[asyncio.Task[None]] = set()
        self.address = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in self._ports:
            with contextlib.suppress(OSError):
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
                for source, sink in ((reader, there_writer), (there_reader, writer)):
                    pipe = asyncio.create_task(_pump(source, sink))
                    self._pipes.add(pipe)
                    pipe.add_done_callback(self._pipes.discard)
                return
        writer.close()

    async def stop(self) -> None:
        self._server.close()
        for pipe in list(self._pipes):
            pipe.cancel()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


class Fleet:
    """Processes by name: api-a, gateway-b, processor-a, agent-local … Their environment has nothing of this test's."""

    def __init__(self, directory: Path, database: str, nats_url: str) -> None:
        self.directory, self.database = directory, database
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.grpc = {replica: free_port() for replica in REPLICAS}
        self.link = {replica: free_port() for replica in REPLICAS}
        self.http = {replica: free_port() for replica in REPLICAS}
        self.figures: dict[str, int] = {}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("QUARTERDECK_")}
        self._environment = clean | {
            "QUARTERDECK_DATABASE_URL": database,
            "QUARTERDECK_NATS_URL": nats_url,
            "QUARTERDECK_DATA_DIR": str(directory / "data"),
            "QUARTERDECK_MEDIA_PORTS": free_ports(20),
        }
        self.balancers = {
            "local": Balancer([self.link["a"], self.link["b"]]),
            "second": Balancer([self.link["b"], self.link["a"]]),
        }

    def start(self, name: str, *argv: str, **settings: str) -> None:
        environment = self._environment | {f"QUARTERDECK_{key.upper()}": value for key, value in settings.items()}
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *argv], env=environment, stdout=log, stderr=log
            )

    async def start_api(self, replica: str, *options: str) -> dict[str, Any]:
        """What it says when it is ready."""
        reads, writes = os.pipe()
        environment = self._environment | {
            "QUARTERDECK_REPLICA_ID": f"api-{replica}",
            "QUARTERDECK_LINK_PORT": str(self.link[replica]),
            "QUARTERDECK_ENROLMENT_PORT": str(free_port()),
        }
        argv = ["controlplane", "api", "--grpc-port", str(self.grpc[replica]), "--status-fd", str(writes), *options]
        with (self.directory / f"api-{replica}.log").open("ab") as log:
            self.processes[f"api-{replica}"] = subprocess.Popen(
                [sys.executable, "-m", *argv], env=environment, stdout=log, stderr=log, pass_fds=(writes,)
            )
        os.close(writes)
        with os.fdopen(reads, "rb") as pipe:
            line = await asyncio.wait_for(asyncio.to_thread(pipe.readline), PATIENCE_S)
        assert line, self.logs()
        said: dict[str, Any] = json.loads(line)
        return said

    def start_agent(self, host: str, said: dict[str, Any], join_token: str) -> None:
        token_file = self.directory / f"{host}.token"
        token_file.write_text(join_token)
        options = ("--enrolment-target", said["enrolment_target"], "--ca-sha256", said["ca_sha256"])
        options += ("--join-token-file", str(token_file), "--link-target", self.balancers[host].address)
        data_dir = str(self.directory / f"agent-{host}")
        self.start(f"agent-{host}", "hostagent", "run", "--data-dir", data_dir, "--stop-sessions-on-exit", *options)

    async def call(self, replica: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """By that replica's gateway, as the operator; asked again while it is not up."""
        token = (self.directory / "data" / "operator.token").read_text().strip()
        url = f"http://127.0.0.1:{self.http[replica]}/v1/{path}"
        async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(timeout=PATIENCE_S) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await client.request(method, url, json=body, headers={"Authorization": f"Bearer {token}"})
                    if answer.status_code != 503:
                        assert answer.status_code == 200, answer.text
                        return answer.json()
                await asyncio.sleep(0.1)

    def holders(self) -> dict[str, str]:
        """Which replica holds the stream of each host that is ONLINE."""
        with synchronous(self.database).connect() as connection:
            found = connection.execute(sa.text("SELECT id, link_replica FROM hosts WHERE state = 'ONLINE'"))
            return {row[0]: row[1] for row in found}

    async def until(self, done: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                await asyncio.sleep(0.1)

    def logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-2500:]}" for log in sorted(self.directory.glob("*.log")))

    async def stop(self) -> None:
        """Agents first: they stop their sessions."""
        for name in sorted(self.processes, key=lambda name: not name.startswith("agent")):
            await asyncio.to_thread(end_process, self.processes[name], 30)
        for balancer in self.balancers.values():
            await balancer.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(tmp_path: Path, postgres_url: str, own_nats_server: NatsServer) -> AsyncIterator[Fleet]:
    fleet = Fleet(tmp_path, postgres_url, own_nats_server.url)
    try:
        await settle_in(fleet)
        yield fleet
    except BaseException as error:
        error.add_note(fleet.logs())
        raise
    finally:
        await fleet.stop()


async def settle_in(fleet: Fleet) -> None:
    for balancer in fleet.balancers.values():
        await balancer.start()
    fleet.start("migrate", "controlplane", "migrate")
    assert await asyncio.to_thread(fleet.processes.pop("migrate").wait, PATIENCE_S) == 0
    said = await fleet.start_api("a", "--welcome")
    fleet.figures = {"a": said["api_http_port"], "b": (await fleet.start_api("b"))["api_http_port"]}
    for replica in REPLICAS:
        api, http_port = f"127.0.0.1:{fleet.grpc[replica]}", str(fleet.http[replica])
        fleet.start(f"gateway-{replica}", "controlplane", "gateway", "--api", api, "--http-port", http_port)
        fleet.start(f"processor-{replica}", "controlplane", "processor", processor_http_port=str(free_port()))
    fleet.start_agent("local", said, Path(said["join_token_file"]).read_text().strip())
    await fleet.call("b", "POST", "vms", {"vmId": "second", "region": "local", "clientToken": "second"})
    joined = await fleet.call("b", "POST", "vms/second:createJoinToken", {})
    fleet.start_agent("second", said, joined["token"])
    await fleet.until(lambda: fleet.holders() == {"local": "api-a", "second": "api-b"})


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    yield await context.new_page()
    await context.close()


async def agents_told_by_each_api(fleet: Fleet) -> dict[str, str]:
    """An API in a process of its own has a page of its own."""
    told = {}
    async with httpx.AsyncClient() as client:
        for replica, port in fleet.figures.items():
            assert (await client.get(f"http://127.0.0.1:{port}/readyz")).json()["status"] == "ok"
            page = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            told[replica] = page.partition("\nquarterdeck_api_agents ")[2].partition("\n")[0]
    return told


async def test_any_replica_serves_any_host_and_a_killed_one_costs_no_picture(fleet: Fleet, page: Page) -> None:
    created = await fleet.call("a", "POST", "sessions", {"game": "games/broadside", "waitUntilPlayable": True})
    assert await agents_told_by_each_api(fleet) == {"a": "1.0", "b": "1.0"}
    holder = fleet.holders()[created["vm"].removeprefix("vms/")]
    other = "b" if holder == "api-a" else "a"
    assert (await fleet.call(other, "GET", created["name"]))["vm"] == created["vm"]
    code = (await fleet.call(other, "POST", "account:createSignInCode", {}))["code"]
    session_id = created["name"].partition("/")[2]

    await page.goto(f"http://localhost:{fleet.http[other]}/#/signin/{code}/play/{session_id}")
    await until(page, "quarterdeckPlayer.state === 'live' && quarterdeckPlayer.framesPresented > 60", timeout_s=60)

    fleet.processes[holder].kill()
    frames = await page.evaluate("quarterdeckPlayer.framesPresented")
    await fleet.until(lambda: set(fleet.holders().values()) == {f"api-{other}"})
    await until(page, "quarterdeckPlayer.framesPresented > a + 60", argument=frames)
    assert await page.evaluate("[quarterdeckPlayer.state, quarterdeckPlayer.peers]") == ["live", 1]

    await page.reload()
    await until(page, "quarterdeckPlayer.state === 'live' && quarterdeckPlayer.framesPresented > 30", timeout_s=60)
    session = await fleet.call(other, "GET", created["name"])
    assert (session["state"], session["generation"]) == ("SESSION_STATE_RUNNING", 1)
    ended = await fleet.call(other, "POST", f"{created['name']}:stop", {})
    assert ended["state"] in ("SESSION_STATE_STOPPING", "SESSION_STATE_STOPPED")
    with synchronous(fleet.database).connect() as connection:
        query = sa.text("SELECT state, reason FROM sessions")
        await fleet.until(lambda: connection.execute(query).one() == ("STOPPED", "STOP_REQUESTED"))
    assert await asyncio.to_thread(violations, fleet.database) == []
