"""Which bitrate a path can take, from what receivers report. Pure: feedback in, kbit/s out.

Loss and a growing round trip lower it at once, quiet raises it slowly. An encoder whose change of bitrate costs a
keyframe changes seldom and only for much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

LOSS_HIGH = 0.10
LOSS_LOW = 0.02
RISE_PER_S = 0.08
QUEUE_MS = 120.0
"""A round trip this much over the best one means that a queue is filling on the way."""
DOWN_SPACING_S = 1.0
UP_SPACING_S = 5.0
COSTLY_CHANGE = 0.15
CHEAP_CHANGE = 0.03


@dataclass(frozen=True)
class Limits:
    """kbit/s that the preset allows."""

    min_kbps: int
    max_kbps: int


@dataclass(frozen=True)
class Feedback:
    """One receiver report: the fraction lost since the last one (0..1) and the round trip, where known."""

    fraction_lost: float
    round_trip_ms: float | None = None


@dataclass(frozen=True)
class Rate:
    """What the path is believed to take (`estimate_kbps`) and what the encoder was told (`target_kbps`)."""

    estimate_kbps: float
    target_kbps: int
    best_round_trip_ms: float | None = None
    updated_s: float | None = None
    changed_s: float | None = None


def start(kbps: int) -> Rate:
    return Rate(float(kbps), kbps)


def after(rate: Rate, feedback: Feedback, now_s: float, limits: Limits, costly: bool) -> Rate:
    """The rate after one report. `costly`: a change costs a keyframe (NVENC through FFmpeg)."""
    best = rate.best_round_trip_ms
    if feedback.round_trip_ms is not None:
        best = feedback.round_trip_ms if best is None else min(best, feedback.round_trip_ms)
    queueing = best is not None and feedback.round_trip_ms is not None and feedback.round_trip_ms > 2 * best + QUEUE_MS
    elapsed_s = 0.0 if rate.updated_s is None else min(1.0, max(0.0, now_s - rate.updated_s))
    estimate = rate.estimate_kbps
    if feedback.fraction_lost > LOSS_HIGH:
        # RFC draft-ietf-rmcat-gcc, 6: As(1 - 0.5 p).
        estimate *= 1.0 - 0.5 * feedback.fraction_lost
    elif queueing:
        estimate *= 0.85
    elif feedback.fraction_lost < LOSS_LOW:
        estimate *= 1.0 + RISE_PER_S * elapsed_s
    estimate = min(float(limits.max_kbps), max(float(limits.min_kbps), estimate))
    return _settle(replace(rate, estimate_kbps=estimate, best_round_trip_ms=best, updated_s=now_s), now_s, costly)


def _settle(rate: Rate, now_s: float, costly: bool) -> Rate:
    """Moves the target to the estimate when the difference is worth its price."""
    difference = rate.estimate_kbps / rate.target_kbps - 1.0
    if abs(difference) < (COSTLY_CHANGE if costly else CHEAP_CHANGE):
        return rate
    spacing_s = DOWN_SPACING_S if difference < 0 else UP_SPACING_S if costly else DOWN_SPACING_S
    if rate.changed_s is not None and now_s - rate.changed_s < spacing_s:
        return rate
    return replace(rate, target_kbps=round(rate.estimate_kbps), changed_s=now_s)
