"""Silence: stale after 10 s, lost after 60 s, and every reason not to say so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.host import Host, HostState, HostTrigger
from controlplane.domain.silence import Feed, Silence, Span, feed_after_batch, judge, silence_s

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Silence()
REMEMBER_S = 240.0


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def heard(*spans: tuple[float, float]) -> Feed:
    """Each from so many seconds ago until so many seconds ago."""
    return Feed(heard=tuple(Span(ago(since), ago(until)) for since, until in spans))


FLOWING = heard((10_000, 0))


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
    assert judge((host(silent_s=100),), heard((10_000, 3.5)), NOW, LIMITS) == ()
    assert judge((host(silent_s=100),), Feed(), NOW, LIMITS) == ()


def test_who_was_heard_before_a_long_pause_has_the_grace_to_come_back():
    silent = (host(silent_s=3700),)
    assert judge(silent, heard((10_000, 3700), (129, 0)), NOW, LIMITS) == ()
    assert len(judge(silent, heard((10_000, 3700), (131, 0)), NOW, LIMITS)) == 1


def test_a_pause_is_not_held_against_anybody_and_excuses_for_as_long_again():
    short = heard((10_000, 100), (95, 0))
    assert silence_s(short, ago(110), NOW, LIMITS) == 10 + 95 - 8
    assert silence_s(short, ago(90), NOW, LIMITS) == 90, "who was heard since is not excused"
    again = heard((10_000, 100), (95, 50), (46, 0))
    assert silence_s(again, ago(110), NOW, LIMITS) == 10 + 45 + 46 - 8, "twice is once"


def test_who_was_heard_before_anything_we_know_of_has_the_grace():
    assert silence_s(heard((130, 0)), ago(500), NOW, LIMITS) == 10
    assert silence_s(heard((130, 0)), ago(130), NOW, LIMITS) == 130


def test_each_batch_speaks_for_the_lag_before_it():
    feed = Feed()
    for at in (100, 99, 96, 90, 88, 89):
        feed = feed_after_batch(feed, ago(at), LIMITS, REMEMBER_S)
    assert feed == Feed(last_batch_at=ago(88), gap_ended_at=ago(90), heard=heard((100, 96), (93, 88)).heard)


def test_a_pause_of_ours_after_the_databases_clock_was_put_back_is_held_against_nobody():
    ahead = replace(heard((10_000, -300)), last_batch_at=ago(-300))
    assert judge((host(silent_s=100),), ahead, NOW, LIMITS) == (), "it was put back just now"
    feed = feed_after_batch(ahead, ago(240), LIMITS, REMEMBER_S)
    assert (feed.last_batch_at, feed.heard) == (ago(240), (Span(ago(240), ago(240)),))
    for seconds in (*range(239, 200, -1), *range(80, -1, -1)):
        feed = feed_after_batch(feed, ago(seconds), LIMITS, REMEMBER_S)
    assert feed.heard == (Span(ago(240), ago(201)), Span(ago(83), NOW))
    silent = host(state=HostState.STALE, silent_s=202)
    assert judge((silent,), feed, NOW, LIMITS) == (), "as long again as the pause is to come back in"


def test_a_clock_that_trembles_hides_no_time():
    feed = feed_after_batch(FLOWING, ago(2), LIMITS, REMEMBER_S)
    assert feed.heard == FLOWING.heard


def test_what_replicas_of_the_last_release_write_counts_as_nothing_heard():
    feed = replace(heard((100, 90)), last_batch_at=ago(1))
    assert judge((host(silent_s=100),), feed, NOW, LIMITS) == ()
    assert feed_after_batch(feed, NOW, LIMITS, REMEMBER_S).heard == heard((100, 90), (3, 0)).heard


def test_no_more_is_remembered_than_decides():
    feed = Feed()
    for at in range(5000, 0, -4):
        feed = feed_after_batch(feed, ago(at), LIMITS, REMEMBER_S)
    assert len(feed.heard) == REMEMBER_S / LIMITS.feed_lag_s


Rhythm = list[tuple[int, int]]
LIFE_S = 900


def lives(rhythm: Rhythm, silent_from: int = LIFE_S) -> dict[HostState, int]:
    """When, in seconds, a host came to each state that beats every two seconds until it falls silent. The feed flows
    and pauses in this rhythm, over and over; what is said during a pause is lost."""
    states: dict[HostState, int] = {}
    one, feed = host(silent_s=0), FLOWING
    seconds = cycle(flowing for flow_s, pause_s in rhythm for flowing in [True] * flow_s + [False] * pause_s)
    for at, flowing in enumerate(islice(seconds, LIFE_S), 1):
        now = NOW + timedelta(seconds=at)
        if flowing:
            feed = feed_after_batch(feed, now, LIMITS, REMEMBER_S)
            if at % 2 == 0 and at < silent_from:
                one = replace(one, last_heartbeat_at=now)
        for _, trigger in judge((one,), feed, now, LIMITS):
            one, _ = one.on(trigger, now)
            states.setdefault(one.state, at)
    return states


@pytest.mark.parametrize(
    ("rhythm", "stale_s", "lost_s"),
    [([(1, 0)], 12, 62), ([(56, 4)], 12, 70), ([(16, 4)], 20, 86), ([(5, 5)], 32, 120), ([(1, 4)], 30, 120)],
)
def test_a_silent_host_is_lost_though_the_feed_hiccups_all_the_time(rhythm: Rhythm, stale_s: int, lost_s: int):
    """A grace that began anew with each hiccup had no end."""
    states = lives(rhythm, silent_from=1)
    assert 10 <= states[HostState.STALE] <= stale_s
    assert 60 <= states[HostState.LOST] <= lost_s


pauses = st.one_of(st.integers(0, 12), st.sampled_from([30, 119, 600, 600]))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(3, 40), pauses), min_size=1, max_size=4))
def test_who_beats_while_the_feed_flows_is_never_stale(rhythm: Rhythm):
    assert lives(rhythm) == {}


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
    feed = Feed(heard=tuple(Span(span.since + shift, span.until + shift) for span in FLOWING.heard))
    there = [(h.id, t) for h, t in judge(moved, feed, NOW + shift, LIMITS)]
    assert here == there
