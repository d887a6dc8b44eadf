"""Logs at the API's doors: who may bring lines, who may read them, and how many at once."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterable

import grpc
import pytest
from quarterdeck.v1 import agent_pb2, console_pb2, logs_pb2, logs_pb2_grpc, sessions_pb2

from controlplane.adapters.objects.bucket import Bucket
from controlplane.api.link import APPENDS_EACH
from tests.component.api.agents import Agent, linked
from tests.component.api.plane import WITHIN_S, Caller, Plane, create_session, make_game, make_host
from tests.component.api.refusals import refused

Code = grpc.StatusCode


def request(session: sessions_pb2.Session, first: int, last: int, **fields) -> agent_pb2.AppendLogRequest:
    records = "".join(f"{n}\t{1763715600000 + n}\tstdout\tline {n}\n" for n in range(first, last + 1))
    values = {
        "session_id": session.name.removeprefix("sessions/"),
        "generation": 1,
        "records": gzip.compress(records.encode()),
    }
    return agent_pb2.AppendLogRequest(**{**values, **fields})


async def hosted(api: Plane, operator: Caller, agent: Agent) -> sessions_pb2.Session:
    await make_game(operator)
    session = await create_session(operator)
    await agent.until(lambda: bool(agent.plans and agent.plans[-1].sessions))
    return session


async def test_a_host_brings_the_lines_of_its_own_sessions_only(api: Plane, operator: Caller, player: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        session = await hosted(api, operator, agent)
        answer = await agent.stub.AppendLog(request(session, 1, 3))
        assert answer.acknowledged_sequence == 3
        other = await make_host(api, operator, "vm-2")
        async with linked(api, other, "start-0002") as stranger:
            refusal = await refused(stranger.stub.AppendLog(request(session, 4, 5)))
            assert (refusal.code, refusal.reason) == (Code.PERMISSION_DENIED, "LOG_NOT_YOURS")
        refusal = await refused(agent.stub.AppendLog(request(session, 4, 5, records=b"rubbish")))
        assert (refusal.code, refusal.fields) == (Code.INVALID_ARGUMENT, ("records",))
        refusal = await refused(agent.stub.AppendLog(request(session, 4, 5, session_id="../x")))
        assert (refusal.code, refusal.fields) == (Code.INVALID_ARGUMENT, ("session_id",))
        refusal = await refused(agent.stub.AppendLog(request(session, 4, 5, session_id="s-none")))
        assert refusal.code == Code.NOT_FOUND

    wanted = logs_pb2.ListLogLinesRequest(session=session.name)
    page = await logs_pb2_grpc.LogServiceStub(operator.channel).ListLogLines(wanted)
    assert [(line.sequence, line.text, line.stream) for line in page.lines] == [
        (n, f"line {n}", console_pb2.LOG_STREAM_STDOUT) for n in (1, 2, 3)
    ]
    assert not page.next_page_token
    refusal = await refused(logs_pb2_grpc.LogServiceStub(player.channel).ListLogLines(wanted))
    assert refusal.code == Code.PERMISSION_DENIED


async def test_pages_go_on_and_a_token_of_another_search_is_refused(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        session = await hosted(api, operator, agent)
        await agent.stub.AppendLog(request(session, 1, 9))
    logs = logs_pb2_grpc.LogServiceStub(operator.channel)
    found, token = [], ""
    while True:
        wanted = logs_pb2.ListLogLinesRequest(session=session.name, page_size=4, page_token=token, contains="line")
        page = await logs.ListLogLines(wanted)
        found += [line.sequence for line in page.lines]
        if not page.next_page_token:
            break
        token = page.next_page_token
    assert found == list(range(1, 10))
    wanted = logs_pb2.ListLogLinesRequest(session=session.name, page_token=token, contains="other")
    assert (await refused(logs.ListLogLines(wanted))).fields == ("page_token",)
    reversed_times = logs_pb2.GetLogHistogramRequest(session=session.name)
    reversed_times.start_time.FromSeconds(20)
    reversed_times.end_time.FromSeconds(10)
    assert (await refused(logs.GetLogHistogram(reversed_times))).fields == ("end_time",)


async def test_a_store_that_hangs_leaves_room_for_the_hosts_other_calls(
    api: Plane, operator: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, go = asyncio.Semaphore(0), asyncio.Event()
    put = Bucket.put

    async def hanging(self: Bucket, key: str, content: AsyncIterable[bytes]) -> int:
        waiting.release()
        await go.wait()
        return await put(self, key, content)

    monkeypatch.setattr(Bucket, "put", hanging)
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        session = await hosted(api, operator, agent)
        calls = [asyncio.ensure_future(agent.stub.AppendLog(request(session, 1, 3))) for _ in range(APPENDS_EACH)]
        for _ in calls:
            await waiting.acquire()
        refusal = await refused(agent.stub.AppendLog(request(session, 1, 3)))
        assert (refusal.code, refusal.retry_s) == (Code.RESOURCE_EXHAUSTED, 1.0)
        await agent.stub.FetchSpecs(agent_pb2.FetchSpecsRequest(digests=["0" * 64]))
        go.set()
        answers = await asyncio.gather(*calls)
    assert {answer.acknowledged_sequence for answer in answers} == {3}
    page = await logs_pb2_grpc.LogServiceStub(operator.channel).ListLogLines(
        logs_pb2.ListLogLinesRequest(session=session.name)
    )
    assert [line.sequence for line in page.lines] == [1, 2, 3]


async def test_a_follower_is_given_the_lines_of_an_earlier_generation_first(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        session = await hosted(api, operator, agent)
        await agent.stub.AppendLog(request(session, 1, 3))
        async with api.world.store.tx() as tx:
            row = await tx.sessions.get(session.name.removeprefix("sessions/"))
            assert row is not None
            again, events = row.replaced(await tx.now(), "its host was lost")
            await tx.sessions.save(again)
            await tx.outbox.append(events)
        followed = logs_pb2_grpc.LogServiceStub(operator.channel).FollowLogs(
            logs_pb2.FollowLogsRequest(session=session.name)
        )
        await agent.until(lambda: bool(agent.opened))
        opened = agent.opened[-1]
        assert (opened.generation, opened.console.after_sequence) == (2, 0)
        printed = console_pb2.ConsoleOutput(lines=[console_pb2.ConsoleLine(sequence=1, text="again")])
        await agent.send(signal=agent_pb2.ChannelSignal(channel_id=opened.channel_id, console_output=printed))
        found: list[tuple[int, int]] = []
        async with asyncio.timeout(WITHIN_S):
            while (2, 1) not in found:
                found += [(line.generation, line.sequence) for line in (await followed.read()).lines]
        followed.cancel()
    assert found == [(1, 1), (1, 2), (1, 3), (2, 1)]
