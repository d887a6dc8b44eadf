"""When a delivery is settled, when it is tried again, and how long it waits."""

from __future__ import annotations

import pytest

from controlplane.adapters.bus.redelivery import MAX_TRIES, Backoff, attempt
from controlplane.domain.errors import Conflict, InvalidRequest, NotFound, Unavailable, WrongState
from controlplane.interfaces import Delivery


async def settle(number: int, error: Exception | None, grave: Exception | None = None):
    """(delay, buried) of one try."""
    buried: list[Exception] = []

    async def handler(delivery: Delivery) -> None:
        if error is not None:
            raise error

    async def bury(delivery: Delivery, why: Exception) -> None:
        if grave is not None:
            raise grave
        buried.append(why)

    delay_s = await attempt(Delivery("id", "subject", b"", number), handler, bury, Backoff())
    return delay_s, buried


PASSING = [Conflict("LOST_RACE", "again"), Unavailable("DATABASE_AWAY", "later"), KeyError("a mistake of ours")]
FOR_EVER = [InvalidRequest("BAD", "no"), NotFound("GONE", "no"), WrongState("OVER", "no")]


@pytest.mark.parametrize("number", range(1, 8))
async def test_what_is_handled_is_settled(number):
    assert await settle(number, None) == (None, [])


@pytest.mark.parametrize("error", PASSING, ids=repr)
async def test_what_may_pass_is_tried_five_times(error):
    assert [await settle(number, error) for number in range(1, MAX_TRIES)] == [
        (Backoff().delay_s(number), []) for number in range(1, MAX_TRIES)
    ]
    assert await settle(MAX_TRIES, error) == (None, [error])


@pytest.mark.parametrize("error", FOR_EVER, ids=repr)
async def test_what_can_never_pass_is_buried_at_once(error):
    assert await settle(1, error) == (None, [error])


async def test_without_its_dead_letter_it_stays():
    delay_s, buried = await settle(7, KeyError("a mistake"), grave=Unavailable("DATABASE_AWAY", "later"))
    assert delay_s == Backoff().delay_s(7)
    assert buried == []


def test_waits_grow_to_a_bound():
    delays = [Backoff().delay_s(number) for number in range(1, 2000)]
    assert delays == sorted(delays)
    assert delays[0] == 0.1
    assert delays[-1] == 10.0
