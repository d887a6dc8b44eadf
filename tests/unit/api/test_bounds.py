"""I18 as models: nothing waits beyond its bound; whoever is cut off, wherever that is, loses and doubles nothing."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from quarterdeck.v1 import events_pb2

from controlplane.adapters.bus.hints import Feed
from controlplane.adapters.bus.memory import MemoryBus
from controlplane.api import identity
from controlplane.api.events import EventServicer
from controlplane.api.mailbox import Mailbox
from controlplane.domain.errors import Exhausted
from controlplane.domain.events import Event, EventDraft
from controlplane.domain.identity import Principal, Role

LIMIT = 4


class MailboxModel(RuleBasedStateMachine):
    """A reader gets what was put, in order and without a gap, until the one reason for which it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.box: Mailbox[int] = Mailbox(LIMIT, "the reader")
        self.waiting: list[int] = []
        self.count = 0
        self.cut = False
        self.ended = False

    @rule()
    def put(self) -> None:
        self.box.put(self.count)
        if not self.box.over:
            self.waiting.append(self.count)
        elif not self.ended:
            assert len(self.waiting) == LIMIT
            self.cut = self.ended = True
        self.count += 1

    @rule()
    def end(self) -> None:
        self.box.end()
        self.ended = True

    @precondition(lambda self: self.waiting or self.ended)
    @rule()
    def read(self) -> None:
        if self.cut:
            with pytest.raises(Exhausted) as cut:
                asyncio.run(self.box.next())
            assert cut.value.details["retry_after_s"]
        else:
            assert asyncio.run(self.box.next()) == (self.waiting.pop(0) if self.waiting else None)

    @invariant()
    def bounded(self) -> None:
        assert len(self.box._items) <= LIMIT
        assert self.box.over == self.ended


TestMailbox = MailboxModel.TestCase


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_a_feed_of_hints_keeps_the_newest_and_counts_the_rest(steps: list[bool], length: int) -> None:
    feed, put, got = Feed("quarterdeck.hint.x", length=length), 0, list[int]()

    async def read() -> int:
        return int((await anext(feed))[1])

    for is_put in steps:
        if is_put:
            feed.put("quarterdeck.hint.x", str(put).encode())
            put += 1
        elif len(got) + feed.lost < put:
            got.append(asyncio.run(read()))
    waiting = put - len(got) - feed.lost
    assert 0 <= waiting <= length
    assert got == sorted(set(got))


WORDS = ("quarterdeck.vm.ready", "quarterdeck.host.online", "quarterdeck.session.running")
Visit = tuple[int, bool]
# Of the event loop: in memory, what has not come by then waits for another event.
TURNS = 5


@given(
    st.lists(st.sampled_from(WORDS), max_size=25),
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=8),
    st.sampled_from([(), ("quarterdeck.vm",), ("quarterdeck.host", "quarterdeck.session.running")]),
)
def test_however_often_a_watcher_is_cut_off_its_tokens_lose_and_double_nothing(
    words: list[str], visits: list[Visit], types: tuple[str, ...]
) -> None:
    """A visit reads at most that many messages, and events are told before and after it."""
    wanted = [f"e-{n}" for n, word in enumerate(words) if not types or word.startswith(types)]
    assert asyncio.run(_seen(words, visits, types)) == wanted


async def _seen(words: list[str], visits: list[Visit], types: tuple[str, ...]) -> list[str]:
    seen: list[str] = []
    left = list(enumerate(words))
    async with MemoryBus() as bus:
        servicer, token = EventServicer(cast(Any, SimpleNamespace(bus=bus))), await bus.resume_token()
        for limit, bookmarks in (*visits, (len(words) + 1, False)):
            share = limit if len(left) > limit and limit < len(words) else len(left)
            for number, word in left[:share]:
                draft = EventDraft(word, "default", "vms/v", number, {})
                await bus.publish_event(Event(f"e-{number}", datetime.now(UTC), draft))
            left = left[share:]
            request = events_pb2.WatchEventsRequest(types=types, resume_token=token, bookmarks=bookmarks)
            token = await _visit(servicer, request, limit, seen)
    return seen


async def _visit(servicer: EventServicer, request: events_pb2.WatchEventsRequest, limit: int, seen: list[str]) -> str:
    """Where the parting word says to go on, after `limit` messages or when there are no more."""
    identity.enter(identity.Caller("r", Principal("default", "watcher", Role.OPERATOR)))
    async with aclosing(cast(Any, servicer.WatchEvents(request, None))) as messages:
        for _ in range(limit):
            reading = asyncio.ensure_future(anext(messages))
            for _ in range(TURNS):
                await asyncio.sleep(0)
            if not reading.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                break
            if event_id := reading.result().event_id:
                seen.append(event_id)
    return identity.parting().get("resume_token", request.resume_token)
