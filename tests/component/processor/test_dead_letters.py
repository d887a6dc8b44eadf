"""Dead letters, from a message that failed to an operator who has it handled: real databases, broker, API and CLI."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from quarterdeck.v1 import deadletters_pb2 as pb
from quarterdeck.v1 import deadletters_pb2_grpc as rpc

from controlplane.adapters.bus import codec
from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.adapters.bus.redelivery import Backoff
from controlplane.domain import subjects
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.identity import Principal, Role
from controlplane.processor import service
from controlplane.processor.routes import Route
from controlplane.usecases import accounts
from tests.component.api.plane import Plane, plane

PATIENCE_S = 30
NAME = "deadLetters/reports.m-1"


class Handler:
    """Raises what `faults` has for a payload; remembers what it handled, and how often it tried."""

    def __init__(self) -> None:
        self.tries: Counter[bytes] = Counter()
        self.faults: dict[bytes, Exception] = {}
        self.handled: list[bytes] = []

    async def __call__(self, delivery) -> None:
        self.tries[delivery.payload] += 1
        if fault := self.faults.get(delivery.payload):
            raise fault
        self.handled.append(delivery.payload)


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
async def bus(own_nats_server) -> AsyncIterator[JetStreamBus]:
    """What failed is tried again at once."""
    async with JetStreamBus([own_nats_server.url], backoff=Backoff(first_s=0.01, longest_s=0.05)) as bus:
        await bus.wait_connected(PATIENCE_S)
        yield bus


@pytest.fixture
async def house(store, bus, tmp_path, handler, monkeypatch) -> AsyncIterator[Plane]:
    def routes(*_: object) -> tuple[Route, ...]:
        return (Route("reports", subjects.REPORTS, handler),)

    monkeypatch.setattr(service, "routes", routes)
    async with (
        plane(store, bus, tmp_path / "keys") as running,
        service.running(running.world, codec.decode_report, codec.decode_event),
    ):
        yield running


@asynccontextmanager
async def letters(house: Plane, token: str = "") -> AsyncIterator[rpc.DeadLetterServiceStub]:
    async with house.channel(token or house.operator) as channel:
        yield rpc.DeadLetterServiceStub(channel)


async def until(stub: rpc.DeadLetterServiceStub, *, count: int, asked: bool = False) -> list[pb.DeadLetter]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = list((await stub.ListDeadLetters(pb.ListDeadLettersRequest(consumer="reports"))).dead_letters)
            if len(found) == count and all(letter.HasField("replay_time") == asked for letter in found):
                return found
            await asyncio.sleep(0.05)


async def test_a_permanent_error_is_tried_once_seen_and_handled_after_the_repair(house, handler):
    handler.faults[b"bad"] = InvalidRequest("REPORT_UNREADABLE", "not now")
    async with letters(house) as stub:
        await house.world.bus.publish(subjects.report("vm-1"), b"bad", "m-1")
        (letter,) = await until(stub, count=1)
        assert handler.tries[b"bad"] == 1
        assert (letter.name, letter.subject, letter.payload_bytes) == (NAME, subjects.report("vm-1"), 3)
        assert "not now" in letter.error
        assert (await stub.GetDeadLetter(pb.GetDeadLetterRequest(name=NAME))).payload == b"bad"

        handler.faults[b"bad"] = InvalidRequest("REPORT_UNREADABLE", "nor now")
        assert (await stub.ReplayDeadLetter(pb.ReplayDeadLetterRequest(name=NAME))).HasField("replay_time")
        (letter,) = await until(stub, count=1)
        assert handler.tries[b"bad"] == 2
        assert "nor now" in letter.error

        del handler.faults[b"bad"]
        await stub.ReplayDeadLetter(pb.ReplayDeadLetterRequest(name=NAME))
        await until(stub, count=0)
        assert handler.handled == [b"bad"]


async def test_a_transient_error_is_tried_five_times_before_it_is_a_dead_letter(house, handler):
    handler.faults[b"bad"] = RuntimeError("the network, perhaps")
    async with letters(house) as stub:
        await house.world.bus.publish(subjects.report("vm-1"), b"bad", "m-1")
        await until(stub, count=1)
        assert handler.tries[b"bad"] == 5
        await stub.DeleteDeadLetter(pb.DeleteDeadLetterRequest(name=NAME))
        await until(stub, count=0)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ReplayDeadLetter(pb.ReplayDeadLetterRequest(name=NAME))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_only_the_house_s_operators_see_them(house):
    async with house.world.store.tx() as tx:
        await tx.credentials.put_project("other")
    stranger = Principal("other", "operator", Role.OPERATOR)
    token, _ = await accounts.create_token(house.world, stranger, "operator", Role.OPERATOR, None, "")
    for refused_token in (token, house.player):
        async with letters(house, refused_token) as stub:
            for call, request in (
                (stub.ListDeadLetters, pb.ListDeadLettersRequest()),
                (stub.GetDeadLetter, pb.GetDeadLetterRequest(name=NAME)),
                (stub.ReplayDeadLetter, pb.ReplayDeadLetterRequest(name=NAME)),
                (stub.DeleteDeadLetter, pb.DeleteDeadLetterRequest(name=NAME)),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call(request)
                assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_an_event_that_no_bus_could_take_can_only_be_deleted(house):
    async with house.world.store.tx() as tx:
        await tx.outbox.bury("relay", "e-1", b"Event()", "EVENT_TYPE_INVALID")
    async with letters(house) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ReplayDeadLetter(pb.ReplayDeadLetterRequest(name="deadLetters/relay.e-1"))
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_from_the_command_line(house, handler, tmp_path):
    handler.faults[b"bad"] = InvalidRequest("REPORT_UNREADABLE", "not now")
    token = tmp_path / "token"
    token.write_text(house.operator)

    async def verb(*words: str) -> str:
        options = ("--target", f"127.0.0.1:{house.ports.api}", "--token-file", str(token))
        argv = [sys.executable, "-m", "controlplane", "deadletters", *words, *options]
        ran = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    async with letters(house) as stub:
        await house.world.bus.publish(subjects.report("vm-1"), b"bad", "m-1")
        await until(stub, count=1)
        (listed,) = json.loads(await verb("list", "--output", "json"))["deadLetters"]
        assert listed["name"] == NAME
        assert "not now" in await verb("get", "reports.m-1")
        handler.faults.clear()
        assert "replay asked" in await verb("replay", "reports.m-1")
        await until(stub, count=0)
    assert handler.handled == [b"bad"]
