"""What the bitrate does with what receivers report."""

from hypothesis import given
from hypothesis import strategies as st

from wrapper.stream.rate import (
    COSTLY_CHANGE,
    DOWN_SPACING_S,
    UP_SPACING_S,
    Feedback,
    Limits,
    Rate,
    after,
    start,
)

LIMITS = Limits(min_kbps=500, max_kbps=8000)


def feed(rate: Rate, feedback: Feedback, seconds: int, costly: bool = False, at_s: float = 0.0) -> list[Rate]:
    history = []
    for second in range(seconds):
        rate = after(rate, feedback, at_s + second, LIMITS, costly)
        history.append(rate)
    return history


def test_quiet_paths_rise_to_the_most_and_no_further() -> None:
    history = feed(start(2000), Feedback(0.0, 20.0), 60)
    targets = [rate.target_kbps for rate in history]
    assert targets == sorted(targets)
    assert 0.97 * 8000 <= targets[-1] <= 8000


def test_loss_lowers_at_once_and_never_below_the_least() -> None:
    first, *_, last = feed(start(4000), Feedback(0.5, 20.0), 30)
    assert first.target_kbps == 3000
    assert last.target_kbps == 500


def test_a_little_loss_changes_nothing() -> None:
    assert feed(start(4000), Feedback(0.05, 20.0), 30)[-1].target_kbps == 4000


def test_a_filling_queue_lowers_without_any_loss() -> None:
    known = feed(start(4000), Feedback(0.05, 20.0), 2)[-1]
    assert feed(known, Feedback(0.0, 400.0), 3, at_s=2.0)[-1].target_kbps < 3000


def test_a_far_player_is_no_queue() -> None:
    assert feed(start(4000), Feedback(0.0, 250.0), 10)[-1].target_kbps > 4000


reports = st.builds(Feedback, st.floats(0, 1), st.none() | st.floats(0.1, 2000))
gaps = st.floats(0, 5)


@given(st.lists(st.tuples(reports, gaps), max_size=60), st.booleans())
def test_always_within_limits_and_never_hasty(history: list[tuple[Feedback, float]], costly: bool) -> None:
    rate, now_s, changed_s = start(4000), 0.0, None
    for feedback, gap_s in history:
        now_s += gap_s
        before, rate = rate, after(rate, feedback, now_s, LIMITS, costly)
        assert LIMITS.min_kbps <= rate.target_kbps <= LIMITS.max_kbps
        if rate.target_kbps != before.target_kbps:
            rising = rate.target_kbps > before.target_kbps
            if changed_s is not None:
                assert now_s - changed_s >= (UP_SPACING_S if costly and rising else DOWN_SPACING_S)
            if costly:
                # Rounded to whole kbit/s.
                assert abs(rate.target_kbps / before.target_kbps - 1) >= COSTLY_CHANGE - 1 / LIMITS.min_kbps
            changed_s = now_s
