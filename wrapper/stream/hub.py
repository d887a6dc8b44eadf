"""The stream of one session: source, encoder and pipeline on one side, browsers on the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from aiortc import RTCIceServer

from wrapper.spec import IceServer, Picture, Spec, StreamFigures
from wrapper.stream import rate
from wrapper.stream.encoder import Encoder, EncoderError, Video, choose
from wrapper.stream.frames import FrameSource, PipeSink
from wrapper.stream.inputs import Event
from wrapper.stream.mediaport import MediaPort, PortError, PortTakenError
from wrapper.stream.nvenc import NvencEncoder
from wrapper.stream.peer import Peer, PeerEvents
from wrapper.stream.pipeline import Frame, Pipeline
from wrapper.stream.sender import prepare_aiortc
from wrapper.stream.sound import Sound, SoundPacket
from wrapper.stream.soundserver import SoundDoor
from wrapper.stream.source import Source, SourceError
from wrapper.stream.x264 import X264Encoder

PEERS_MAX = 16
# Of these; the rest is for players, whom no crowd keeps from coming back.
VIEWERS_MAX = 12
_FIGURES_S = 1.0


class Sink(Protocol):
    """Where input goes: the game, in whatever way it takes it."""

    gamepad: bool

    def deliver(self, event: Event) -> None: ...

    def close(self) -> None: ...


class StreamError(Exception):
    """There can be no stream; the text says why."""


class StreamPortTakenError(StreamError):
    """Another program holds the media port."""


class TooManyPeersError(Exception):
    """The session has all the browsers it can serve."""


@dataclass(frozen=True)
class HubEvents:
    """What the stream tells the session; all called on the event loop."""

    first_frame: Callable[[], None]
    broken: Callable[[str], None]
    activity: Callable[[], None]
    peers_changed: Callable[[], None]
    figures_changed: Callable[[], None]


class Hub:
    """Made by open_hub(); close() ends it."""

    def __init__(self, spec: Spec, door: SoundDoor, on: HubEvents, stages_ms: Callable[[], Mapping[str, int]]) -> None:
        self._spec = spec
        self._door = door
        self._on = on
        self._stages_ms = stages_ms
        self._peers: set[Peer] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._last_input_s = time.monotonic()
        self._first_frame = False
        self._loop = asyncio.get_running_loop()
        self._log = structlog.get_logger()
        self._rates: dict[Peer, rate.Rate] = {}
        self._target_kbps = spec.video.bitrate_kbps
        self._teller: asyncio.Task[None] | None = None
        self._sink: Sink | None = None
        self._port: MediaPort | None = None
        self._pipeline: Pipeline | None = None
        self._encoder: Encoder | None = None
        self._sound: Sound | None = None

    async def open(self, source: Source, sink: Sink) -> None:
        """Chooses the encoder, binds the media port, starts the pipelines.

        Raises EncoderError and PortError.
        """
        prepare_aiortc()
        wanted = self._spec.video
        video = Video(
            wanted.width, wanted.height, wanted.fps, wanted.bitrate_kbps, wanted.max_bitrate_kbps, wanted.encoder_preset
        )
        self._sink = sink
        encoder, refusals = await asyncio.to_thread(choose, video, (NvencEncoder, X264Encoder))
        self._log.info("encoder chosen", encoder=encoder.name, refused=refusals)
        lease = self._spec.media_port
        self._port = await MediaPort.open(
            (lease.game_port or lease.host_port) if lease else 0,
            lease.host_port if lease else 0,
            self._spec.advertised_addresses,
            self._spec.loopback_candidate,
        )
        self._encoder = encoder
        self._pipeline = Pipeline(source, encoder, self._encoded, self._broke)
        self._pipeline.start()
        if self._door.pipe is not None:
            self._sound = Sound(self._door.pipe, self._sounded, self._broke)
            self._sound.start()
        self._teller = self._loop.create_task(self._tell_figures())

    async def connect(self, player: bool, closed: Callable[[str], None]) -> tuple[Peer, str]:
        """A new peer and the offer for its browser; `closed` is called with the reason when it has ended.

        Raises TooManyPeersError, and StreamError before open().
        """
        if self._port is None or self._pipeline is None:
            raise StreamError("the stream is not ready")
        viewers = sum(not peer.player for peer in self._peers)
        if len(self._peers) >= PEERS_MAX or (not player and viewers >= VIEWERS_MAX):
            raise TooManyPeersError(f"this session serves at most {PEERS_MAX} browsers, {VIEWERS_MAX} of them viewers")

        def ended(peer: Peer, reason: str) -> None:
            self._ended(peer)
            closed(reason)

        video = self._spec.video
        hello = {
            "width": video.width,
            "height": video.height,
            "fps": video.fps,
            "gamepad": self._sink is not None and self._sink.gamepad,
            "silent": self._door.silent,
        }
        on = PeerEvents(self._connected, ended, self._input, self._pipeline.request_keyframe, self._feedback)
        peer = Peer(player, self._port, ice_servers(self._spec.ice_servers), hello, on, self._sound is not None)
        self._peers.add(peer)
        try:
            return peer, await peer.offer()
        except BaseException:
            self._peers.discard(peer)
            raise

    @property
    def players(self) -> int:
        return sum(peer.connected and peer.player for peer in self._peers)

    @property
    def connected(self) -> int:
        """Browsers that see the stream."""
        return sum(peer.connected for peer in self._peers)

    def figures(self) -> StreamFigures:
        encode = self._pipeline.figures() if self._pipeline else None
        trips = [trip for peer in self._peers if peer.connected and (trip := peer.round_trip_ms()) is not None]
        return StreamFigures(
            encoder_name=self._encoder.name if self._encoder else "",
            players=self.players,
            viewers=self.connected - self.players,
            encoded_fps=encode.fps if encode else 0.0,
            bitrate_kbps=encode.bitrate_kbps if encode else 0,
            round_trip_ms=max(trips, default=0.0),
            encode_ms=encode.encode_ms if encode else 0.0,
            idle_s=time.monotonic() - self._last_input_s,
            sound_kbps=self._sound.kbps() if self._sound else 0,
        )

    async def close(self, reason: str) -> None:
        """Ends every peer, the pipeline and the port."""
        if self._teller is not None:
            self._teller.cancel()
        closing = [peer.close(reason) for peer in list(self._peers)]
        if closing or self._closing:
            await asyncio.wait([*closing, *self._closing], timeout=2.0)
        if self._pipeline is not None:
            await asyncio.to_thread(self._pipeline.close)
        if self._sound is not None:
            await asyncio.to_thread(self._sound.close)
        if self._port is not None:
            self._port.close()
        if self._sink is not None:
            self._sink.close()

    def _encoded(self, frame: Frame) -> None:
        self._loop.call_soon_threadsafe(self._fan_out, frame)

    def _broke(self, why: str) -> None:
        self._loop.call_soon_threadsafe(self._on.broken, why)

    def _fan_out(self, frame: Frame) -> None:
        if not self._first_frame:
            self._first_frame = True
            self._on.first_frame()
        for peer in self._peers:
            peer.send(frame)

    def _sounded(self, packet: SoundPacket) -> None:
        self._loop.call_soon_threadsafe(self._fan_out_sound, packet)

    def _fan_out_sound(self, packet: SoundPacket) -> None:
        for peer in self._peers:
            peer.send_sound(packet)

    def _connected(self, peer: Peer) -> None:
        if self._pipeline is None:
            return
        self._rates[peer] = rate.start(self._target_kbps)
        self._set_watched(True)
        self._pipeline.request_keyframe()
        self._on.peers_changed()

    def _ended(self, peer: Peer) -> None:
        self._peers.discard(peer)
        self._rates.pop(peer, None)
        closing = asyncio.current_task()
        if closing is not None:
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        self._set_watched(self.connected > 0)
        self._on.peers_changed()

    def _set_watched(self, watched: bool) -> None:
        if self._pipeline is not None:
            self._pipeline.set_watched(watched)
        if self._sound is not None:
            self._sound.set_heard(watched)

    def _input(self, event: Event) -> None:
        self._last_input_s = time.monotonic()
        self._on.activity()
        if self._sink is not None:
            self._sink.deliver(event)

    def _feedback(self, peer: Peer, feedback: rate.Feedback) -> None:
        """One encoder serves all: the weakest player's path decides, viewers follow."""
        known = self._rates.get(peer)
        if known is None or self._encoder is None or self._pipeline is None:
            return
        video = self._spec.video
        limits = rate.Limits(video.min_bitrate_kbps, video.max_bitrate_kbps)
        self._rates[peer] = rate.after(known, feedback, time.monotonic(), limits, self._encoder.costly_bitrate)
        deciding = [r for p, r in self._rates.items() if p.player] or list(self._rates.values())
        target_kbps = min(r.target_kbps for r in deciding)
        if target_kbps != self._target_kbps:
            self._target_kbps = target_kbps
            self._pipeline.set_bitrate(target_kbps)

    async def _tell_figures(self) -> None:
        while True:
            await asyncio.sleep(_FIGURES_S)
            if not self.connected:
                continue
            figures = self.figures()
            message = {
                "t": "figures",
                "encoder": figures.encoder_name,
                "encoded_fps": round(figures.encoded_fps, 1),
                "encode_ms": round(figures.encode_ms, 2),
                "bitrate_kbps": figures.bitrate_kbps,
                "sound_kbps": figures.sound_kbps,
                "silent": self._door.silent,
                **self._stages_ms(),
            }
            for peer in self._peers:
                own = {"round_trip_ms": round(peer.round_trip_ms() or 0.0, 2)}
                peer.tell(message | own | {"dropped_inputs": peer.gate.dropped.total()})
            self._on.figures_changed()


