"""A gateway made of paper for the pages' tests: protojson answers, server-sent events, and a real aiortc peer that
offers a synthetic picture, so that the player is proven with real WebRTC before and beside the whole system.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.e2e.stub_peer import Inputs, Peer

WEB = Path(__file__).resolve().parents[2] / "controlplane" / "web"
CSP = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
CODE = "one-time-code"


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


class Stub:
    """The state behind the paper gateway; tests write to it, pages read it."""

    def __init__(self) -> None:
        self.signed_in = False
        self.role = "ROLE_OPERATOR"
        self.events_broken = False
        self.refuse: tuple[int, dict[str, Any]] | None = None
        self.drop_signalling = 0
        self.sounds = False
        self.silent = ""
        self.calls: list[tuple[str, str, Any]] = []
        self.inputs: Inputs = []
        self.peers: list[Peer] = []
        self.sockets: list[WebSocket] = []
        self.stream_tokens: list[str] = []
        self.watchers: set[asyncio.Queue[str]] = set()
        self.vms = [vm("helm-1", "VM_STATE_IN_USE", 12), vm("helm-2", "VM_STATE_DRAINING", 24)]
        self.hosts = [host("helm-1", "HOST_STATE_ONLINE"), host("helm-2", "HOST_STATE_STALE")]
        self.games = [GAME]
        self.presets = [{"presetId": "software-720p30", "displayName": "Software: 720p at 30 fps"}]
        self.regions = [{"regionId": "local", "displayName": "This machine"}]
        self.events: list[dict[str, Any]] = []
        self.console: list[str] = ["ready"]
        self.readers: set[asyncio.Queue[None]] = set()
        self.sessions: dict[str, dict[str, Any]] = {}
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, session_id: str, state: str = "RUNNING", **fields: Any) -> dict[str, Any]:
        """Adds or changes a session, and tells whoever watches."""
        old = self.sessions.get(session_id) or session(session_id)
        self.sessions[session_id] = {**old, "state": f"SESSION_STATE_{state}", **fields}
        for queue in self.watchers:
            queue.put_nowait(session_id)
        return self.sessions[session_id]

    def called(self, path: str) -> list[Any]:
        return [body for method, where, body in self.calls if where == path and method == "POST"]

    async def close(self) -> None:
        await asyncio.gather(*(peer.connection.close() for peer in self.peers))

    # -- routes ------------------------------------------------------------------------------------------------
    async def sign_in(self, request: Request) -> Response:
        if (await request.json()) != {"code": CODE}:
            return refusal(401, "CODE_UNKNOWN", "This sign-in code is unknown, used or expired.")
        self.signed_in = True
        return JSONResponse({"account": self.account()})

    async def sign_out(self, _: Request) -> Response:
        self.signed_in = False
        return JSONResponse({})

    def account(self) -> dict[str, str]:
        return {"project": "home", "subject": "operator", "role": self.role, "release": "0.1.0"}

    async def rest(self, request: Request) -> Response:
        path = request.url.path
        body = await request.json() if request.method == "POST" else None
        self.calls.append((request.method, path, body))
        if not self.signed_in:
            return refusal(401, "UNAUTHENTICATED", "Sign in first.")
        if request.method == "POST" and self.refuse:
            status, answer = self.refuse
            return JSONResponse(answer, status)
        return self.answer(request, path, body)

    def answer(self, request: Request, path: str, body: Any) -> Response:
        name, _, verb = path.removeprefix("/v1/").partition(":")
        session_id = name.removeprefix("sessions/")
        if path == "/v1/account":
            return JSONResponse(self.account())
        if path in ("/v1/vms", "/v1/hosts", "/v1/games", "/v1/presets", "/v1/regions"):
            return JSONResponse({name: getattr(self, name)})
        if path == "/v1/sessions" and request.method == "POST":
            return JSONResponse(self.put("fresh", "PENDING", game=body["game"], queuePosition=2, stages={}))
        if path == "/v1/sessions":
            wanted = request.query_params.getlist("states")
            found = [one for one in self.sessions.values() if not wanted or one["state"] in wanted]
            return JSONResponse({"sessions": found})
        if path == "/v1/events":
            wanted = request.query_params.getlist("subjects")
            return JSONResponse({"events": [one for one in self.events if one["subject"] in wanted]})
        if path == "/v1/events:watch" and self.role != "ROLE_OPERATOR":
            return refusal(403, "ROLE_REQUIRED", "Only an operator may do this.")
        if path == "/v1/events:watch":
            return refusal(503, "BUS_AWAY", "The broker is away.") if self.events_broken else self.stream(None)
        if path == f"/v1/{GAME['currentDeployment']}":
            return JSONResponse({"name": name, "actions": ACTIONS})
        if name.startswith("vms/"):
            return JSONResponse(next(vm for vm in self.vms if vm["name"] == name))
        if session_id.endswith("/logLines"):
            kept = [{"generation": 1, "sequence": str(n), "text": text} for n, text in enumerate(self.console, 1)]
            return JSONResponse({"lines": kept[:-1][::-1][: int(request.query_params["pageSize"])]})
        if session_id not in self.sessions:
            return refusal(404, "SESSION_NOT_FOUND", f"There is no session {session_id}.")
        if verb == "watch":
            return self.stream(session_id)
        if verb == "createStreamToken":
            token = {"token": f"token-{len(self.calls)}", "signallingPath": "/v1/signalling", "iceServers": []}
            return JSONResponse(token)
        if verb == "console":
            return self.output(int(request.query_params.get("afterSequence", "0")))
        if verb == "followLogs":
            return self.output(int(request.query_params.get("afterSequence", "0")), complete=True)
        if verb in ("sendConsoleInput", "executeAction"):
            said = body.get("lines") or [f"{body['action']} {json.dumps(body['parameters'])}"]
            self.print(*(f"heard {line}" for line in said))
            return JSONResponse({"sequence": str(len(self.console))})
        if verb == "stop":
            ended = {"reason": "SESSION_REASON_STOP_REQUESTED", "endTime": ago(0), "runningDuration": "192.4s"}
            self.put(session_id, "STOPPED", **ended)
        return JSONResponse(self.sessions[session_id])

    def stream(self, session_id: str | None) -> StreamingResponse:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self.watchers.add(queue)

        async def lines() -> AsyncIterator[str]:
            try:
                if session_id:
                    yield f"data: {json.dumps(self.sessions[session_id])}\n\n"
                yield ":\n\n"
                count = 0
                while True:
                    changed = await queue.get()
                    count += 1
                    if session_id is None:
                        event = {"subject": f"sessions/{changed}", "type": "x", "resumeToken": str(count)}
                        yield f"data: {json.dumps(event)}\n\n"
                    elif changed == session_id:
                        yield f"data: {json.dumps(self.sessions[session_id])}\n\n"
            finally:
                self.watchers.discard(queue)

        return StreamingResponse(lines(), media_type="text/event-stream")

    def print(self, *lines: str) -> None:
        """What the game of every session prints, from now on and for late readers."""
        self.console += lines
        for reader in self.readers:
            reader.put_nowait(None)

    def cut_consoles(self) -> None:
        """Ends the streams that are open, as a lost connection would."""
        gone = list(self.readers)
        self.readers.clear()
        for reader in gone:
            reader.put_nowait(None)

    def output(self, seen: int, complete: bool = False) -> StreamingResponse:
        """The console's stream after line number `seen`, until `cut_consoles`; a `complete` log ends by itself."""
        more: asyncio.Queue[None] = asyncio.Queue()
        more.put_nowait(None)
        self.readers.add(more)

        async def lines() -> AsyncIterator[str]:
            try:
                yield ":\n\n"
                told = seen
                while await more.get() is None and more in self.readers:
                    new = [{"sequence": str(n), "text": text} for n, text in enumerate(self.console, 1)]
                    yield f"data: {json.dumps({'lines': new[told:], 'missed': '0'})}\n\n"
                    told = len(self.console)
                    if complete:
                        break
            finally:
                self.readers.discard(more)

        return StreamingResponse(lines(), media_type="text/event-stream")

    async def signalling(self, socket: WebSocket) -> None:
        await socket.accept()
        first = await socket.receive_json()
        assert list(first) == ["streamToken"], first
        self.stream_tokens.append(first["streamToken"])
        if self.drop_signalling > 0:
            self.drop_signalling -= 1
            await socket.close(4014, "the agent is away")
            return
        peer = Peer(self.inputs, sounds=self.sounds, silent=self.silent)
        self.peers.append(peer)
        self.sockets.append(socket)
        await socket.send_json(await peer.offer())
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await peer.take(await socket.receive_json())


