"""Silence: when a host that says nothing is stale, and when it is lost.

Only time in which we listened is held against anybody: how much that was is told by the feed of heartbeats as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from controlplane.domain.host import Host, HostState, HostTrigger

NOTHING = timedelta()


@dataclass(frozen=True)
class Silence:
    """The limits on a host's silence, and on what a pause of the feed excuses; in seconds."""

    stale_after_s: float = 10.0
    lost_after_s: float = 60.0
    restart_grace_s: float = 120.0
    feed_lag_s: float = 3.0
    brake_hosts: int = 10
    brake_fraction: float = 0.5
    brake_window_s: float = 60.0

    @property
    def lag(self) -> timedelta:
        return timedelta(seconds=self.feed_lag_s)


@dataclass(frozen=True)
class Span:
    """Of time."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class Feed:
    """How the heartbeats as a whole arrive.

    Each batch speaks for the `feed_lag_s` before it, and these add up to the spans in `heard`, oldest first. Between
    two lies a pause, in which nobody wrote a batch: it is ours, not the hosts'. `gap_ended_at` is written for replicas
    of the last release, whose batches count as none here."""

    last_batch_at: datetime | None = None
    gap_ended_at: datetime | None = None
    heard: tuple[Span, ...] = ()


def feed_after_batch(feed: Feed, now: datetime, limits: Silence, remember_s: float) -> Feed:
    """The feed after a batch written at `now`. Forgets what was heard before the last `remember_s` seconds of it,
    and all that tells of times to come, where the database's clock was put back by more than the lag."""
    last = feed.last_batch_at or now
    late = abs(now - last) > limits.lag
    return Feed(
        last_batch_at=now if late else max(now, last),
        gap_ended_at=now if late else feed.gap_ended_at,
        heard=_recent(_heard(feed.heard, now, limits.lag), timedelta(seconds=remember_s)),
    )


def _heard(before: tuple[Span, ...], now: datetime, lag: timedelta) -> tuple[Span, ...]:
    if not before or before[-1].until - now > lag:
        return (Span(now, now),)
    *earlier, last = before
    if now - last.until > lag:
        return (*before, Span(now - lag, now))
    return (*earlier, replace(last, until=max(last.until, now)))


def _recent(heard: tuple[Span, ...], enough: timedelta) -> tuple[Span, ...]:
    total = NOTHING
    for first in reversed(range(len(heard))):
        total += heard[first].until - heard[first].since
        if total >= enough:
            return heard[first:]
    return heard


def listening(feed: Feed, now: datetime, limits: Silence) -> bool:
    """Whether we hear what hosts say."""
    return bool(feed.heard) and abs(now - feed.heard[-1].until) <= limits.lag


def silence_s(feed: Feed, since: datetime, now: datetime, limits: Silence) -> float:
    """How much of the time from `since` to `now` is held against one that has said nothing in it, while we listen.

    Pauses are not. And who has to come back after one has as long for it as the longest took, `restart_grace_s` at
    most: once, however many there were, so that pauses that come again and again excuse nobody for ever."""
    heard, pause = NOTHING, NOTHING
    grace = timedelta(seconds=limits.restart_grace_s)
    for span in feed.heard:
        until = now if span is feed.heard[-1] else span.until
        heard += max(NOTHING, until - max(span.since, since))
    for before, after in pairwise(feed.heard):
        if after.since > since:
            pause = max(pause, after.since - before.until + limits.lag)
    if not feed.heard or since < feed.heard[0].since:
        pause = grace  # of the pause before the first span, the length is not known
    return max(NOTHING, heard - min(pause, grace)).total_seconds()


def judge(hosts: tuple[Host, ...], feed: Feed, now: datetime, limits: Silence) -> tuple[tuple[Host, HostTrigger], ...]:
    """Which hosts became stale or lost by `now` (the database's clock). Pure; changes nothing.

    Nobody is judged while the feed lags. From `brake_hosts` hosts up, if `brake_fraction` of them went stale within
    `brake_window_s`, nobody is declared lost: the fault is ours (I17)."""
    if not listening(feed, now, limits):
        return ()

    def silent(host: Host, limit_s: float) -> bool:
        since = host.last_heartbeat_at
        if since is None or now - since <= timedelta(seconds=limit_s):
            return False
        return silence_s(feed, since, now, limits) > limit_s

    live = [host for host in hosts if host.state in (HostState.ONLINE, HostState.STALE)]
    newly_silent = [h for h in live if h.state == HostState.ONLINE and silent(h, limits.stale_after_s)]
    window = now - timedelta(seconds=limits.brake_window_s)
    stale_lately = len(newly_silent) + sum(
        1 for h in live if h.state == HostState.STALE and h.state_since is not None and h.state_since > window
    )
    verdicts = [(host, HostTrigger.SILENT) for host in newly_silent]
    if len(live) < limits.brake_hosts or stale_lately < limits.brake_fraction * len(live):
        lost = (h for h in live if h.state == HostState.STALE and silent(h, limits.lost_after_s))
        verdicts.extend((host, HostTrigger.LOST) for host in lost)
    return tuple(verdicts)