def ice_servers(servers: Sequence[IceServer]) -> list[RTCIceServer]:
    """In aiortc's words. Never its default, which asks a stranger for our address."""
    return [RTCIceServer(list(s.urls), s.username or None, s.credential or None) for s in servers]


async def open_hub(
    spec: Spec,
    environment: Mapping[str, str],
    door: SoundDoor,
    on: HubEvents,
    stages_ms: Callable[[], Mapping[str, int]],
) -> Hub:
    """The stream of the picture that `environment` tells the game to draw, and of what comes out of `door`.

    Raises StreamPortTakenError, and StreamError when this machine cannot give it for another reason.
    """
    hub = Hub(spec, door, on, stages_ms)
    try:
        source, sink = _ends(spec, environment)
        await hub.open(source, sink)
    except (EncoderError, PortError, SourceError, OSError) as error:
        await hub.close("the stream could not start")
        failure = StreamPortTakenError if isinstance(error, PortTakenError) else StreamError
        raise failure(str(error)) from error
    return hub


def _ends(spec: Spec, environment: Mapping[str, str]) -> tuple[Source, Sink]:
    video = spec.video
    if spec.picture is Picture.FRAMES:
        return FrameSource(environment, video.width, video.height), PipeSink(environment)
    from wrapper.stream.capture import CaptureSource
    from wrapper.stream.xtest import XtestSink

    name = environment["DISPLAY"]
    sink = XtestSink(name, video.width, video.height)
    return CaptureSource(name, video.width, video.height, video.fps), sink
