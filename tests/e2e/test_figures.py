"""A running house tells what it does: all seven events of seed 001, on its own broker and as JSON, and its figures."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import nats
import pytest
from google.protobuf import json_format
from nats.js.api import ConsumerConfig, DeliverPolicy
from prometheus_client.parser import text_string_to_metric_families
from quarterdeck.v1 import events_pb2

from tests.house import House
from tests.unit.domain.test_event_words import SEED_001

WITHIN_S = 120
ALLOCATIONS = "quarterdeck_allocation_seconds_count"
ORCHESTRATOR = "/api/orchestrator/v1"
VM_FACTS = {"state", "previous", "trigger", "detail", "provider"}
SESSION_FACTS = {"state", "vm", "game", "generation", "reason"}


class Running:
    """A house, its operator's client, and what it was asked to do."""

    def __init__(self, house: House, client: httpx.Client) -> None:
        self.house = house
        self.client = client
        self.session = self.rented = self.broken = self.watched_from = ""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.client.request(method, path, json=body)
        assert answer.status_code == 200, answer.text + self.house.logs()
        return answer.json()

    def figures(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample of /metrics, as Prometheus's own parser reads it."""
        page = self.client.get("/metrics")
        assert page.headers["content-type"].startswith("text/plain; version=")
        families = list(text_string_to_metric_families(page.text))
        assert len({family.name for family in families}) == len(families)
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    async def figure(self, expected: float, name: str, **labels: str) -> None:
        """Waits until it is told."""
        try:
            async with asyncio.timeout(WITHIN_S):
                while self.figures().get((name, frozenset(labels.items()))) != expected:
                    await asyncio.sleep(0.5)
        except TimeoutError:
            told = {key: value for key, value in self.figures().items() if key[0] == name}
            pytest.fail(f"{name} {labels}: wanted {expected}, told {told}\n{self.house.logs()}")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Everything that the seven events tell of is done once: a session comes and goes, a VM is rented, one breaks."""
    with House(tmp_path_factory.mktemp("figures")) as house:
        token = (house.data_dir / "operator.token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=house.url, headers=headers, timeout=120) as client:
            one = Running(house, client)
            one.watched_from = bookmark(client)
            mark = {"name": "regions/local", "lowWaterSlots": 1000}
            one.call("PATCH", "/v1/regions/local?updateMask=lowWaterSlots", mark)
            wish = {"gameId": "broadside", "region": "local"}
            one.session = one.call("POST", "/api/session/v1", wish)["sessionId"]
            one.call("POST", f"{ORCHESTRATOR}/vm/local/release", {"sessionId": one.session})
            one.rented = one.call("POST", f"{ORCHESTRATOR}/vm", {"region": "local", "provider": "local"})["vmId"]
            one.broken = one.call("POST", f"{ORCHESTRATOR}/vm", {"region": "us-east-1", "templateId": "A10"})["vmId"]
            fault = {"errorCode": "GPU_FAILURE", "errorMessage": "fell off the bus"}
            one.call("POST", f"{ORCHESTRATOR}/vm/{one.broken}/error", fault)
            one.call("POST", f"{ORCHESTRATOR}/vm/{one.broken}/terminate", {"reason": "scrapped"})
            yield one


def bookmark(client: httpx.Client) -> str:
    with client.stream("GET", "/v1/events:watch?bookmarks=true") as watch:
        token: str = json.loads(next(watch.iter_lines()))["resumeToken"]
        return token


@asynccontextmanager
async def broker_of(house: House) -> AsyncIterator[nats.NATS]:
    port, token = ((house.data_dir / "nats" / name).read_text().strip() for name in ("port", "token"))
    client = await nats.connect(f"nats://127.0.0.1:{port}", token=token)
    try:
        yield client
    finally:
        await client.close()


async def test_all_seven_events_of_seed_001_are_on_the_broker(running: Running) -> None:
    told: dict[str, list[events_pb2.Event]] = {}
    async with broker_of(running.house) as client, asyncio.timeout(WITHIN_S):
        everything = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        source = await client.jetstream().subscribe("quarterdeck.event.default.>", config=everything)
        while not complete(running, told):
            message = await source.next_msg(timeout=WITHIN_S)
            event = events_pb2.Event.FromString(message.data)
            assert message.subject == f"quarterdeck.event.default.{event.type.removeprefix('quarterdeck.')}"
            assert message.headers
            assert message.headers["Nats-Msg-Id"] == event.event_id
            told.setdefault(event.type, []).append(event)
    check_facts(running, {kind: [json_format.MessageToDict(e) for e in events] for kind, events in told.items()})


async def test_all_seven_are_told_as_json(running: Running) -> None:
    told: dict[str, list[dict[str, Any]]] = {}
    url = f"{running.house.url}/v1/events:watch?resumeToken={running.watched_from}"
    headers = {"authorization": running.client.headers["authorization"]}
    async with (
        asyncio.timeout(WITHIN_S),
        httpx.AsyncClient(timeout=WITHIN_S) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        lines = answer.aiter_lines()
        while not set(SEED_001.values()) <= told.keys():
            event = json.loads(await anext(lines))
            assert event["resumeToken"]
            told.setdefault(event["type"], []).append(event)
    check_facts(running, told)


def complete(running: Running, told: dict[str, list[events_pb2.Event]]) -> bool:
    ready = {event.subject for event in told.get("quarterdeck.vm.ready", [])}
    return set(SEED_001.values()) <= told.keys() and f"vms/{running.rented}" in ready


def check_facts(running: Running, told: dict[str, list[dict[str, Any]]]) -> None:
    """docs/events.md, field by field, each event where its subject is the one that it tells of."""

    def of(seed: str, subject: str) -> dict[str, Any]:
        (event, *_) = [event for event in told[SEED_001[seed]] if event["subject"] == subject]
        assert event["project"] == "default"
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", event["time"])
        assert int(event["subjectVersion"]) > 0
        data: dict[str, Any] = event["data"]
        return data

    rented, broken, session = f"vms/{running.rented}", f"vms/{running.broken}", f"sessions/{running.session}"
    for name, subject in (("VMProvisioned", rented), ("VMProvisioned", broken), ("VMReady", "vms/local"),
                          ("VMError", broken), ("VMTerminated", broken)):  # fmt: skip
        assert of(name, subject).keys() >= VM_FACTS
    assert of("VMProvisioned", rented)["provider"] == "local"
    assert of("VMError", broken)["detail"] == "GPU_FAILURE: fell off the bus"
    assert of("VMTerminated", broken)["detail"] == "scrapped"
    assigned, released = of("SessionAssigned", session), of("SessionReleased", session)
    assert assigned.keys() >= SESSION_FACTS
    assert (assigned["vm"], assigned["game"], assigned["generation"]) == ("vms/local", "games/broadside", 1)
    assert (released["state"], released["vm"]) == ("STOPPED", "vms/local")
    low = of("VMPoolLowCapacity", "regions/local")
    assert (low["region"], low["low_water_seats"]) == ("regions/local", 1000)
    assert 0 <= low["free_seats"] < 1000


async def test_the_figures_tell_of_what_was_done(running: Running) -> None:
    await running.figure(1, "quarterdeck_sessions_ended_total", state="STOPPED", reason="STOP_REQUESTED")
    for stage in ("allocated", "image_ready", "game_started", "first_frame", "playable"):
        await running.figure(1, "quarterdeck_session_stage_seconds_count", stage=stage)
    await running.figure(1, "quarterdeck_session_queue_wait_seconds_count", outcome="placed")
    await running.figure(1, "quarterdeck_provisioning_attempts_total", provider="local")
    for state in ("PROVISIONING", "BOOTING"):
        await running.figure(1, "quarterdeck_provisioning_seconds_count", provider="local", state=state, outcome="done")
    await running.figure(2, "quarterdeck_hosts", state="ONLINE")
    await running.figure(2, "quarterdeck_fleet_vms", region="local", state="READY")
    await running.figure(2, "quarterdeck_api_agents")
    await running.figure(0, "quarterdeck_relay_backlog")
    await running.figure(0, "quarterdeck_sessions", state="RUNNING")
    told = running.figures()
    # Its agent may have come after the wish.
    allocations = [told.get((ALLOCATIONS, frozenset({("outcome", how)})), 0) for how in ("placed", "queued")]
    assert sum(allocations) == 1
    stages = "quarterdeck_session_stage_seconds_sum"
    assert 0 < told[stages, frozenset({("stage", "playable")})] < WITHIN_S
    assert 0 <= told["quarterdeck_heartbeat_lag_seconds", frozenset()] < 10
    assert told["quarterdeck_consumer_lag_seconds_count", frozenset({("consumer", "reports")})] > 0
    assert told["quarterdeck_dead_letters_kept", frozenset()] == 0


async def test_the_seeds_figures_are_the_same_over_rest_and_in_the_log(running: Running) -> None:
    await running.figure(2, "quarterdeck_fleet_vms", region="local", state="READY")
    told, rest = running.figures(), running.call("GET", f"{ORCHESTRATOR}/metrics")

    def total(name: str, *pair: str) -> float:
        return sum(value for (n, labels), value in told.items() if n == name and (not pair or tuple(pair) in labels))

    assert rest["totalVMs"] == total("quarterdeck_fleet_vms")
    for status, count in rest["vmsByStatus"].items():
        assert count == total("quarterdeck_fleet_vms", "state", status)
    for region, count in rest["vmsByRegion"].items():
        assert count == total("quarterdeck_fleet_vms", "region", region)
    for kind in ("capacity", "used", "free"):
        field = {"capacity": "totalCapacity", "used": "usedCapacity", "free": "availableCapacity"}[kind]
        assert rest[field] == total(f"quarterdeck_region_{kind}_seats")
    log = running.house.data_dir / "log" / "all.log"
    async with asyncio.timeout(WITHIN_S):
        while "fleet.summary" not in log.read_text():
            await asyncio.sleep(0.5)
    line = next(line for line in log.read_text().splitlines() if "fleet.summary" in line)
    for word in ("vms=", "by_state=", "by_region=", "capacity_seats=", "used_seats=", "free_seats=", "regions="):
        assert word in line


def test_the_command_line_follows_through_the_death_of_the_control_plane(running: Running) -> None:
    house = running.house
    argv = [sys.executable, "-m", "controlplane", "events", "watch", "--resume-token", running.watched_from]
    argv += [
        "--type",
        "quarterdeck.vm",
        "--subject",
        f"vms/{running.broken}",
        "--subject",
        "vms/later",
        "--output=json",
    ]
    with subprocess.Popen(
        argv, env=house.environment, cwd=house.outside, stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None

        def word() -> tuple[str, str]:
            event = json.loads(watching.stdout.readline())  # type: ignore[union-attr]
            return event["type"].removeprefix("quarterdeck.vm."), event["subject"]

        expected = [(word, f"vms/{running.broken}") for word in ("provisioned", "error", "terminated")]
        assert [word() for _ in expected] == expected
        os.kill(house.pid("all"), signal.SIGKILL)
        made = house.run("vms", "create", "later", "--region", "us-west-2")
        while made.returncode:  # it is on its way back
            assert "UNAVAILABLE" in made.stderr, made.stderr
            made = house.run("vms", "create", "later", "--region", "us-west-2")
        assert word() == ("provisioned", "vms/later")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
