"""What aiortc's sender needs for a game: encoded packets in, no playout delay, long history, keyframes on request.

aiortc is pinned, since this reaches into names of its own; tests/contract/test_aiortc.py holds it to them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

import aioice.ice
import aiortc.codecs
import aiortc.rtcrtpsender
import av
from aiortc import RTCRtpSender
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import (
    RTCP_RTPFB_NACK,
    HeaderExtensions,
    HeaderExtensionsMap,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    pack_header_extensions,
)

from wrapper import sdk
from wrapper.stream.encoder import CLOCK_RATE
from wrapper.stream.pipeline import Frame
from wrapper.stream.rate import Feedback
from wrapper.stream.sound import SoundPacket

PLAYOUT_DELAY_URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
# Free in aiortc's own table.
PLAYOUT_DELAY_ID = 5
# Twelve bits of least and twelve of most delay, both 0: show each picture as soon as it is whole.
_NO_DELAY = b"\x00\x00\x00"
_QUEUE_FRAMES = 2
_QUEUE_PACKETS = 10
CONSENT_INTERVAL_S, CONSENT_FAILURES = 2, 6
"""A browser that fell silent is given up after some 15 s, well within the 30 s that RFC 7675 allows."""
HISTORY_PACKETS = 4096
"""Packets kept for retransmission: two seconds at 25 Mbit/s, where aiortc keeps 128, less than one keyframe."""


def prepare_aiortc() -> None:
    """Once per process, before the first connection."""
    sender: Any = aiortc.rtcrtpsender
    sender.RTP_HISTORY_SIZE = HISTORY_PACKETS
    ice: Any = aioice.ice
    ice.CONSENT_INTERVAL, ice.CONSENT_FAILURES = CONSENT_INTERVAL_S, CONSENT_FAILURES
    extensions = aiortc.codecs.HEADER_EXTENSIONS["video"]
    if all(extension.uri != PLAYOUT_DELAY_URI for extension in extensions):
        extensions.append(RTCRtpHeaderExtensionParameters(id=PLAYOUT_DELAY_ID, uri=PLAYOUT_DELAY_URI))


class _QueuedTrack(MediaStreamTrack):
    """A track of what has been encoded already; aiortc's sender takes it in order, and waits for more."""

    def __init__(self, time_base: Fraction, longest: int | None = None) -> None:
        super().__init__()
        self.sent = 0
        self._time_base = time_base
        self._queue: deque[Frame | SoundPacket] = deque(maxlen=longest)
        self._filled = asyncio.Event()

    def _add(self, piece: Frame | SoundPacket) -> None:
        self._queue.append(piece)
        self._filled.set()

    async def recv(self) -> av.Packet[Any]:
        """The next piece, as aiortc's sender asks for it.

        Raises MediaStreamError when the track has been stopped.
        """
        while not self._queue:
            if self.readyState != "live":
                raise MediaStreamError
            self._filled.clear()
            await self._filled.wait()
        piece = self._queue.popleft()
        self.sent += 1
        packet = av.Packet(piece.data)
        packet.pts = piece.pts
        packet.time_base = self._time_base
        return packet

    def stop(self) -> None:
        super().stop()
        self._filled.set()


class EncodedTrack(_QueuedTrack):
    """A video track of encoded frames. Starts with a keyframe, and with one again after it had to drop any."""

    kind = "video"

    def __init__(self, request_keyframe: Callable[[], None]) -> None:
        super().__init__(Fraction(1, CLOCK_RATE))
        self._request_keyframe = request_keyframe
        self._needs_key = True

    def put(self, frame: Frame) -> None:
        """Queues a frame; when the sender cannot keep up, everything up to the next keyframe is dropped."""
        if len(self._queue) >= _QUEUE_FRAMES and not self._needs_key:
            self._queue.clear()
            self._needs_key = True
            self._request_keyframe()
        if self._needs_key and not frame.key:
            return
        self._needs_key = False
        self._add(frame)


class SoundTrack(_QueuedTrack):
    """An audio track of encoded sound; when the sender cannot keep up, the oldest is dropped."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__(Fraction(1, sdk.SOUND_RATE), _QUEUE_PACKETS)

    def put(self, packet: SoundPacket) -> None:
        self._add(packet)


class PlayoutDelayMap(HeaderExtensionsMap):
    """aiortc's header extensions, and the playout delay that it does not know, on every packet."""

    def __init__(self) -> None:
        super().__init__()
        self._mid = self._abs_send_time = self._playout_delay = 0

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        for extension in parameters.headerExtensions:
            if extension.uri == PLAYOUT_DELAY_URI:
                self._playout_delay = extension.id
            elif extension.uri.endswith(":mid"):
                self._mid = extension.id
            elif extension.uri.endswith("/abs-send-time"):
                self._abs_send_time = extension.id

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        extensions: list[tuple[int, bytes]] = []
        if self._mid and values.mid is not None:
            extensions.append((self._mid, values.mid.encode()))
        if self._abs_send_time and values.abs_send_time is not None:
            extensions.append((self._abs_send_time, values.abs_send_time.to_bytes(4, "big")[1:]))
        if self._playout_delay:
            extensions.append((self._playout_delay, _NO_DELAY))
        return pack_header_extensions(extensions)


def fit_for_games(
    sender: RTCRtpSender, request_keyframe: Callable[[], None], feedback: Callable[[Feedback], None]
) -> None:
    """Gives one sender its extensions, and the receiver's wishes and reports to those who act on them."""
    inside: Any = sender
    inside._RTCRtpSender__rtp_header_extensions_map = PlayoutDelayMap()
    inside._send_keyframe = request_keyframe
    handle: Callable[[object], Awaitable[None]] = inside._handle_rtcp_packet
    history: dict[int, Any] = inside._RTCRtpSender__rtp_history

    async def watch(packet: object) -> None:
        await handle(packet)
        if isinstance(packet, RtcpRrPacket):
            for report in packet.reports:
                if report.ssrc == inside._ssrc:
                    feedback(Feedback(report.fraction_lost / 256, round_trip_ms(sender)))
        elif isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
            for sequence in packet.lost:
                kept = history.get(sequence % HISTORY_PACKETS)
                if kept is None or kept.sequence_number != sequence:
                    # It can never be repaired, and the browser is slow to say so.
                    request_keyframe()
                    break

    inside._handle_rtcp_packet = watch


def round_trip_ms(sender: RTCRtpSender) -> float | None:
    """The smoothed round trip of the sender's reports, or None before the first."""
    inside: Any = sender
    seconds: float | None = inside._RTCRtpSender__rtt
    return None if seconds is None else seconds * 1000
