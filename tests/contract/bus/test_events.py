"""A project's events: from now on, or from where a resume token left off."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from controlplane.domain.errors import InvalidRequest, NotFound, Unavailable
from controlplane.domain.events import Event, EventDraft

PATIENCE_S = 30


def event(number: int, project: str = "default") -> Event:
    facts = {"state": "RUNNING", "generation": number, "share": 0.5, "unreachable": False, "gone": None}
    draft = EventDraft("quarterdeck.session.running", project, f"sessions/s-{number}", number, facts)
    return Event(f"e-{project}-{number}", datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), draft)


async def take(bus, count: int, token: str, project: str = "default") -> list[tuple[Event, str]]:
    async with asyncio.timeout(PATIENCE_S), aclosing(bus.events(project, token)) as events:
        return [await anext(events) for _ in range(count)]


async def test_an_event_arrives_as_it_was_told_and_only_in_its_project(house):
    bus, other = await house.bus(), await house.bus()
    start = await bus.resume_token()
    await bus.publish_event(event(1))
    await bus.publish_event(event(2, "elsewhere"))
    await bus.publish_event(event(3))
    assert [told for told, _ in await take(other, 2, start)] == [event(1), event(3)]
    assert [told for told, _ in await take(other, 1, start, "elsewhere")] == [event(2, "elsewhere")]


async def test_the_same_event_twice_is_told_once(house):
    bus = await house.bus()
    start = await bus.resume_token()
    for number in (1, 1, 2):
        await bus.publish_event(event(number))
    assert [told for told, _ in await take(bus, 2, start)] == [event(1), event(2)]


async def test_each_event_can_be_resumed_after(house):
    bus = await house.bus()
    start = await bus.resume_token()
    for number in range(1, 6):
        await bus.publish_event(event(number))
    all_five = await take(bus, 5, start)
    for position, (_, token) in enumerate(all_five[:-1]):
        assert await take(bus, 4 - position, token) == all_five[position + 1 :]


async def test_without_a_token_only_what_is_new(house):
    bus = await house.bus()
    await bus.publish_event(event(1))
    async with asyncio.timeout(PATIENCE_S), aclosing(bus.events("default", "")) as events:
        reading = asyncio.ensure_future(anext(events))
        number = 2
        # A reader without a token starts some time after it asked: it is told until it hears.
        while not reading.done():
            await bus.publish_event(event(number))
            number += 1
            await asyncio.wait({reading}, timeout=0.05)
        told, _ = await reading
    assert told.draft.subject_version > 1


async def test_a_waiting_reader_hears_at_once_and_in_order(house):
    bus = await house.bus()
    token = await bus.resume_token()
    async with asyncio.timeout(PATIENCE_S), aclosing(bus.events("default", token)) as events:
        for number in range(1, 200):
            reading = asyncio.ensure_future(anext(events))
            await bus.publish_event(event(number))
            told, _ = await reading
            assert told == event(number)


async def test_a_slow_reader_loses_nothing_and_delays_nobody(house):
    bus = await house.bus()
    start = await bus.resume_token()
    async with asyncio.timeout(PATIENCE_S), aclosing(bus.events("default", start)) as slow:
        await bus.publish_event(event(0))
        await anext(slow)
        for number in range(1, 300):
            await bus.publish_event(event(number))
        assert len(await take(bus, 300, start)) == 300
        assert [(await anext(slow))[0] for _ in range(299)] == [event(number) for number in range(1, 300)]


async def test_a_reader_rides_through_a_killed_broker(house):
    bus = await house.bus()
    start = await bus.resume_token()
    async with asyncio.timeout(PATIENCE_S), aclosing(bus.events("default", start)) as events:
        await bus.publish_event(event(1))
        assert (await anext(events))[0] == event(1)
        reading = asyncio.ensure_future(anext(events))
        await house.kill()
        await house.restart()
        await bus.publish_event(event(2))
        assert (await reading)[0] == event(2)


async def test_a_token_outlives_a_restart_but_not_the_stream(house):
    bus = await house.bus()
    start = await bus.resume_token()
    for number in (1, 2):
        await bus.publish_event(event(number))
    (_, token), _ = await take(bus, 2, start)
    await house.kill()
    await house.restart()
    assert (await take(bus, 1, token))[0][0] == event(2)
    await house.wipe()
    await bus.publish_event(event(3))
    with pytest.raises(NotFound) as refused:
        await take(bus, 1, token)
    assert refused.value.reason == "RESUME_TOKEN_EXPIRED"


async def test_a_token_expires_when_an_event_after_it_is_gone(house):
    bus = await house.bus()
    tokens = [await bus.resume_token()]
    for number in range(1, 6):
        await bus.publish_event(event(number))
    tokens += [token for _, token in await take(bus, 5, tokens[0])]
    await house.forget(before_sequence=4)
    for gone in tokens[:3]:
        with pytest.raises(NotFound) as refused:
            await take(bus, 1, gone)
        assert refused.value.reason == "RESUME_TOKEN_EXPIRED"
    assert [told for told, _ in await take(bus, 2, tokens[3])] == [event(4), event(5)]


@pytest.mark.parametrize("token", ["x", "0123456789abcdef", "0123456789abcdef.-1", "0123456789abcdef.1\n", "." * 300])
async def test_a_made_up_token_is_refused_by_name(house, token):
    bus = await house.bus()
    with pytest.raises(InvalidRequest) as refused:
        await take(bus, 1, token)
    assert (refused.value.reason, refused.value.field) == ("RESUME_TOKEN_INVALID", "resume_token")


async def test_a_project_is_no_wildcard(house):
    bus = await house.bus()
    with pytest.raises(InvalidRequest):
        await take(bus, 1, "", project="*")


async def test_without_a_broker_there_is_nothing_to_start_from(house):
    bus = await house.bus(patience_s=0.2)
    await house.kill()
    with pytest.raises(Unavailable):
        await take(bus, 1, "")
