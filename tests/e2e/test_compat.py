"""Every REST endpoint of seeds 000 and 001 against a running system, and seed 001's flow with a real stream."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import av
import httpx
import numpy as np
import pytest
from aiortc import RTCSessionDescription
from google.api import annotations_pb2
from quarterdeck.compat.v1 import orchestrator_pb2, sessions_pb2, streaming_pb2
from websockets.asyncio.client import connect

from tests.component.wrapper.rig import Browser
from tests.house import House

ORCHESTRATOR, STREAMING, SESSION = "/api/orchestrator/v1", "/api/streaming/v1", "/api/session/v1"

READY_WITHIN_S = 90
WISH = {"gameId": "broadside", "region": "local", "clientToken": "flow"}


class System:
    """A house, a client with the operator's token, and a session that plays on its VM `local`."""

    def __init__(self, house: House, client: httpx.Client) -> None:
        self.house = house
        self.client = client
        self.names: dict[str, str] = {"vm": "local"}

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.client.request(method, path.format_map(self.names), json=body)

    def rent(self) -> None:
        """A second machine with a real agent: `rented`, with a seat free."""
        wish = {"region": "local", "provider": "local", "clientToken": "second"}
        rented = self.call("POST", f"{ORCHESTRATOR}/vm", wish)
        assert rented.status_code == 200, rented.text
        self.names["rented"] = rented.json()["vmId"]
        deadline = time.monotonic() + READY_WITHIN_S
        while self.call("GET", f"{ORCHESTRATOR}/vm/{{rented}}").json()["status"] != "READY":
            assert time.monotonic() < deadline, self.house.logs()
            time.sleep(0.2)

    def queue(self) -> None:
        """A session that wishes for a region without machines, and waits: `waiting`."""
        wish = {"game": "games/broadside", "region": "us-east-1", "queueTimeout": "600s"}
        made = self.client.post("/v1/sessions", json=wish)
        assert (made.status_code, made.json()["state"]) == (200, "SESSION_STATE_PENDING"), made.text
        self.names["waiting"] = made.json()["name"].removeprefix("sessions/")

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
            system.rent()
            system.queue()
            yield system


