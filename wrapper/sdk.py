"""The local game SDK: draw frames into shared memory, sound, read input, know the session.

Needs nothing but the standard library, so that any Python game can copy or import it; PROTOCOL says what other
languages must do. Used by the wrapper too, which is the other end of it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import select
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

PROTOCOL = """
A game with picture FRAMES finds in its environment:
  QUARTERDECK_WIDTH, QUARTERDECK_HEIGHT, QUARTERDECK_FPS   the picture that the session wants
  QUARTERDECK_FRAMES       path of a file to map shared, read and write (layout below)
  QUARTERDECK_FRAME_READY  path of a named pipe: write one byte, without blocking, after each published frame
  QUARTERDECK_INPUT        path of a named pipe: one JSON object per line, as in wrapper/stream/inputs.py without `n`
                           (key, button, wheel, pad, move, point); read it without blocking, wait with poll or select
  QUARTERDECK_AUDIO        path of a named pipe for sound; not there: the session is silent

Layout of the frames file, numbers in the machine's byte order:
     0  8 bytes  "QDFRAME1"
     8  u32 width   12 u32 height   16 u32 fps   20 u32 slots   24 u32 bytes of a slot   28 u32 offset of slot 0
    64  u64 number of frames published so far
   128 + 64 * slot:  u64 lock   u64 frame number, from 0   u64 CLOCK_MONOTONIC ns of publishing   u32 format
  format 1: I420, BT.601 limited range: Y (width * height), U, V (each width/2 * height/2); width and height are even
  format 2: BGRA, rows from the top, width * 4 bytes each; A is ignored

To publish frame f (0, 1, 2 ...): use slot f % slots; make its lock odd (2f + 1); write pixels, number, time, format;
make its lock even (2f + 2); store f + 1 at offset 64; write a byte to QUARTERDECK_FRAME_READY and ignore EAGAIN.
Stores must become visible in this order. The newest frame wins: publish as often as the game draws.

Sound is 48,000 samples a second of signed 16 bit, little-endian, left and right in turn: 4 bytes for each. Write it as
it is to be heard, at the pace of CLOCK_MONOTONIC and little ahead of it, without blocking, a multiple of 4 bytes at
once; what EAGAIN refuses is not heard. The pipe holds 85 ms at most. Nothing need be written while there is
nothing to hear.
"""

MAGIC = b"QDFRAME1"
I420 = 1
BGRA = 2
SOUND_RATE = 48_000
"""Samples a second, in each of two channels."""
SAMPLE_BYTES = 4
"""One sample of both channels."""
SOUND_PIPE = "audio"
SOUND_PIPE_BYTES = 16384
SLOTS = 3
FIRST_SLOT_OFFSET = 4096
PUBLISHED_OFFSET = 64
SLOT_HEADER = struct.Struct("=QQQI")
"""Lock, frame number, nanosecond of publishing, format."""
_SLOT_HEADER_OFFSET = 128
_SLOT_HEADER_BYTES = 64
_HEADER = struct.Struct("=8sIIIIII")
_PAGE_BYTES = 4096
_INPUT_LINE_MAX_BYTES = 4096


def picture_bytes(width: int, height: int, pixel_format: int) -> int:
    """Bytes of one picture in I420 or BGRA."""
    return width * height * 3 // 2 if pixel_format == I420 else width * height * 4


def slot_bytes(width: int, height: int) -> int:
    """Bytes of one slot of the frames file that the wrapper makes: whole pages, enough for either format."""
    return -(-picture_bytes(width, height, BGRA) // _PAGE_BYTES) * _PAGE_BYTES


def slot_header_at(slot: int) -> int:
    """Where the header of a slot begins in the frames file."""
    return _SLOT_HEADER_OFFSET + slot * _SLOT_HEADER_BYTES


def prepare(directory: str, width: int, height: int, fps: int) -> dict[str, str]:
    """The wrapper's part, before the game starts: makes the files, and says how the game finds them."""
    paths = {name: os.path.join(directory, name) for name in ("frames", "frame-ready", "input")}
    FrameMemory.create(paths["frames"], width, height, fps)
    for pipe in ("frame-ready", "input"):
        os.mkfifo(paths[pipe], 0o600)
    return {
        "QUARTERDECK_FRAMES": paths["frames"],
        "QUARTERDECK_FRAME_READY": paths["frame-ready"],
        "QUARTERDECK_INPUT": paths["input"],
    }


def prepare_sound(directory: str) -> tuple[int, dict[str, str]]:
    """The wrapper's part for a session that is heard: its end of the pipe, and how the game finds the other.

    Raises OSError.
    """
    path = os.path.join(directory, SOUND_PIPE)
    os.mkfifo(path, 0o600)
    pipe = _open_pipe(path)
    # While it is empty: it cannot become shorter than what is in it. A user with many pipes gets shorter ones, and may
    # not make them longer.
    with suppress(PermissionError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, SOUND_PIPE_BYTES)
    return pipe, {"QUARTERDECK_AUDIO": path}


def _open_pipe(path: str) -> int:
    """For both ends, so that it outlives the other process."""
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


