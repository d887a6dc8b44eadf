"""A mailbox never makes a writer wait, and its reader learns why it ended."""

from __future__ import annotations

import asyncio

import pytest

from controlplane.api.links import HostLink, verdict
from controlplane.api.mailbox import Mailbox
from controlplane.domain.errors import Conflict, Exhausted, Forbidden, WrongState
from controlplane.domain.host import LinkState


async def test_items_come_in_order_and_then_the_end() -> None:
    box: Mailbox[int] = Mailbox(3, "the reader")
    for item in (1, 2, 3):
        box.put(item)
    box.end()
    box.put(4)
    assert [await box.next() for _ in range(4)] == [1, 2, 3, None]


async def test_an_error_overtakes_what_waits() -> None:
    box: Mailbox[int] = Mailbox(3, "the reader")
    box.put(1)
    box.end(Conflict("NEWER", "newer"))
    box.end(WrongState("LATER", "later"))
    with pytest.raises(Conflict):
        await box.next()


async def test_a_slow_reader_is_cut_off() -> None:
    box: Mailbox[int] = Mailbox(2, "the reader")
    for item in (1, 2, 3):
        box.put(item)
    with pytest.raises(Exhausted, match="the reader reads too slowly"):
        await box.next()


async def test_a_waiting_reader_wakes() -> None:
    box: Mailbox[int] = Mailbox(2, "the reader")
    waiting = asyncio.create_task(box.next())
    await asyncio.sleep(0)
    box.put(7)
    assert await waiting == 7
    waiting = asyncio.create_task(box.next())
    await asyncio.sleep(0)
    box.end()
    assert await waiting is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (LinkState(2, 0, "mine", False, 1), None),
        (LinkState(2, 0, "theirs", False, 1), Conflict),
        (LinkState(3, 0, "theirs", False, 1), WrongState),
        (LinkState(2, 0, "mine", True, 1), Forbidden),
        (None, Forbidden),
    ],
)
def test_when_a_link_must_end(state: LinkState | None, expected: type[Exception] | None) -> None:
    link = HostLink("vm-1", 2, "mine", Mailbox(1, "this agent"))
    found = verdict(link, state)
    assert (type(found) if found else None) is expected