@dataclass(frozen=True)
class Row:
    """One call: what is asked, and what is answered. `fields` is part of the answer, `keys` are all of its fields, and
    `inner` all of what lies in one (of each, where it is a list); of an error, its reason."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    status: int = 200
    fields: Mapping[str, Any] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()
    inner: Mapping[str, frozenset[str]] = field(default_factory=dict)
    reason: str = ""


# To the letter: what a caller of old reads, whatever the proto says.
VM_KEYS = frozenset(
    [
        "vmId",
        "templateId",
        "region",
        "status",
        "provider",
        "activeSessions",
        "maxConcurrentSessions",
        "errorCode",
        "errorMessage",
        "reason",
        "ipAddress",
        "createdAt",
        "updatedAt",
    ]
)
SESSION_KEYS = frozenset(["sessionId", "vmId", "gameId", "region", "status", "assignedAt"])
SEATS_KEYS = frozenset(
    ["vmId", "totalCapacity", "usedCapacity", "availableCapacity", "activeSessions", "acceptsSessions"]
)
REGION_KEYS = frozenset(
    ["region", "availableVMs", "provisioningVMs", "drainingVMs", "availableSlots", "queueLength", "queueTime"]
)
METRICS_KEYS = frozenset(
    ["totalVMs", "vmsByStatus", "vmsByRegion", "totalCapacity", "usedCapacity", "availableCapacity", "regionCapacity"]
)
URL_KEYS = frozenset(["sessionId", "signalingUrl", "streamToken", "expiresAt", "iceServers"])
FOUND_KEYS = frozenset(["found", "region", "passedOver", "preset", "templateId"])
PASSED_KEYS = frozenset(["vmId", "region", "reason"])
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
    Row("GET", f"{ORCHESTRATOR}/vm/{{vm}}/sessions", fields={"vmId": "local"}, keys=frozenset({"vmId", "sessions"}),
        inner={"sessions": SESSION_KEYS}),
    Row("GET", f"{ORCHESTRATOR}/vm/nowhere/sessions", **NO_VM),
    Row("GET", f"{ORCHESTRATOR}/vm/{{vm}}/capacity", fields={"vmId": "local", "activeSessions": 1, "totalCapacity": 1,
        "usedCapacity": 1, "availableCapacity": 0, "acceptsSessions": False}, keys=SEATS_KEYS),
    Row("GET", f"{ORCHESTRATOR}/vm/{{rented}}/capacity", fields={"activeSessions": 0, "availableCapacity": 1,
        "acceptsSessions": True}, keys=SEATS_KEYS),
    Row("GET", f"{ORCHESTRATOR}/vm/nowhere/capacity", **NO_VM),
    Row("POST", f"{STREAMING}/session/{{session}}/stream-url", {},
        keys=URL_KEYS),
    Row("POST", f"{STREAMING}/session/nowhere/stream-url", {}, **NO_SESSION),
    Row("GET", f"{STREAMING}/session/{{session}}/status",
        fields={"status": "waiting", "connected": False, "connections": 0, "sessionStatus": "RUNNING"},
        keys=frozenset({"sessionId", "status", "connected", "connections", "sessionStatus"})),
    Row("GET", f"{STREAMING}/session/{{waiting}}/status", fields={"status": "starting", "sessionStatus": "PENDING"}),
    Row("GET", f"{STREAMING}/session/nowhere/status", **NO_SESSION),
    Row("POST", SESSION, {"gameId": "no-such"}, 404, reason="GAME_NOT_FOUND"),
    Row("POST", SESSION, {"gameId": "broadside", "preset": "no-such"}, 400, reason="PRESET_UNKNOWN"),
    Row("POST", SESSION, {}, 400),
    Row("POST", f"{ORCHESTRATOR}/find-vm", {"gameId": "broadside", "region": "local"}, fields={"found": True,
        "region": "local", "preset": "software-720p30", "templateId": ""}, keys=FOUND_KEYS | {"vm"},
        inner={"vm": VM_KEYS}),
    Row("POST", f"{ORCHESTRATOR}/find-vm", {"region": "us-east-1"}, fields={"found": False, "region": "",
        "templateId": "local"}, keys=FOUND_KEYS, inner={"passedOver": PASSED_KEYS}),
    Row("POST", f"{ORCHESTRATOR}/find-vm", {"gameId": "no-such"}, 404, reason="GAME_NOT_FOUND"),
    Row("POST", f"{ORCHESTRATOR}/find-vm", {"region": "nope"}, 400, reason="REGION_UNKNOWN"),
    Row("POST", f"{ORCHESTRATOR}/vm/assign", {"vmId": "{vm}", "sessionId": "{session}"},
        fields={"vmId": "local", "gameId": "broadside", "status": "RUNNING", "region": "local"}, keys=SESSION_KEYS),
    Row("POST", f"{ORCHESTRATOR}/vm/assign", {"vmId": "{spare}", "sessionId": "{waiting}"}, 400,
        reason="VM_WITHOUT_HOST"),
    Row("POST", f"{ORCHESTRATOR}/vm/assign", {"vmId": "{vm}", "sessionId": "{waiting}"}, 429, reason="NO_CAPACITY"),
    Row("POST", f"{ORCHESTRATOR}/vm/assign", {"vmId": "{spare}", "sessionId": "{session}"}, 400,
        reason="SESSION_NOT_PENDING"),
    Row("POST", f"{ORCHESTRATOR}/vm/assign", {"vmId": "nowhere", "sessionId": "{session}"}, **NO_VM),
    Row("POST", f"{ORCHESTRATOR}/vm/assign", {"vmId": "{vm}", "sessionId": "nowhere"}, **NO_SESSION),
    Row("POST", f"{ORCHESTRATOR}/vm/{{vm}}/release", {"sessionId": "nowhere"}, **NO_SESSION),
    Row("POST", f"{ORCHESTRATOR}/vm/{{spare}}/release", {"sessionId": "{session}"}, 400, reason="SESSION_NOT_THERE"),
    Row("GET", f"{ORCHESTRATOR}/regions/local/capacity", fields={"region": "local", "availableVMs": 2,
        "provisioningVMs": 0, "drainingVMs": 0, "availableSlots": 1, "queueLength": 0, "queueTime": 0},
        keys=REGION_KEYS),
    Row("GET", f"{ORCHESTRATOR}/regions/us-east-1/capacity", fields={"availableVMs": 0, "provisioningVMs": 1,
        "queueLength": 1, "queueTime": -1}),
    Row("GET", f"{ORCHESTRATOR}/regions/nope/capacity", status=404, reason="REGION_NOT_FOUND"),
    Row("GET", f"{ORCHESTRATOR}/regions/capacity", keys=frozenset({"regions"}), inner={"regions": REGION_KEYS}),
    Row("GET", f"{ORCHESTRATOR}/regions/local/available-vms", fields={"region": "local"},
        keys=frozenset({"region", "vms"}), inner={"vms": VM_KEYS}),
    Row("GET", f"{ORCHESTRATOR}/regions/us-east-1/available-vms", fields={"region": "us-east-1", "vms": []}),
    Row("GET", f"{ORCHESTRATOR}/regions/nope/available-vms", status=404, reason="REGION_NOT_FOUND"),
    Row("GET", f"{ORCHESTRATOR}/metrics", fields={"totalVMs": 4, "totalCapacity": 2, "usedCapacity": 1,
        "availableCapacity": 1, "vmsByStatus": {"IN_USE": 1, "PROVISIONING": 2, "READY": 1},
        "vmsByRegion": {"eu-west-1": 1, "local": 2, "us-east-1": 1}}, keys=METRICS_KEYS,
        inner={"regionCapacity": REGION_KEYS}),
    Row("POST", f"{ORCHESTRATOR}/vm/{{rented}}/ready", {}, fields={"status": "READY"}, keys=VM_KEYS),
    Row("POST", f"{ORCHESTRATOR}/vm/{{rented}}/error", {"errorCode": "FAN_STUCK"}, fields={"status": "ERROR",
        "errorCode": "FAN_STUCK", "errorMessage": ""}, keys=VM_KEYS),
    Row("POST", f"{ORCHESTRATOR}/vm/assign", {"vmId": "{rented}", "sessionId": "{waiting}"}, 400, reason="VM_UNFIT"),
    Row("POST", f"{ORCHESTRATOR}/vm/{{rented}}/ready", {}, fields={"status": "READY", "errorCode": "",
        "errorMessage": "", "activeSessions": 0, "region": "local", "provider": "local"}, keys=VM_KEYS),
    Row("POST", f"{ORCHESTRATOR}/vm/assign", {"vmId": "{rented}", "sessionId": "{waiting}"},
        fields={"gameId": "broadside", "status": "STARTING", "region": "local"}, keys=SESSION_KEYS),
    Row("GET", f"{ORCHESTRATOR}/vm/{{rented}}", fields={"status": "IN_USE", "activeSessions": 1}),
    Row("POST", f"{ORCHESTRATOR}/vm/{{rented}}/release", {"sessionId": "{waiting}"},
        fields={"gameId": "broadside", "region": "local"}, keys=SESSION_KEYS),
    Row("POST", f"{ORCHESTRATOR}/vm/{{rented}}/draining", {}, fields={"status": "DRAINING"}, keys=VM_KEYS),
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
    assert row.keys in (frozenset(), frozenset(told))
    for name, keys in row.inner.items():
        inside = told[name] if isinstance(told[name], list) else [told[name]]
        assert inside
        assert all(keys == set(one) for one in inside), inside
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


async def steer(page: Browser, key: str, wanted: Callable[[float], bool]) -> None:
    """Holds a key until the game, in what is decoded here, shows the ship where it steers to."""
    page.send(t="key", code=key, down=True)
    await page.frame(lambda frame: (at := sails_of(frame)) is not None and wanted(at))
    page.send(t="key", code=key, down=False)


def sails_of(frame: av.VideoFrame) -> float | None:
    """Where the ship's sails are in the lower half of the picture, from 0 to 1 of its width."""
    pixels = frame.to_ndarray(format="rgb24")[frame.height // 2 :].astype(np.int16)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    found = np.nonzero((red > 215) & (green > 205) & (blue > 175) & (red - blue > 8))[1]
    return float(found.mean()) / frame.width if found.size > 100 else None


async def test_the_flow_of_seed_001_ends_in_a_real_stream(system: System) -> None:
    started = system.call("POST", SESSION, WISH)
    assert started.status_code == 200, started.text + system.house.logs()
    session = started.json()
    assert (session["status"], session["vmId"], session["region"]) == ("RUNNING", "local", "local")
    assert session["streamingPreset"]["targetResolution"] == "720p"
    assert session["streamingPreset"]["targetFPS"] == 30
    assert session["passedOver"] == []
    assert session["streamingPreset"]["maxConcurrentSessionsPerVM"] >= 1
    assert session["webrtc"]["signalingUrl"] == f"{system.house.url.replace('http', 'ws')}/v1/signalling"
    again = system.call("POST", SESSION, WISH).json()
    assert again["sessionId"] == session["sessionId"] == system.names["session"]
    assert again["webrtc"]["streamToken"] != session["webrtc"]["streamToken"]

    on_vm = system.call("GET", f"{ORCHESTRATOR}/vm/local/sessions").json()["sessions"]
    assert session["sessionId"] in {entry["sessionId"] for entry in on_vm}

    async with page_on(session["webrtc"]) as page:
        first = await page.frame()
        assert (first.width, first.height) == (1280, 720)
        await steer(page, "ArrowLeft", lambda at: at < 0.25)
        await steer(page, "ArrowRight", lambda at: at > 0.6)
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