def refusal(status: int, reason: str, message: str, field: str = "") -> JSONResponse:
    return JSONResponse(problem(status, reason, message, field), status)


def problem(status: int, reason: str, message: str, field: str = "") -> dict[str, Any]:
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "quarterdeck", "metadata": {}}
    ]
    if field:
        violation = {"field": field, "description": message}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    return {"code": status, "message": message, "details": details}


GAME = {
    "name": "games/regatta",
    "displayName": "Regatta",
    "summary": "A small race at sea. Arrow keys steer, Space lets the sheet out.",
    "defaultPreset": "software-720p30",
    "currentDeployment": "games/regatta/deployments/1",
}


ACTIONS = [
    {"actionName": "save", "displayName": "Save now", "lines": ["save-all"]},
    {
        "actionName": "weather", "lines": ["weather {{kind}}"],
        "parameters": [
            {"parameterName": "kind", "type": "PARAMETER_TYPE_CHOICE", "choices": ["fair", "squall"]},
            {"parameterName": "minutes", "type": "PARAMETER_TYPE_INTEGER", "defaultValue": "5", "minimum": 1},
        ],
    },
]  # fmt: skip


def vm(vm_id: str, state: str, used: int) -> dict[str, Any]:
    return {
        "name": f"vms/{vm_id}", "provider": "local", "region": "local", "template": "local", "state": state,
        "capacityUnits": 24, "usedUnits": used, "activeSessions": used // 12, "host": f"hosts/{vm_id}",
        "advertisedAddress": "127.0.0.1", "reasonDetail": "",
    }  # fmt: skip


