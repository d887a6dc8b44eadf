"""One browser: its connection, its two data channels, its tracks. The wrapper offers, the browser answers."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp

from wrapper.stream.inputs import Event, InputGate, Ping
from wrapper.stream.mediaport import MediaPort
from wrapper.stream.pipeline import Frame
from wrapper.stream.rate import Feedback
from wrapper.stream.sender import EncodedTrack, SoundTrack, fit_for_games, round_trip_ms
from wrapper.stream.sound import SoundPacket

CONNECT_TIMEOUT_S = 20.0
"""From the offer to a connection; after it the browser must ask for a new offer."""
# In an answer, and one by one. Each is asked several times, whoever it belongs to.
_CANDIDATES_MAX = 64
_UNREAD_MAX_BYTES = 64 * 1024
_CANDIDATE_LINE = re.compile(r"^a=(?:candidate:(?P<candidate>.*)|end-of-candidates)\r?\n", re.MULTILINE)

_SECTION = re.compile(r"^(?=m=)", re.MULTILINE)
_REFUSED_SOUND = re.compile(r"m=audio 0 ")
_TRANSPORT_LINE = re.compile(r"^a=(?:ice-ufrag|ice-pwd|fingerprint|setup):.*\n", re.MULTILINE)
_MID_LINE = re.compile(r"^a=mid:.*\n", re.MULTILINE)
# aiortc's own number for it, in every offer.
_OPUS = 96


class AnswerError(ValueError):
    """The browser's answer or candidate cannot be used; the text says why."""


@dataclass(frozen=True)
class PeerEvents:
    """What a peer tells its owner; all called on the event loop."""

    connected: Callable[[Peer], None]
    closed: Callable[[Peer, str], None]
    input: Callable[[Event], None]
    keyframe: Callable[[], None]
    feedback: Callable[[Peer, Feedback], None]


