"""Pictures that the game drew into shared memory with the local game SDK, and the pipe that brings it input."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping

import av
import numpy as np

from wrapper import sdk
from wrapper.stream.inputs import Event, to_line
from wrapper.stream.source import Captured, SourceError

_PIXEL_FORMATS = {sdk.I420: "yuv420p", sdk.BGRA: "bgra"}


class FrameSource:
    """The reading end of the frames file."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Takes what sdk.prepare() made. Raises SourceError when a game has already spoilt it."""
        try:
            self._memory = sdk.FrameMemory(environment["QUARTERDECK_FRAMES"])
        except ValueError as error:
            raise SourceError(str(error)) from error
        # Open for both, so that the pipe never ends when the game closes it.
        self._ready = os.open(environment["QUARTERDECK_FRAME_READY"], os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._given = 0

    def next(self, timeout_s: float) -> Captured | None:
        if self._memory.published <= self._given:
            readable, _, _ = select.select([self._ready], [], [], timeout_s)
            if readable:
                os.read(self._ready, 4096)
        published = self._memory.published
        if published <= self._given:
            return None
        self._given = published
        return self._copy_newest()

    def wake(self) -> None:
        try:
            os.write(self._ready, b"w")
        except BlockingIOError:
            return  # Full of wake-ups already.

    def close(self) -> None:
        os.close(self._ready)

    def _copy_newest(self) -> Captured | None:
        """A frame that is overwritten while it is copied is dropped: a newer one is on its way."""
        picture = self._memory.newest()
        if picture is None:
            return None
        width, height = self._memory.width, self._memory.height
        shape = (height * 3 // 2, width) if picture.pixel_format == sdk.I420 else (height, width, 4)
        try:
            pixels = np.frombuffer(picture.pixels, np.uint8).reshape(shape)
            frame = av.VideoFrame.from_ndarray(pixels, format=_PIXEL_FORMATS[picture.pixel_format])
        except ValueError as error:
            raise SourceError(f"the frames file holds no pictures of {width}x{height}: {error}") from error
        if not self._memory.still_valid(picture):
            return None
        return Captured(frame, picture.published_ns)


class PipeSink:
    """Writes input events to the game's pipe, one JSON object a line; a game that does not read loses them."""

    gamepad = True

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Takes what sdk.prepare() made."""
        self.lost = 0
        self._pipe = os.open(environment["QUARTERDECK_INPUT"], os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def deliver(self, event: Event) -> None:
        try:
            # Shorter than PIPE_BUF, so whole or not at all.
            os.write(self._pipe, to_line(event))
        except BlockingIOError:
            self.lost += 1

    def close(self) -> None:
        os.close(self._pipe)
