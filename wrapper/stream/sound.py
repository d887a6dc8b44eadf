"""One thread that turns the game's sound into Opus, once for all who listen.

The pipe is read at the pace at which it is heard, whoever fills it and however unevenly. Silence is not sent, and with
nobody listening nothing is encoded.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import structlog

from wrapper import sdk
from wrapper.stream.pipeline import FAILED

FRAME_MS = 20
"""10 ms cost almost twice the processor and were heard no earlier: browsers hold sound back for longer than that."""
_FRAME_NS = FRAME_MS * 1_000_000
FRAME_SAMPLES = sdk.SOUND_RATE * FRAME_MS // 1000
FRAME_BYTES = FRAME_SAMPLES * sdk.SAMPLE_BYTES
SILENCE = bytes(FRAME_BYTES)
BITRATE_KBPS = 128
# Silence that is sent after the last sound; its end is a packet that says so (RFC 6716, 3.1: full band, 20 ms, stereo,
# no data). A decoder that only hears no more would make something up.
_REST_FRAMES = 5
_NOTHING = b"\xfc"
_BACKLOG_FRAMES = 4
_BACKLOG_BYTES = _BACKLOG_FRAMES * FRAME_BYTES
# What always lay ready for this long was never needed: it only makes the sound late.
_WINDOW_FRAMES = 50
_SPARE_FRAMES = 2
_PATIENCE_WINDOWS_MAX = 64
_FIGURES_WINDOW_S = 1.0
log = structlog.get_logger()


class Backlog:
    """What was written and is not yet heard: bounded, and no longer than the game's unevenness needs. Pure."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._frames = 0
        self._least = _BACKLOG_BYTES
        self._windows_to_wait = self._waited = 0

    @property
    def room(self) -> int:
        return _BACKLOG_BYTES - len(self._bytes)

    @property
    def length(self) -> int:
        """In bytes."""
        return len(self._bytes)

    def put(self, fresh: bytes) -> None:
        self._bytes += fresh

    def take(self) -> bytes | None:
        """The next frame; None while there is no whole one."""
        frame = None
        if len(self._bytes) >= FRAME_BYTES:
            frame = bytes(self._bytes[:FRAME_BYTES])
            del self._bytes[:FRAME_BYTES]
        self._least = min(self._least, len(self._bytes))
        self._frames += 1
        if self._frames >= _WINDOW_FRAMES:
            self._shorten()
        return frame

    def _shorten(self) -> None:
        """Drops the oldest of what lay ready all the time.

        A game that writes whatever there is room for fills it up again at once; it is left alone for twice as long.
        """
        if self._least < _SPARE_FRAMES * FRAME_BYTES:
            self._windows_to_wait = self._waited = 0
        elif self._waited < self._windows_to_wait:
            self._waited += 1
        else:
            del self._bytes[: (self._least - FRAME_BYTES) // sdk.SAMPLE_BYTES * sdk.SAMPLE_BYTES]
            self._windows_to_wait = min(_PATIENCE_WINDOWS_MAX, 2 * self._windows_to_wait + 1)
            self._waited = 0
        self._frames, self._least = 0, _BACKLOG_BYTES


class Gate:
    """Lets sound pass, and a little of the silence after it. Pure."""

    def __init__(self) -> None:
        self._silent = _REST_FRAMES

    @property
    def closed(self) -> bool:
        return self._silent >= _REST_FRAMES

    def passes(self, frame: bytes) -> bool:
        if frame != SILENCE:
            self._silent = 0
            return True
        self._silent += 1
        return self._silent <= _REST_FRAMES


@dataclass(frozen=True)
class SoundPacket:
    """One frame in Opus; `pts` counts samples."""

    data: bytes
    pts: int


class OpusEncoder:
    """libopus without look-ahead, as games want it."""

    def __init__(self) -> None:
        context: Any = av.CodecContext.create("libopus", "w")
        context.bit_rate = BITRATE_KBPS * 1000
        context.format, context.layout, context.sample_rate = "s16", "stereo", sdk.SOUND_RATE
        context.options = {"application": "lowdelay", "frame_duration": str(FRAME_MS)}
        self._context = context
        self._pts = 0

    def encode(self, frame: bytes) -> bytes:
        samples = av.AudioFrame.from_ndarray(np.frombuffer(frame, "<i2").reshape(1, -1), format="s16", layout="stereo")
        samples.sample_rate, samples.pts = sdk.SOUND_RATE, self._pts
        self._pts += FRAME_SAMPLES
        return b"".join(bytes(packet) for packet in self._context.encode(samples))


class Sound:
    """Runs from start() to close(); `deliver` and `broken` are called in the sound's thread."""

    def __init__(self, pipe: int, deliver: Callable[[SoundPacket], None], broken: Callable[[str], None]) -> None:
        """`pipe` is what sdk.prepare_sound() opened; it stays open."""
        self._pipe = pipe
        self._deliver = deliver
        self._broken = broken
        self._encoder = OpusEncoder()
        self._backlog = Backlog()
        self._gate = Gate()
        self._closing = threading.Event()
        self._heard = threading.Event()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._recent: deque[tuple[float, int]] = deque()
        self._recent_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="sound", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def set_heard(self, heard: bool) -> None:
        """Whether anybody listens."""
        if heard:
            self._heard.set()
        else:
            self._heard.clear()

    @property
    def resting(self) -> bool:
        """Whether all that was written has been heard."""
        return self._gate.closed and self._backlog.length < FRAME_BYTES

    def kbps(self) -> int:
        """Over the last second."""
        cut_s = time.monotonic() - _FIGURES_WINDOW_S
        with self._recent_lock:
            while self._recent and self._recent[0][0] < cut_s:
                self._recent.popleft()
            return round(sum(size for _, size in self._recent) * 8 / 1000 / _FIGURES_WINDOW_S)

    def close(self) -> None:
        """Blocks until the thread has ended; call it off the event loop."""
        self._closing.set()
        os.write(self._waker, b"w")
        if self._thread.is_alive():
            self._thread.join()
        for descriptor in (self._woken, self._waker):
            os.close(descriptor)

    def _run(self) -> None:
        """However it ends, it is heard of: a thread that died alone would leave its session silent."""
        try:
            self._turn_sound()
        except Exception:
            log.exception("the sound failed")
            if not self._closing.is_set():
                self._broken(FAILED)

    def _turn_sound(self) -> None:
        due_ns = time.monotonic_ns()
        while not self._closing.is_set():
            if self.resting:
                select.select([self._pipe, self._woken], [], [])
                due_ns = max(due_ns, time.monotonic_ns())
            self._closing.wait((due_ns - time.monotonic_ns()) / 1e9)
            now_ns = time.monotonic_ns()
            self._backlog.put(self._read())
            self._play(self._backlog.take() or SILENCE, due_ns)
            # Late frames follow at once, but what nobody could have heard in time is not made up for.
            due_ns = max(due_ns + _FRAME_NS, now_ns - _BACKLOG_FRAMES * _FRAME_NS)

    def _read(self) -> bytes:
        room = self._backlog.room
        try:
            return os.read(self._pipe, room) if room else b""
        except BlockingIOError:
            return b""

    def _play(self, frame: bytes, due_ns: int) -> None:
        if not (self._gate.passes(frame) and self._heard.is_set()):
            return
        data = _NOTHING if self._gate.closed else self._encoder.encode(frame)
        with self._recent_lock:
            self._recent.append((time.monotonic(), len(data)))
        self._deliver(SoundPacket(data, due_ns * sdk.SOUND_RATE // 1_000_000_000))