class FrameMemory:
    """The frames file, mapped: the game's end of it, the one that writes."""

    def __init__(self, path: str) -> None:
        """Maps an existing frames file.

        Raises OSError when it cannot be opened, ValueError when it is no frames file.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        fields: tuple[bytes, int, int, int, int, int, int] = _HEADER.unpack_from(self._map)
        magic, self.width, self.height, self.fps, self.slots, self.slot_bytes, offset = fields
        if magic != MAGIC or self.slots < 2 or offset + self.slots * self.slot_bytes > len(self._map):
            raise ValueError(f"{path} is not a frames file")
        self._view: memoryview[int] = memoryview(self._map)
        # Casts, because a store through them is one machine store; struct writes byte by byte.
        self._words = self._view[: offset // 8 * 8].cast("Q")
        self._halves = self._view[: offset // 4 * 4].cast("I")
        self._pixels = [
            self._view[offset + slot * self.slot_bytes : offset + (slot + 1) * self.slot_bytes]
            for slot in range(self.slots)
        ]

    @staticmethod
    def create(path: str, width: int, height: int, fps: int) -> None:
        """Makes an empty frames file, large enough for either format."""
        size = slot_bytes(width, height)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, FIRST_SLOT_OFFSET + SLOTS * size)
            os.pwrite(descriptor, _HEADER.pack(MAGIC, width, height, fps, SLOTS, size, FIRST_SLOT_OFFSET), 0)
        finally:
            os.close(descriptor)

    @property
    def published(self) -> int:
        """How many frames have been published so far."""
        return self._words[PUBLISHED_OFFSET // 8]

    def begin(self, number: int, pixel_format: int) -> memoryview:
        """The pixels of frame `number`, to be drawn; what an earlier frame left there is still in it."""
        self._words[slot_header_at(number % self.slots) // 8] = 2 * number + 1
        return self._pixels[number % self.slots][: picture_bytes(self.width, self.height, pixel_format)]

    def publish(self, number: int, pixel_format: int, now_ns: int) -> None:
        """Makes frame `number`, begun before, the newest."""
        at = slot_header_at(number % self.slots)
        self._words[at // 8 + 1] = number
        self._words[at // 8 + 2] = now_ns
        self._halves[at // 4 + 6] = pixel_format
        self._words[at // 8] = 2 * number + 2
        self._words[PUBLISHED_OFFSET // 8] = number + 1


class Deck:
    """A game's end of its session: frames and sound out, input in.

    `width`, `height` and `fps` are what the session wants. `fileno()` becomes readable when there is input.
    """

    def __init__(self, environment: Mapping[str, str], pixel_format: int = I420) -> None:
        """Raises KeyError when the environment is not that of a session, OSError when its files are gone."""
        self._memory = FrameMemory(environment["QUARTERDECK_FRAMES"])
        self._ready = _open_pipe(environment["QUARTERDECK_FRAME_READY"])
        self._input = _open_pipe(environment["QUARTERDECK_INPUT"])
        self._sound = _open_pipe(environment["QUARTERDECK_AUDIO"]) if "QUARTERDECK_AUDIO" in environment else None
        self.width, self.height, self.fps = self._memory.width, self._memory.height, self._memory.fps
        self._format = pixel_format
        self._number = self._memory.published
        self._rest = b""

    def begin(self) -> memoryview:
        """The next frame's pixels, to be drawn whole."""
        return self._memory.begin(self._number, self._format)

    def publish(self) -> None:
        """Shows the frame that begin() gave."""
        self._memory.publish(self._number, self._format, time.monotonic_ns())
        self._number += 1
        try:
            os.write(self._ready, b"f")
        except BlockingIOError:
            return  # The reader has enough to wake up for.

    @property
    def heard(self) -> bool:
        """False: the session is silent, and play() does nothing."""
        return self._sound is not None

    def play(self, samples: bytes | bytearray | memoryview) -> int:
        """Writes what is to be heard next, as PROTOCOL says; how many bytes of it will be."""
        if self._sound is None:
            return 0
        try:
            return os.write(self._sound, samples)
        except BlockingIOError:
            return 0  # It is heard late enough as it is.

    def events(self) -> list[dict[str, Any]]:
        """The input since the last call, oldest first; never waits."""
        while True:
            try:
                chunk = os.read(self._input, 65536)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    break
                raise
            self._rest += chunk
        *lines, self._rest = self._rest.split(b"\n")
        if len(self._rest) > _INPUT_LINE_MAX_BYTES:
            self._rest = b""
        return [json.loads(line) for line in lines if line]

    def wait(self, timeout_s: float) -> bool:
        """Waits for input, at most this long; says whether there is any."""
        readable, _, _ = select.select([self._input], [], [], max(0.0, timeout_s))
        return bool(readable)

    def fileno(self) -> int:
        return self._input

    def close(self) -> None:
        os.close(self._ready)
        os.close(self._input)
        if self._sound is not None:
            os.close(self._sound)

    def __enter__(self) -> Deck:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def connect(pixel_format: int = I420) -> Deck:
    """The session that this process was started for."""
    return Deck(os.environ, pixel_format)
