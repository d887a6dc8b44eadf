"""Silence: stale after 10 s, lost after 60 s, and every reason not to say so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.host import Feed, Host, HostState, HostTrigger, Silence, feed_after_batch, judge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Silence()
FLOWING = Feed(last_batch_at=NOW)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def host(name: str = "a", state: HostState = HostState.ONLINE, silent_s: float = 0.0, since_s: float = 1000.0) -> Host:
    return Host(name, "p", state, epoch=1, last_heartbeat_at=ago(silent_s), state_since=ago(since_s))


def test_a_host_is_stale_after_ten_seconds_of_silence_and_not_before():
    assert judge((host(silent_s=9.9),), FLOWING, NOW, LIMITS) == ()
    assert judge((host(silent_s=10.1),), FLOWING, NOW, LIMITS) == ((host(silent_s=10.1), HostTrigger.SILENT),)


def test_a_stale_host_is_lost_after_sixty_seconds():
    stale = host(state=HostState.STALE, silent_s=59)
    assert judge((stale,), FLOWING, NOW, LIMITS) == ()
    lost = host(state=HostState.STALE, silent_s=61)
    assert judge((lost,), FLOWING, NOW, LIMITS) == ((lost, HostTrigger.LOST),)


def test_a_host_never_goes_from_online_to_lost_in_one_step():
    assert [t for _, t in judge((host(silent_s=1000),), FLOWING, NOW, LIMITS)] == [HostTrigger.SILENT]


def test_nobody_is_judged_while_the_feed_lags():
    assert judge((host(silent_s=100),), Feed(last_batch_at=ago(3.5)), NOW, LIMITS) == ()
    assert judge((host(silent_s=100),), Feed(), NOW, LIMITS) == ()


def test_nobody_is_judged_within_the_grace_after_a_gap():
    silent = (host(silent_s=100),)
    assert judge(silent, Feed(last_batch_at=NOW, gap_ended_at=ago(119)), NOW, LIMITS) == ()
    assert len(judge(silent, Feed(last_batch_at=NOW, gap_ended_at=ago(121)), NOW, LIMITS)) == 1


def test_a_gap_in_the_feed_is_noticed_by_the_batch_that_ends_it():
    assert feed_after_batch(Feed(), NOW, LIMITS) == Feed(last_batch_at=NOW, gap_ended_at=None)
    flowing = feed_after_batch(Feed(last_batch_at=ago(1)), NOW, LIMITS)
    assert flowing.gap_ended_at is None
    assert feed_after_batch(Feed(last_batch_at=ago(30)), NOW, LIMITS).gap_ended_at == NOW


def test_when_half_of_ten_hosts_go_stale_within_a_minute_nobody_is_lost():
    going = tuple(host(f"h{i}", HostState.STALE, silent_s=100, since_s=30) for i in range(5))
    fine = tuple(host(f"g{i}") for i in range(5))
    assert judge(going + fine, FLOWING, NOW, LIMITS) == ()
    assert len(judge(going[:4] + fine + (host("x"),), FLOWING, NOW, LIMITS)) == 4
    assert len(judge(going + fine[:4], FLOWING, NOW, LIMITS)) == 5, "below ten hosts there is no brake"


@given(
    silences=st.lists(st.tuples(st.sampled_from(list(HostState)), st.floats(0, 500), st.floats(0, 500)), max_size=30),
    skew_s=st.floats(-7200, 7200),
)
def test_the_verdict_does_not_depend_on_where_the_clock_stands(silences, skew_s):
    hosts = tuple(host(f"h{i}", *facts) for i, facts in enumerate(silences))
    shift = timedelta(seconds=skew_s)
    moved = tuple(
        replace(h, last_heartbeat_at=h.last_heartbeat_at + shift, state_since=h.state_since + shift) for h in hosts
    )
    here = [(h.id, t) for h, t in judge(hosts, FLOWING, NOW, LIMITS)]
    there = [(h.id, t) for h, t in judge(moved, Feed(last_batch_at=NOW + shift), NOW + shift, LIMITS)]
    assert here == there