class Peer:
    """Lives from offer() to closed(); `closed` is told once, whatever ended it."""

    def __init__(
        self,
        player: bool,
        port: MediaPort,
        ice_servers: Sequence[RTCIceServer],
        hello: Mapping[str, Any],
        on: PeerEvents,
        with_sound: bool = False,
    ) -> None:
        self.player = player
        self.connected = False
        self.gate = InputGate(player)
        self._on = on
        self._port = port
        self._hello = {"t": "hello", "role": "player" if player else "viewer", **hello}
        self._connection = RTCPeerConnection(
            RTCConfiguration(iceServers=list(ice_servers), bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._track = EncodedTrack(on.keyframe)
        self._sound = SoundTrack() if with_sound else None
        self._keys: RTCDataChannel | None = None
        self._sender: RTCRtpSender | None = None
        self._candidates = 0
        self._closing: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._log = structlog.get_logger().bind(peer=id(self) & 0xFFFF, player=player)

    async def offer(self) -> str:
        """The SDP offer, complete with candidates."""
        connection = self._connection
        self._sender = connection.addTrack(self._track)
        self._port.attach(self._sender.transport.transport.iceGatherer._connection)
        transceiver = connection.getTransceivers()[0]
        transceiver.direction = "sendonly"
        codecs = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences(
            [codec for codec in codecs if codec.mimeType.lower() in ("video/h264", "video/rtx")]
        )
        fit_for_games(self._sender, self._on.keyframe, self._fed_back)
        if self._sound is not None:
            self._offer_sound(self._sound)
        self._keys = connection.createDataChannel("keys")
        mouse = connection.createDataChannel("mouse", ordered=False, maxRetransmits=0)
        for channel in (self._keys, mouse):
            channel.on("message", self._reader(channel.label))
        self._keys.on("open", lambda: self.tell(self._hello))
        connection.on("connectionstatechange", self._state_changed)
        await connection.setLocalDescription(await connection.createOffer())
        self._deadline = asyncio.get_running_loop().call_later(CONNECT_TIMEOUT_S, self._check_connected)
        return connection.localDescription.sdp

    def _offer_sound(self, track: SoundTrack) -> None:
        sender: Any = self._connection.addTrack(track)
        # Browsers keep the tracks of one stream in step; a stream of its own never holds the picture back.
        sender._stream_id = str(uuid.uuid4())
        transceiver = self._connection.getTransceivers()[-1]
        transceiver.direction = "sendonly"
        codecs = RTCRtpSender.getCapabilities("audio").codecs
        transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType.lower() == "audio/opus"])

    async def answer(self, sdp: str) -> None:
        """Takes the browser's answer.

        Raises AnswerError when it does not answer the offer, or names so many addresses that asking each were a flood.
        """
        sdp = without_names(sdp)
        if sdp.count("a=candidate:") > _CANDIDATES_MAX:
            raise AnswerError("too many candidates")
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(refusals_told(sdp), "answer"))
        except Exception as error:
            raise AnswerError(f"the answer cannot be used: {error}") from error

    async def candidate(self, line: str, mid: str) -> None:
        """Takes one of the browser's candidates, as `RTCIceCandidate.candidate`; empty ones end nothing.

        Raises AnswerError when it is malformed or one too many.
        """
        body = line.removeprefix("candidate:")
        if not body or _is_named(body):
            return
        self._candidates += 1
        if self._candidates > _CANDIDATES_MAX:
            raise AnswerError("too many candidates")
        try:
            candidate = candidate_from_sdp(body)
            candidate.sdpMid = mid or "0"
            await self._connection.addIceCandidate(candidate)
        except Exception as error:
            raise AnswerError(f"the candidate cannot be used: {error}") from error

    def send(self, frame: Frame) -> None:
        if self.connected:
            self._track.put(frame)

    def send_sound(self, packet: SoundPacket) -> None:
        if self.connected and self._sound is not None:
            self._sound.put(packet)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Sends one JSON object to the page, if its channel is open and the page takes what it is told."""
        keys = self._keys
        if keys is not None and keys.readyState == "open" and keys.bufferedAmount < _UNREAD_MAX_BYTES:
            keys.send(json.dumps(message, separators=(",", ":")))

    def round_trip_ms(self) -> float | None:
        return None if self._sender is None else round_trip_ms(self._sender)

    def close(self, reason: str) -> asyncio.Task[None]:
        """Starts closing; the task ends when nothing of the connection is left. Calling it again changes nothing."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(reason))
        return self._closing

    async def _close(self, reason: str) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self.connected = False
        for event in self.gate.release():
            self._on.input(event)
        self._log.info("peer closed", reason=reason, frames=self._track.sent, dropped=dict(self.gate.dropped))
        self._on.closed(self, reason)
        self._track.stop()
        if self._sound is not None:
            self._sound.stop()
        await self._connection.close()

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected" and not self.connected and self._closing is None:
            self.connected = True
            self._log.info("peer connected")
            self._on.connected(self)
        elif state in ("failed", "closed"):
            self.close("the connection ended")

    def _check_connected(self) -> None:
        if not self.connected:
            self.close("no connection in time")

    def _fed_back(self, feedback: Feedback) -> None:
        self._on.feedback(self, feedback)

    def _reader(self, label: str) -> Callable[[str | bytes], None]:
        def read(data: str | bytes) -> None:
            if self._closing is not None:
                return
            for event in self.gate.accept(label, data, time.monotonic()):
                if isinstance(event, Ping):
                    self.tell({"t": "pong", "n": event.sequence})
                else:
                    self._on.input(event)

        return read


def without_names(sdp: str) -> str:
    """The SDP without candidates that are names (mDNS), and without the end of candidates.

    Looking a name up takes seconds and often fails, while the browser's own checks arrive at once and say its address.
    """
    return _CANDIDATE_LINE.sub(
        lambda match: match[0] if match["candidate"] and not _is_named(match["candidate"]) else "", sdp
    )


def refusals_told(sdp: str) -> str:
    """The SDP with refused sound (port 0; RFC 8829, 5.3.1) as sound that is not sent: aiortc knows no refusals."""
    head, *sections = _SECTION.split(sdp)
    transport = "".join(_TRANSPORT_LINE.findall(next((one for one in sections if not _REFUSED_SOUND.match(one)), "")))
    told = [
        f"m=audio 9 UDP/TLS/RTP/SAVPF {_OPUS}\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=rtpmap:{_OPUS} opus/48000/2\r\n"
        f"{''.join(_MID_LINE.findall(one))}a=rtcp-mux\r\n{transport}"
        if _REFUSED_SOUND.match(one)
        else one
        for one in sections
    ]
    return head + "".join(told)


def _is_named(candidate: str) -> bool:
    parts = candidate.split()
    return len(parts) > 4 and parts[4].endswith(".local")