def host(vm_id: str, state: str) -> dict[str, Any]:
    inventory = {
        "cpuCount": 2, "memoryBytes": str(24 * 2**30), "diskFreeBytes": "0", "gpus": [], "agentVersion": "0.1.0",
        "encoders": [{"encoderName": "libx264", "slots": 2}], "runtimes": ["process"],
    }  # fmt: skip
    return {
        "name": f"hosts/{vm_id}", "vm": f"vms/{vm_id}", "state": state, "epoch": "3", "workloads": 1,
        "lastHeartbeatTime": ago(1.2), "planVersion": "14", "observedPlanVersion": "14", "inventory": inventory,
    }  # fmt: skip


def session(session_id: str) -> dict[str, Any]:
    stages = {"allocatedTime": ago(60), "imageReadyTime": ago(59.98), "gameStartedTime": ago(59.7)}
    return {
        "name": f"sessions/{session_id}", "game": "games/regatta", "deployment": "games/regatta/deployments/1",
        "preset": "software-720p30", "region": "local", "vm": "vms/helm-1", "state": "SESSION_STATE_RUNNING",
        "reason": "SESSION_REASON_UNSPECIFIED", "reasonDetail": "", "unreachable": False, "generation": 1,
        "stages": {**stages, "firstFrameTime": ago(59.2)}, "createTime": ago(60.02), "runningDuration": "59s",
        "queuePosition": 0, "streamed": True, "connectedPlayers": 1, "ports": [],
    }  # fmt: skip


class WithCsp:
    """The content security policy of the real gateway: what it forbids must not be needed."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [(b"content-security-policy", CSP.encode()), (b"x-content-type-options", b"nosniff")]
                message = {**message, "headers": [*message["headers"], *headers, (b"cache-control", b"no-store")]}
            await send(message)

        await self.app(scope, receive, sending if scope["type"] == "http" else send)


@contextlib.asynccontextmanager
async def serving(stub: Stub) -> AsyncIterator[Stub]:
    """Serves the pages and the stub on a free port of 127.0.0.1, in this event loop."""
    app = Starlette(
        routes=[
            Route("/signin", stub.sign_in, methods=["POST"]),
            Route("/signout", stub.sign_out, methods=["POST"]),
            WebSocketRoute("/v1/signalling", stub.signalling),
            Route("/v1/{rest:path}", stub.rest, methods=["GET", "POST"]),
            Mount("/", StaticFiles(directory=WEB, html=True)),
        ]
    )
    config = uvicorn.Config(WithCsp(app), port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        assert not running.done(), "the stub did not start"
        await asyncio.sleep(0.01)
    stub.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield stub
    finally:
        await stub.close()
        server.should_exit = True
        await running
