"""When what has died is started again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controlplane.supervise.restarts import LONGEST_DELAY_S, STAYED_UP_S, Backoff


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def test_delays_double_and_a_long_life_starts_over() -> None:
    backoff = Backoff(middle)
    assert [round(backoff.next_delay_s(0.01), 2) for _ in range(5)] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert round(backoff.next_delay_s(STAYED_UP_S), 2) == 0.1
    assert round(backoff.next_delay_s(1), 2) == 0.2


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200), st.floats(0.5, 1.5))
def test_no_delay_is_ever_negative_or_longer_than_promised(uptimes: list[float], draw: float) -> None:
    backoff = Backoff(lambda _low, _high: draw)
    assert all(0 < backoff.next_delay_s(uptime) <= LONGEST_DELAY_S for uptime in uptimes)
