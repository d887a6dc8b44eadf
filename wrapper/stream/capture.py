"""Pictures of an X display, grabbed through shared memory by libavdevice's x11grab."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from Xlib import X
from Xlib import display as xdisplay
from Xlib.error import ConnectionClosedError, DisplayError

from wrapper.stream.source import Captured, SourceError


class CaptureSource:
    """Gives nothing until the game shows a window, then every picture that differs from the one before."""

    def __init__(self, display_name: str, width: int, height: int, fps: int) -> None:
        self._name = display_name
        self._options = {"video_size": f"{width}x{height}", "framerate": str(fps), "draw_mouse": "1"}
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watcher: Any = None
        self._container: Any = None
        self._frames: Iterator[Any] | None = None
        self._before: NDArray[np.uint8] | None = None

    def next(self, timeout_s: float) -> Captured | None:
        if self._frames is None:
            if not self._window_shown(timeout_s):
                return None
            self._frames = self._grab()
        return self._changed(self._frames, timeout_s)

    def wake(self) -> None:
        try:
            os.write(self._waker, b"w")
        except BlockingIOError:
            return  # Full of wake-ups already.

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
        os.close(self._woken)
        os.close(self._waker)

    def _window_shown(self, timeout_s: float) -> bool:
        """Waits for the first visible window: before it, the display is just black."""
        try:
            if self._watcher is None:
                self._watcher = xdisplay.Display(self._name)
                self._watcher.screen().root.change_attributes(event_mask=X.SubstructureNotifyMask)
            while self._watcher.pending_events():
                self._watcher.next_event()
            root = self._watcher.screen().root
            if any(_visible(window) for window in root.query_tree().children):
                self._watcher.close()
                return True
            if not self._watcher.pending_events():
                readable, _, _ = select.select([self._watcher.fileno(), self._woken], [], [], timeout_s)
                self._drain(readable)
        except (ConnectionClosedError, DisplayError) as error:
            raise SourceError(f"the display is gone: {error}") from error
        return False

    def _grab(self) -> Iterator[Any]:
        try:
            self._container = av.open(self._name, format="x11grab", options=self._options)
            return iter(self._container.decode(video=0))
        except av.FFmpegError as error:
            raise SourceError(f"cannot grab display {self._name}: {error.strerror}") from error

    def _changed(self, frames: Iterator[Any], timeout_s: float) -> Captured | None:
        """The next picture that is new; x11grab itself keeps the pace, whether or not anything moved."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            try:
                frame = next(frames)
            except (av.FFmpegError, StopIteration) as error:
                raise SourceError(f"cannot grab display {self._name} any more") from error
            pixels = np.frombuffer(frame.planes[0], np.uint8)
            if self._before is None or not np.array_equal(pixels, self._before):
                self._before = pixels.copy()
                return Captured(frame, time.monotonic_ns())
            woken, _, _ = select.select([self._woken], [], [], 0)
            if woken:
                self._drain(woken)
                return None
        return None

    def _drain(self, readable: list[Any]) -> None:
        if self._woken in readable:
            os.read(self._woken, 4096)


def _visible(window: Any) -> bool:
    return bool(window.get_attributes().map_state == X.IsViewable)
