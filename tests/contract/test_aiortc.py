"""The names of aiortc and aioice that the stream reaches into. A new version that moves them fails here, by name."""

import importlib.metadata
import inspect

import aiortc.codecs
import aiortc.rtcrtpsender
from aioice.ice import Connection, StunProtocol
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCRtpSender
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap

from wrapper.stream.pipeline import Frame
from wrapper.stream.sender import EncodedTrack, PlayoutDelayMap, prepare_aiortc


def test_the_pin() -> None:
    assert importlib.metadata.version("aiortc") == "1.16.0"


async def test_the_names_inside_the_sender() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    sender = connection.addTrack(EncodedTrack(lambda: None))
    assert isinstance(sender._RTCRtpSender__rtp_header_extensions_map, HeaderExtensionsMap)
    assert sender._RTCRtpSender__rtp_history == {}
    assert sender._RTCRtpSender__rtt is None
    assert isinstance(sender._ssrc, int)
    ice = sender.transport.transport.iceGatherer._connection
    assert isinstance(ice, Connection)
    assert ice._protocols == []
    ice._local_username = "abcdefgh"
    assert sender.transport.transport.iceGatherer.getLocalParameters().usernameFragment == "abcdefgh"
    await connection.close()


def test_silence_is_noticed_by_what_is_overridden() -> None:
    source = inspect.getsource(Connection.query_consent)
    assert "CONSENT_INTERVAL" in source
    assert "CONSENT_FAILURES" in source


def test_the_sender_uses_what_is_overridden() -> None:
    source = inspect.getsource(RTCRtpSender)
    assert "self._send_keyframe()" in source
    assert "% RTP_HISTORY_SIZE" in source
    assert "packet.serialize(self.__rtp_header_extensions_map)" in source
    assert "recipient._handle_rtcp_packet(packet)" in inspect.getsource(aiortc.rtcdtlstransport.RTCDtlsTransport)


def test_the_connection_gathers_through_what_is_overridden() -> None:
    assert "self.get_component_candidates(" in inspect.getsource(Connection.gather_candidates)
    parameters = list(inspect.signature(Connection.get_component_candidates).parameters)
    assert parameters == ["self", "component", "addresses", "timeout"]
    assert "self.transactions" in inspect.getsource(StunProtocol)


def test_the_playout_delay_is_on_every_packet() -> None:
    prepare_aiortc()
    assert aiortc.rtcrtpsender.RTP_HISTORY_SIZE == 4096
    ids = [extension.id for extension in aiortc.codecs.HEADER_EXTENSIONS["video"]]
    assert len(set(ids)) == len(ids) == 3
    extensions = PlayoutDelayMap()
    extensions.configure(
        aiortc.RTCRtpSender.getCapabilities("video")
        and aiortc.rtcrtpparameters.RTCRtpParameters(headerExtensions=aiortc.codecs.HEADER_EXTENSIONS["video"])
    )
    profile, value = extensions.set(HeaderExtensions(mid="0", abs_send_time=0x010203))
    assert profile == 0xBEDE
    assert bytes([5 << 4 | 2, 0, 0, 0]) in value
    assert bytes([1 << 4 | 0]) + b"0" in value
    assert bytes([3 << 4 | 2, 1, 2, 3]) in value


async def test_a_track_begins_with_a_keyframe_and_again_after_drops() -> None:
    asked: list[int] = []
    track = EncodedTrack(lambda: asked.append(1))

    def frame(pts: int, key: bool) -> Frame:
        return Frame(b"\x00\x00\x01\x09", pts, key, 0)

    track.put(frame(1, False))
    track.put(frame(2, True))
    track.put(frame(3, False))
    assert [(await track.recv()).pts, (await track.recv()).pts] == [2, 3]
    for pts in (4, 5, 6, 7):
        track.put(frame(pts, False))
    assert asked == [1]
    track.put(frame(8, True))
    assert (await track.recv()).pts == 8
    track.stop()
