"""Pictures that the game drew into shared memory with the local game SDK, and the pipe that brings it input."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Mapping
from contextlib import suppress

import av
import numpy as np
from numpy.typing import NDArray

from wrapper import sdk
from wrapper.stream.inputs import Event, to_line
from wrapper.stream.source import Captured, SourceError

_PIXEL_FORMATS = {sdk.I420: "yuv420p", sdk.BGRA: "bgra"}


class FrameSource:
    """The reading end of the frames file. It is not mapped: a game that cuts its file kills whoever has it mapped."""

    def __init__(self, environment: Mapping[str, str], width: int, height: int) -> None:
        """Takes what sdk.prepare() made, and the size it was made for. Raises OSError when it is gone."""
        self._width, self._height = width, height
        self._file = os.open(environment["QUARTERDECK_FRAMES"], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        # Open for both, so that the pipe never ends when the game closes it.
        self._ready = os.open(environment["QUARTERDECK_FRAME_READY"], os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._given = 0

    def next(self, timeout_s: float) -> Captured | None:
        if self._published() == self._given:
            self._wait(timeout_s)
        published = self._published()
        if published in (0, self._given):
            return None
        self._given = published
        return self._copy(published - 1)

    def wake(self) -> None:
        try:
            os.write(self._ready, b"w")
        except BlockingIOError:
            return  # Full of wake-ups already.

    def close(self) -> None:
        os.close(self._file)
        os.close(self._ready)

    def _wait(self, timeout_s: float) -> None:
        readable, _, _ = select.select([self._ready], [], [], timeout_s)
        if readable:
            with suppress(BlockingIOError):  # The game has read it itself.
                os.read(self._ready, 4096)

    def _published(self) -> int:
        return int.from_bytes(self._read(8, sdk.PUBLISHED_OFFSET), sys.byteorder)

    def _copy(self, number: int) -> Captured | None:
        """A frame that is overwritten while it is copied is dropped: a newer one is on its way."""
        slot, width, height = number % sdk.SLOTS, self._width, self._height
        header = self._header(slot)
        lock, _, published_ns, pixel_format = sdk.SLOT_HEADER.unpack(header)
        if lock != 2 * number + 2 or pixel_format not in _PIXEL_FORMATS:
            return None
        at = sdk.FIRST_SLOT_OFFSET + slot * sdk.slot_bytes(width, height)
        pixels = self._read(sdk.picture_bytes(width, height, pixel_format), at)
        if self._header(slot) != header:
            return None
        shape = (height * 3 // 2, width) if pixel_format == sdk.I420 else (height, width, 4)
        # It keeps the pixels, and copies them no second time.
        frame = av.VideoFrame.from_numpy_buffer(pixels.reshape(shape), format=_PIXEL_FORMATS[pixel_format])
        return Captured(frame, published_ns)

    def _header(self, slot: int) -> bytes:
        return self._read(sdk.SLOT_HEADER.size, sdk.slot_header_at(slot)).tobytes()

    def _read(self, size: int, at: int) -> NDArray[np.uint8]:
        content = np.empty(size, np.uint8)
        if os.preadv(self._file, [content.data], at) < size:
            raise SourceError("the game cut its frames file")
        return content


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
