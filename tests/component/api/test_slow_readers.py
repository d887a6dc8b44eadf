"""A watcher that does not read holds nothing for ever: its stream is cut, its place is free again, and when it does
read it learns why, and where to go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from quarterdeck.v1 import events_pb2

from controlplane.adapters.store import open_store
from controlplane.api.interceptors import Chain, Guarded, Limits
from controlplane.api.server import Options
from controlplane.domain.errors import Unauthenticated
from controlplane.domain.events import Event, EventDraft
from controlplane.domain.identity import Principal, Role
from tests.component.api.plane import FAST, WITHIN_S, Caller, Plane, calling, plane
from tests.component.api.readers import Watched
from tests.component.api.refusals import Refusal, refusal_of, refused
from tests.conftest import NatsServer

WATCH = "WatchEvents"
SERVICE = "quarterdeck.v1.EventService"
CODES = {
    "revoked": (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"),
    "stopping": (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING"),
    "slow": (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_SLOW"),
}


class Bearers:
    """Knows everybody until told otherwise."""

    def __init__(self) -> None:
        self.revoked = False

    async def principal(self, _: Any) -> Principal:
        if self.revoked:
            raise Unauthenticated("TOKEN_INVALID", "revoked")
        return Principal("p", "watcher", Role.OPERATOR)

    def forget(self, _: str) -> None:
        """Nothing is remembered."""


@pytest.mark.parametrize("why", CODES)
async def test_a_stream_that_nobody_reads_is_cut_and_its_client_learns_why(why: str) -> None:
    bearers, stopping, closed = Bearers(), asyncio.Event(), asyncio.Event()
    limits = Limits(open_streams=1, recheck_s=0.1, write_s=0.3 if why == "slow" else 60.0)
    chain = Chain(bearers, limits, stopping)  # type: ignore[arg-type]
    made = 0

    async def flood(request: Any, context: Any) -> AsyncIterator[events_pb2.Event]:
        nonlocal made
        try:
            while True:
                made += 1
                yield events_pb2.Event(event_id="x" * 1_000_000, subject_version=made)
        finally:
            closed.set()

    async with (
        served(chain, flood) as port,
        asyncio.timeout(WITHIN_S),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        watch = channel.unary_stream(
            f"/{SERVICE}/{WATCH}", events_pb2.WatchEventsRequest.SerializeToString, events_pb2.Event.FromString
        )
        call = watch(events_pb2.WatchEventsRequest())
        await call.read()
        if why == "revoked":
            bearers.revoked = True
        elif why == "stopping":
            stopping.set()
        await closed.wait()
        bearers.revoked, cut_at = False, made
        if why != "stopping":  # its place is free again, although it has not read to the end yet
            again = watch(events_pb2.WatchEventsRequest())
            assert (await again.read()).event_id
            again.cancel()
        rest, refusal = await read_out(call)
        assert (refusal.code, refusal.reason) == CODES[why]
        # What was on its way arrives whole, before the status.
        assert [event.subject_version for event in rest] == list(range(2, cut_at + 1))


async def test_a_stream_that_is_cut_amid_its_first_message_tells_its_client_why() -> None:
    stopping = asyncio.Event()
    chain = Chain(Bearers(), Limits(), stopping)  # type: ignore[arg-type]

    async def flood(request: Any, context: Any) -> AsyncIterator[events_pb2.Event]:
        stopping.set()  # is seen before the library can have written anything
        while True:
            yield events_pb2.Event(event_id="x" * 1_000_000)

    async with (
        served(chain, flood) as port,
        asyncio.timeout(WITHIN_S),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        watch = channel.unary_stream(
            f"/{SERVICE}/{WATCH}", events_pb2.WatchEventsRequest.SerializeToString, events_pb2.Event.FromString
        )
        _, refusal = await read_out(watch(events_pb2.WatchEventsRequest()))
        assert (refusal.code, refusal.reason) == CODES["stopping"]


@asynccontextmanager
async def served(chain: Chain, flood: Any) -> AsyncIterator[int]:
    """The port of a server with this one method; it goes whatever happens, so that no other test sees its ruins."""
    handler = grpc.unary_stream_rpc_method_handler(
        flood, events_pb2.WatchEventsRequest.FromString, events_pb2.Event.SerializeToString
    )
    server = grpc.aio.server()
    Guarded(server, chain).add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {WATCH: handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        async with asyncio.timeout(WITHIN_S):
            await server.stop(0)


async def read_out(call: Any) -> tuple[list[events_pb2.Event], Refusal]:
    """What still comes, and how it ends: with an error."""
    got: list[events_pb2.Event] = []
    try:
        while True:
            got.append(await call.read())
            assert got[-1] is not grpc.aio.EOF
    except grpc.aio.AioRpcError as error:
        return got, refusal_of(error)


@dataclass
class Rig:
    bus: Watched
    plane: Plane
    operator: Caller

    def watch(self, **wish: Any) -> Any:
        return self.operator.events.WatchEvents(events_pb2.WatchEventsRequest(**wish))


@asynccontextmanager
async def watching(server: NatsServer, directory: Path, options: Options = FAST) -> AsyncIterator[Rig]:
    async with (
        asyncio.timeout(60),
        Watched(server.url) as bus,
        plane(open_store("memory://"), bus, directory, options) as running,
        calling(running, running.operator) as operator,
    ):
        await bus.wait_connected(WITHIN_S)
        yield Rig(bus, running, operator)


def large_event(number: int) -> Event:
    kind = "quarterdeck.vm.ready" if number % 10 else "quarterdeck.host.online"
    draft = EventDraft(kind, "default", "vms/vm-1", number, {"detail": "x" * 100_000})
    return Event(f"e-{number}", datetime.now(UTC), draft)


@pytest.mark.parametrize("types", [[], ["quarterdeck.vm"]])
async def test_a_slow_watcher_is_cut_off_with_a_token_from_which_nothing_is_lost(
    own_nats_server: NatsServer, tmp_path: Path, types: list[str]
) -> None:
    events = [large_event(number) for number in range(300)]
    wanted = [event.id for event in events if not types or event.draft.type.startswith(types[0])]
    options = replace(FAST, limits=replace(FAST.limits, write_s=0.5))
    async with watching(own_nats_server, tmp_path, options) as rig:
        slow = rig.watch(types=types, resume_token=await rig.bus.resume_token())
        for event in events:
            await rig.bus.publish_event(event)
        await rig.bus.left.wait()
        got, refusal = await read_out(slow)
        assert (refusal.code, refusal.reason, refusal.retry_s) == (*CODES["slow"], 1.0)
        assert 0 < len(got) < len(wanted)
        while got[-1].event_id != wanted[-1]:  # whoever reads may be slow too, for a moment
            try:
                async for event in rig.watch(types=types, resume_token=refusal.metadata["resume_token"]):
                    got.append(event)
                    if event.event_id == wanted[-1]:
                        break
            except grpc.aio.AioRpcError as error:
                refusal = refusal_of(error)
                assert (refusal.code, refusal.reason) == CODES["slow"]
    assert [event.event_id for event in got] == wanted


async def test_a_stream_that_breaks_before_its_first_event_can_be_taken_up(
    own_nats_server: NatsServer, tmp_path: Path
) -> None:
    wish = {"types": ["quarterdeck.host"], "bookmarks": True}
    async with watching(own_nats_server, tmp_path) as rig:
        first = rig.watch(**wish)
        bookmark = await first.read()
        assert (bookmark.event_id, bookmark.type) == ("", "")
        first.cancel()
        for number in range(1, 205):
            await rig.bus.publish_event(event_of(number, "quarterdeck.vm.ready"))
        await rig.bus.publish_event(event_of(205, "quarterdeck.host.online"))
        told = await until(rig.watch(**wish, resume_token=bookmark.resume_token), "e-205")
    assert [event.event_id for event in told] == ["", "", "", "e-205"]  # at once, and after each hundred passed over


async def test_an_error_of_the_token_itself_hands_out_no_token(own_nats_server: NatsServer, tmp_path: Path) -> None:
    async with watching(own_nats_server, tmp_path) as rig:
        refusal = await refused(rig.watch(resume_token="0123456789abcdef.7").read())
        assert (refusal.reason, refusal.metadata) == ("RESUME_TOKEN_EXPIRED", {})


async def test_a_stopping_server_tells_a_waiting_watcher_where_to_go_on(
    own_nats_server: NatsServer, tmp_path: Path
) -> None:
    async with watching(own_nats_server, tmp_path) as rig:
        start = await rig.bus.resume_token()
        watch = rig.watch(bookmarks=True)
        await watch.read()
        await rig.plane.server.stop(10)
        refusal = await refused(watch.read())
        assert (refusal.code, refusal.reason) == CODES["stopping"]
        assert refusal.metadata["resume_token"] == start


def event_of(number: int, kind: str) -> Event:
    return Event(f"e-{number}", datetime.now(UTC), EventDraft(kind, "default", "vms/vm-1", number, {}))


async def until(events: Any, last: str) -> list[events_pb2.Event]:
    got: list[events_pb2.Event] = []
    async for event in events:
        got.append(event)
        if event.event_id == last:
            break
    return got
