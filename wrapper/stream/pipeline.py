"""One thread that turns pictures into H.264 and hands them to the event loop; the loop never encodes.

Only new pictures are encoded, but at least a few a second, so that a still picture sharpens and a lost one is
repaired. With nobody watching only the first is: encoding for nobody costs the game its processor.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from wrapper.stream.encoder import CLOCK_RATE, Encoder, EncoderError
from wrapper.stream.source import Captured, Source, SourceError

REFRESH_S = 0.5
KEYFRAME_SPACING_S = 0.3
"""Keyframes on request come no closer than this: one serves all who ask, and floods of requests cost nothing."""
_FIGURES_WINDOW_S = 1.0
FAILED = "the wrapper failed; its log says how"
log = structlog.get_logger()


@dataclass(frozen=True)
class Frame:
    """One encoded picture on its way to the browsers; `drawn_ns` is CLOCK_MONOTONIC."""

    data: bytes
    pts: int
    key: bool
    drawn_ns: int


@dataclass(frozen=True)
class EncodeFigures:
    """Over the last second."""

    fps: float
    encode_ms: float
    bitrate_kbps: int


class Pipeline:
    """Runs from start() to close(); `deliver` and `broken` are called in the pipeline's thread."""

    def __init__(
        self, source: Source, encoder: Encoder, deliver: Callable[[Frame], None], broken: Callable[[str], None]
    ) -> None:
        self._source = source
        self._encoder = encoder
        self._deliver = deliver
        self._broken = broken
        self._closing = threading.Event()
        self._keyframe_wanted = threading.Event()
        self._watched = threading.Event()
        self._bitrate_kbps: int | None = None
        self._last_key_s = -1.0
        self._last_encode_s = -1.0
        self._last_pts = -1
        self._recent: deque[tuple[float, float, int]] = deque()
        self._recent_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def request_keyframe(self) -> None:
        self._keyframe_wanted.set()
        self._source.wake()

    def set_watched(self, watched: bool) -> None:
        """Whether anybody sees the pictures."""
        if watched:
            self._watched.set()
        else:
            self._watched.clear()

    def set_bitrate(self, kbps: int) -> None:
        """From the next picture on."""
        self._bitrate_kbps = kbps

    def figures(self) -> EncodeFigures:
        cut_s = time.monotonic() - _FIGURES_WINDOW_S
        with self._recent_lock:
            while self._recent and self._recent[0][0] < cut_s:
                self._recent.popleft()
            samples = list(self._recent)
        if not samples:
            return EncodeFigures(0.0, 0.0, 0)
        return EncodeFigures(
            fps=len(samples) / _FIGURES_WINDOW_S,
            encode_ms=sum(sample[1] for sample in samples) / len(samples),
            bitrate_kbps=round(sum(sample[2] for sample in samples) * 8 / 1000 / _FIGURES_WINDOW_S),
        )

    def close(self) -> None:
        """Blocks until the thread has ended; call it off the event loop."""
        self._closing.set()
        self._source.wake()
        if self._thread.is_alive():
            self._thread.join()
        self._source.close()
        self._encoder.close()

    def _run(self) -> None:
        """However it ends, it is heard of: a thread that died alone would leave its last picture standing."""
        try:
            self._turn_pictures()
        except (EncoderError, SourceError) as error:
            self._tell_broken(str(error))
        except Exception:
            log.exception("the pipeline failed")
            self._tell_broken(FAILED)

    def _turn_pictures(self) -> None:
        newest: Captured | None = None
        while not self._closing.is_set():
            fresh = self._source.next(self._patience_s())
            newest = fresh or newest
            if newest is not None and self._due(fresh is not None):
                self._encode(newest, fresh is not None)

    def _tell_broken(self, why: str) -> None:
        if not self._closing.is_set():
            self._broken(why)

    def _patience_s(self) -> float:
        if self._keyframe_wanted.is_set():
            return max(0.001, self._last_key_s + KEYFRAME_SPACING_S - time.monotonic())
        return REFRESH_S

    def _key_due(self) -> bool:
        return self._keyframe_wanted.is_set() and time.monotonic() - self._last_key_s >= KEYFRAME_SPACING_S

    def _due(self, fresh: bool) -> bool:
        first = self._last_encode_s < 0
        if first or (self._watched.is_set() and (fresh or self._key_due())):
            return True
        return self._watched.is_set() and time.monotonic() - self._last_encode_s >= REFRESH_S

    def _encode(self, captured: Captured, fresh: bool) -> None:
        if self._bitrate_kbps is not None:
            self._encoder.set_bitrate(self._bitrate_kbps)
            self._bitrate_kbps = None
        key = self._last_encode_s < 0 or self._key_due()
        if key:
            self._keyframe_wanted.clear()
        started_s = time.monotonic()
        drawn_ns = captured.drawn_ns if fresh else time.monotonic_ns()
        pts = max(self._last_pts + 1, drawn_ns * CLOCK_RATE // 1_000_000_000)
        encoded = self._encoder.encode(captured.frame, pts, key)
        if encoded is None:
            return
        ended_s = time.monotonic()
        self._last_pts, self._last_encode_s = pts, ended_s
        if encoded.key:
            self._last_key_s = ended_s
        with self._recent_lock:
            self._recent.append((ended_s, (ended_s - started_s) * 1000, len(encoded.data)))
        self._deliver(Frame(encoded.data, pts, encoded.key, captured.drawn_ns))
