"""H.264 encoders behind one interface, chosen by really encoding a frame with each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import av
from av.video.frame import PictureType

CLOCK_RATE = 90_000
"""RTP clock of video, in Hz (RFC 6184)."""


@dataclass(frozen=True)
class Video:
    """What to encode: the figures of the preset."""

    width: int
    height: int
    fps: int
    bitrate_kbps: int
    max_bitrate_kbps: int
    encoder_preset: str = "p4"


@dataclass(frozen=True)
class Encoded:
    """One access unit in Annex B with its own SPS and PPS where it is a keyframe."""

    data: bytes
    pts: int
    key: bool


class EncoderError(Exception):
    """This encoder does not work here; the text says why."""


class Encoder(Protocol):
    """One stream's encoder; used from one thread."""

    name: str
    # A change of bitrate costs a keyframe (NVENC through FFmpeg).
    costly_bitrate: bool

    def encode(self, frame: av.VideoFrame, pts: int, key: bool) -> Encoded | None:
        """Encodes one picture; `pts` in units of 1/90000 s, growing.

        Raises EncoderError when the encoder broke.
        """
        ...

    def set_bitrate(self, kbps: int) -> None: ...

    def close(self) -> None: ...


class LibavEncoder:
    """What x264 and NVENC share: a libavcodec context fed with frames and emptied of packets."""

    costly_bitrate = False

    def __init__(self, name: str, video: Video, pixel_formats: tuple[str, ...], options: dict[str, str]) -> None:
        """Raises EncoderError when the encoder cannot be opened.

        A frame in none of `pixel_formats` is converted to the first of them.
        """
        self.name = name
        self._pixel_formats = pixel_formats
        self._options = options
        self._video = video
        self._context: av.VideoCodecContext | None = None
        self._kbps = video.bitrate_kbps

    def encode(self, frame: av.VideoFrame, pts: int, key: bool) -> Encoded | None:
        if frame.format.name not in self._pixel_formats:
            frame = frame.reformat(format=self._pixel_formats[0])
        try:
            if self._context is None or self._context.pix_fmt != frame.format.name:
                self._context = self._open(frame.format.name)
            frame.pts = pts
            frame.time_base = Fraction(1, CLOCK_RATE)
            frame.pict_type = PictureType.I if key else PictureType.NONE
            packets = self._context.encode(frame)
        except av.FFmpegError as error:
            # What the library logged says more than the error's number.
            said: tuple[Any, ...] = error.log or ()
            raise EncoderError(f"{self.name}: {said[-1] if said else error.strerror}") from error
        except ValueError as error:
            raise EncoderError(f"{self.name}: {error}") from error
        if not packets:
            return None
        data = b"".join(bytes(packet) for packet in packets)
        return Encoded(data, pts, any(packet.is_keyframe for packet in packets))

    def set_bitrate(self, kbps: int) -> None:
        self._kbps = min(kbps, self._video.max_bitrate_kbps)
        if self._context is not None:
            self._context.bit_rate = self._kbps * 1000

    def close(self) -> None:
        self._context = None

    def _open(self, pixel_format: str) -> av.VideoCodecContext:
        context = av.CodecContext.create(self.name, "w")
        if not isinstance(context, av.VideoCodecContext):
            raise EncoderError(f"{self.name} encodes no video")
        context.width, context.height = self._video.width, self._video.height
        context.pix_fmt = pixel_format
        context.framerate = Fraction(self._video.fps, 1)
        context.time_base = Fraction(1, CLOCK_RATE)
        context.bit_rate = self._kbps * 1000
        context.gop_size = self._video.fps * 10
        context.max_b_frames = 0
        context.options = self._options
        context.open()
        return context


Candidate = Callable[[Video], Encoder]


def choose(video: Video, candidates: Sequence[Candidate]) -> tuple[Encoder, list[str]]:
    """The first candidate that encodes a grey frame, and why each earlier one does not.

    Raises EncoderError when none works.
    """
    refusals: list[str] = []
    for candidate in candidates:
        try:
            encoder = candidate(video)
            trial = encoder.encode(grey(video), 0, key=True)
            if trial is None or not trial.key:
                raise EncoderError(f"{encoder.name} gave no keyframe for its first frame")
            encoder.close()
            return candidate(video), refusals
        except EncoderError as error:
            refusals.append(str(error))
    raise EncoderError("; ".join(refusals) or "no encoder to choose from")


def grey(video: Video) -> av.VideoFrame:
    """A picture with nothing on it."""
    frame = av.VideoFrame(video.width, video.height, "yuv420p")
    for plane in frame.planes:
        plane.update(b"\x80" * plane.buffer_size)
    return frame
