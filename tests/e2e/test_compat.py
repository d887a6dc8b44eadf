"""Every REST endpoint of seeds 000 and 001 against a running system, and seed 001's flow with a real stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from aiortc import RTCSessionDescription
from google.api import annotations_pb2
from quarterdeck.compat.v1 import orchestrator_pb2, sessions_pb2, streaming_pb2
from websockets.asyncio.client import connect

from tests.component.wrapper.rig import Browser
from tests.house import House

pytestmark = pytest.mark.timeout(300)

ORCHESTRATOR, STREAMING, SESSION = "/api/orchestrator/v1", "/api/streaming/v1", "/api/session/v1"

WISH = {"gameId": "broadside", "region": "local", "clientToken": "flow"}


class System:
    """A house, a client with the operator's token, and a session that plays on its VM `local`."""

    def __init__(self, house: House, client: httpx.Client) -> None:
        self.house = house
        self.client = client
        self.names: dict[str, str] = {"vm": "local"}

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.client.request(method, path.format_map(self.names), json=body)

    def put(self, body: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        return body and {key: v.format_map(self.names) if isinstance(v, str) else v for key, v in body.items()}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with House(tmp_path_factory.mktemp("compat")) as house:
        token = (house.data_dir / "operator.token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=house.url, headers=headers, timeout=120) as client:
            system = System(house, client)
            started = system.call("POST", SESSION, WISH)
            assert started.status_code == 200, started.text + house.logs()
            system.names["session"] = started.json()["sessionId"]
            spare = system.call("POST", f"{ORCHESTRATOR}/vm", {"region": "us-east-1", "templateId": "L4-90"})
            assert spare.status_code == 200, spare.text
            system.names["spare"] = spare.json()["vmId"]
            yield system


@dataclass(frozen=True)
class Row:
    """One call: what is asked, and what is answered. `fields` is part of the answer; of an error, its reason."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    status: int = 200
    fields: Mapping[str, Any] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()
    reason: str = ""


VM_KEYS = frozenset(f.json_name for f in orchestrator_pb2.VmDto.DESCRIPTOR.fields)
METRICS_KEYS = frozenset(f.json_name for f in orchestrator_pb2.Metrics.DESCRIPTOR.fields)
NO_VM = {"status": 404, "reason": "VM_NOT_FOUND"}
NO_SESSION = {"status": 404, "reason": "SESSION_NOT_FOUND"}

TABLE = (
    Row("POST", f"{ORCHESTRATOR}/vm", {"templateId": "RTX-4090", "region": "eu-west-1", "clientToken": "one"},
        fields={"templateId": "RTX-4090", "region": "eu-west-1", "status": "PROVISIONING", "activeSessions": 0,
                "maxConcurrentSessions": 4}, keys=VM_KEYS),
    Row("POST", f"{ORCHESTRATOR}/vm", {"templateId": "nope", "region": "eu-west-1"}, 400, reason="TEMPLATE_UNKNOWN"),
    Row("POST", f"{ORCHESTRATOR}/vm", {"templateId": "L4-90", "region": "nope"}, 400, reason="REGION_UNKNOWN"),
    Row("POST", f"{ORCHESTRATOR}/vm", {"templateId": "L4-90"}, 400),
    Row("POST", f"{ORCHESTRATOR}/vm", {"templateId": "L4-90", "region": "local", "color": "red"}, 400),
    Row("GET", f"{ORCHESTRATOR}/vm/{{vm}}",
        fields={"vmId": "local", "status": "IN_USE", "activeSessions": 1, "templateId": "local", "region": "local"},
        keys=VM_KEYS),
    Row("GET", f"{ORCHESTRATOR}/vm/nowhere", **NO_VM),
    Row("GET", f"{ORCHESTRATOR}/vm/Not-An-Id", status=400),
    Row("GET", f"{ORCHESTRATOR}/vm/{{vm}}/sessions", fields={"vmId": "local"}, keys=frozenset({"vmId", "sessions"})),
    Row("GET", f"{ORCHESTRATOR}/vm/nowhere/sessions", **NO_VM),
    Row("GET", f"{ORCHESTRATOR}/vm/{{vm}}/capacity", fields={"vmId": "local", "activeSessions": 1},
        keys=frozenset(["totalCapacity", "usedCapacity", "availableCapacity", "acceptsSessions"])),
    Row("GET", f"{ORCHESTRATOR}/vm/nowhere/capacity", **NO_VM),
    Row("POST", f"{STREAMING}/session/{{session}}/stream-url", {},
        keys=frozenset(["sessionId", "signalingUrl", "streamToken", "expiresAt", "iceServers"])),
    Row("POST", f"{STREAMING}/session/nowhere/stream-url", {}, **NO_SESSION),
    Row("GET", f"{STREAMING}/session/{{session}}/status",
        fields={"status": "waiting", "connected": False, "connections": 0, "sessionStatus": "RUNNING"}),
    Row("GET", f"{STREAMING}/session/nowhere/status", **NO_SESSION),
    Row("POST", SESSION, {"gameId": "no-such"}, 404, reason="GAME_NOT_FOUND"),
    Row("POST", SESSION, {"gameId": "broadside", "preset": "no-such"}, 400, reason="PRESET_UNKNOWN"),
    Row("POST", SESSION, {}, 400),
    Row("POST", f"{ORCHESTRATOR}/find-vm", {"gameId": "broadside"}, keys=frozenset({"found", "region", "passedOver"})),
    Row("POST", f"{ORCHESTRATOR}/find-vm", {"region": "us-east-1"},
        fields={"found": False, "region": ""}),
    Row("POST", f"{ORCHESTRATOR}/find-vm", {"gameId": "no-such"}, 404, reason="GAME_NOT_FOUND"),
    Row("POST", f"{ORCHESTRATOR}/find-vm", {"region": "nope"}, 400, reason="REGION_UNKNOWN"),
    Row("POST", f"{ORCHESTRATOR}/vm/assign", {"vmId": "{vm}", "sessionId": "{session}"},
        fields={"vmId": "local", "gameId": "broadside", "status": "RUNNING", "region": "local"}),
    Row("POST", f"{ORCHESTRATOR}/vm/assign", {"vmId": "{spare}", "sessionId": "{session}"}, 400,
        reason="SESSION_NOT_PENDING"),
    Row("POST", f"{ORCHESTRATOR}/vm/assign", {"vmId": "nowhere", "sessionId": "{session}"}, **NO_VM),
    Row("POST", f"{ORCHESTRATOR}/vm/assign", {"vmId": "{vm}", "sessionId": "nowhere"}, **NO_SESSION),
    Row("POST", f"{ORCHESTRATOR}/vm/{{vm}}/release", {"sessionId": "nowhere"}, **NO_SESSION),
    Row("POST", f"{ORCHESTRATOR}/vm/{{spare}}/release", {"sessionId": "{session}"}, 400, reason="SESSION_NOT_THERE"),
    Row("GET", f"{ORCHESTRATOR}/regions/local/capacity", fields={"region": "local", "availableVMs": 1,
        "provisioningVMs": 0, "drainingVMs": 0, "queueLength": 0}, keys=frozenset({"queueTime", "availableSlots"})),
    Row("GET", f"{ORCHESTRATOR}/regions/us-east-1/capacity", fields={"availableVMs": 0, "provisioningVMs": 1}),
    Row("GET", f"{ORCHESTRATOR}/regions/nope/capacity", status=404, reason="REGION_NOT_FOUND"),
    Row("GET", f"{ORCHESTRATOR}/regions/capacity", keys=frozenset({"regions"})),
    Row("GET", f"{ORCHESTRATOR}/regions/us-east-1/available-vms", fields={"region": "us-east-1", "vms": []}),
    Row("GET", f"{ORCHESTRATOR}/regions/nope/available-vms", status=404, reason="REGION_NOT_FOUND"),
    Row("GET", f"{ORCHESTRATOR}/metrics", keys=METRICS_KEYS),
    Row("POST", f"{ORCHESTRATOR}/vm/{{vm}}/ready", {}, 400, reason="VM_BUSY"),
    Row("POST", f"{ORCHESTRATOR}/vm/{{spare}}/ready", {}, 400, reason="AGENT_NOT_HEALTHY"),
    Row("POST", f"{ORCHESTRATOR}/vm/nowhere/ready", {}, **NO_VM),
    Row("POST", f"{ORCHESTRATOR}/vm/{{spare}}/error", {"errorCode": "GPU_FAILURE", "errorMessage": "fell off the bus"},
        fields={"status": "ERROR", "errorCode": "GPU_FAILURE", "errorMessage": "fell off the bus"}, keys=VM_KEYS),
    Row("POST", f"{ORCHESTRATOR}/vm/{{spare}}/error", {"errorMessage": "no code"}, 400),
    Row("POST", f"{ORCHESTRATOR}/vm/nowhere/error", {"errorCode": "X"}, **NO_VM),
    Row("POST", f"{ORCHESTRATOR}/vm/{{spare}}/draining", {}, 400, reason="VM_WRONG_STATE"),
    Row("POST", f"{ORCHESTRATOR}/vm/nowhere/draining", {}, **NO_VM),
    Row("POST", f"{ORCHESTRATOR}/vm/{{vm}}/terminate", {}, 400, reason="VM_BUSY"),
    Row("POST", f"{ORCHESTRATOR}/vm/nowhere/terminate", {}, **NO_VM),
    Row("POST", f"{ORCHESTRATOR}/vm/{{spare}}/terminate", {"reason": "retired"},
        fields={"status": "TERMINATED", "reason": "retired"}, keys=VM_KEYS),
    Row("POST", f"{ORCHESTRATOR}/vm/{{spare}}/terminate", fields={"status": "TERMINATED"}),
)  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.method} {row.path} {row.status} {row.reason}".strip())
def test_an_endpoint(system: System, row: Row) -> None:
    answer = system.call(row.method, row.path, system.put(row.body))
    assert answer.status_code == row.status, answer.text
    told = answer.json()
    assert row.keys <= set(told)
    assert {key: told[key] for key in row.fields} == dict(row.fields)
    if row.status >= 400:
        reasons = [detail.get("reason") for detail in told["details"]]
        assert told["code"] > 0
        assert told["message"]
        assert row.reason in reasons or not row.reason, told


def served() -> set[tuple[str, str]]:
    """Verb and path of every binding of the seeds' protos."""
    found = set()
    for module in (orchestrator_pb2, streaming_pb2, sessions_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                rule = method.GetOptions().Extensions[annotations_pb2.http]
                verb = rule.WhichOneof("pattern")
                found.add((verb.upper(), getattr(rule, verb)))
    return found


def test_the_table_asks_every_endpoint() -> None:
    def shape(path: str) -> tuple[str, ...]:
        return tuple(path.strip("/").split("/"))

    def same(pattern: str, path: str) -> bool:
        wanted, given = shape(pattern), shape(path)
        return len(wanted) == len(given) and all(
            w.startswith("{") or w == g for w, g in zip(wanted, given, strict=True)
        )

    asked = {(verb, path) for verb, path in served() if any(r.method == verb and same(path, r.path) for r in TABLE)}
    assert asked == served()


def test_a_call_without_a_token_is_refused(system: System) -> None:
    for verb, path in sorted(served()):
        bare = path.replace("{vm_id}", "local").replace("{session_id}", "s").replace("{region}", "local")
        answer = httpx.request(verb, system.house.url + bare, json={} if verb == "POST" else None)
        assert answer.status_code == 401, (verb, path, answer.text)


@asynccontextmanager
async def page_on(webrtc: Mapping[str, Any]) -> AsyncIterator[Browser]:
    """Connects as seed 001's client does: to the signalling URL, with the token as its first message."""
    page = Browser()
    try:
        async with connect(webrtc["signalingUrl"]) as socket:
            await socket.send(json.dumps({"streamToken": webrtc["streamToken"]}))
            offer = json.loads(await socket.recv())["description"]
            await page.connection.setRemoteDescription(RTCSessionDescription(offer["sdp"], offer["type"]))
            await page.connection.setLocalDescription(await page.connection.createAnswer())
            answer = {"type": "answer", "sdp": page.connection.localDescription.sdp}
            await socket.send(json.dumps({"description": answer}))
            await page.message("hello")
            yield page
    finally:
        await page.close()


async def test_the_flow_of_seed_001_ends_in_a_real_stream(system: System) -> None:
    started = system.call("POST", SESSION, WISH)
    assert started.status_code == 200, started.text + system.house.logs()
    session = started.json()
    assert (session["status"], session["vmId"], session["region"]) == ("RUNNING", "local", "local")
    assert session["streamingPreset"]["targetResolution"] == "720p"
    assert session["streamingPreset"]["targetFPS"] == 30
    assert session["webrtc"]["signalingUrl"] == f"{system.house.url.replace('http', 'ws')}/v1/signalling"
    again = system.call("POST", SESSION, WISH).json()
    assert again["sessionId"] == session["sessionId"] == system.names["session"]
    assert again["webrtc"]["streamToken"] != session["webrtc"]["streamToken"]

    on_vm = system.call("GET", f"{ORCHESTRATOR}/vm/local/sessions").json()["sessions"]
    assert session["sessionId"] in {entry["sessionId"] for entry in on_vm}

    async with page_on(session["webrtc"]) as page:
        first = await page.frame()
        assert (first.width, first.height) == (1280, 720)
        page.press("Space")
        page.send(t="ping")
        assert (await page.message("pong"))["n"] == 3
        assert (await page.frame(lambda frame: frame.pts > first.pts)).width == 1280
        status = system.call("GET", f"{STREAMING}/session/{session['sessionId']}/status").json()
        assert status["sessionStatus"] == "RUNNING"


def test_a_vm_drains_and_keeps_what_plays_on_it(system: System) -> None:
    drained = system.call("POST", f"{ORCHESTRATOR}/vm/local/draining")
    assert drained.status_code == 200, drained.text
    assert drained.json()["status"] == "DRAINING"
    assert drained.json()["activeSessions"] > 0
    assert system.call("GET", f"{ORCHESTRATOR}/vm/local/capacity").json()["acceptsSessions"] is False
    assert system.call("POST", f"{ORCHESTRATOR}/find-vm", {"region": "local"}).json()["found"] is False
    released = system.call("POST", f"{ORCHESTRATOR}/vm/local/release", {"sessionId": system.names["session"]})
    assert released.status_code == 200, released.text
    assert (released.json()["vmId"], released.json()["status"]) == ("local", "STOPPING")
    ended = system.call("POST", f"{ORCHESTRATOR}/vm/local/terminate", {"force": True})
    assert ended.status_code == 200, ended.text
    assert ended.json()["status"] in ("DRAINING", "TERMINATED")
