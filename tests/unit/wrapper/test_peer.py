"""What a browser may answer: anything. What comes of it: a connection, or an AnswerError."""

import random
import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from wrapper.stream.hub import PEERS_MAX, VIEWERS_MAX, Hub, HubEvents, TooManyPeersError
from wrapper.stream.mediaport import MediaPort
from wrapper.stream.peer import AnswerError, Peer, PeerEvents
from wrapper.stream.soundserver import SoundDoor

SECTION = re.compile(r"^(?=m=)", re.MULTILINE)
STREAM = re.compile(r"^a=msid:(\S+) ", re.MULTILINE)
NOTHING = PeerEvents(lambda _: None, lambda *_: None, lambda _: None, lambda: None, lambda *_: None)


@pytest.fixture
async def port() -> AsyncIterator[MediaPort]:
    port = await MediaPort.open(0, 0, (), loopback=True, addresses=list)
    yield port
    port.close()


async def answer_to(offer: str) -> str:
    browser = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    await browser.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await browser.setLocalDescription(await browser.createAnswer())
    sdp = browser.localDescription.sdp
    await browser.close()
    return sdp


def damaged(sdp: str, dice: random.Random) -> str:
    lines = sdp.split("\r\n")
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(lines))
        match dice.randrange(4):
            case 0 if len(lines) > 1:
                del lines[at]
            case 1:
                lines[at] = lines[at][: dice.randrange(len(lines[at]) + 1)]
            case 2:
                words = lines[at].split(" ")
                words[dice.randrange(len(words))] = dice.choice(["-1", "999999999", "x", ""])
                lines[at] = " ".join(words)
            case _:
                lines.insert(at, dice.choice(lines))
    return "\r\n".join(lines)


@pytest.mark.parametrize("seed", range(12))
async def test_no_answer_does_harm(port: MediaPort, seed: int) -> None:
    dice = random.Random(seed)
    outcomes = []
    for _ in range(4):
        peer = Peer(True, port, [], {}, NOTHING, with_sound=True)
        answer = damaged(await answer_to(await peer.offer()), dice)
        try:
            await peer.answer(answer)
            outcomes.append("taken")
        except AnswerError:
            outcomes.append("refused")
        await peer.close("done")
    assert len(outcomes) == 4


@pytest.mark.parametrize(
    "line", ["candidate:x", "candidate:1 1 udp a 10.0.0.1 9 typ host", "candidate:1 1 udp 1 nowhere 9"]
)
async def test_a_malformed_candidate_is_refused(port: MediaPort, line: str) -> None:
    peer = Peer(True, port, [], {}, NOTHING)
    offer = await peer.offer()
    await peer.answer(await answer_to(offer))
    with pytest.raises(AnswerError):
        await peer.candidate(line, "0")
    await peer.close("done")


async def test_names_and_ends_of_candidates_are_ignored_and_floods_refused(port: MediaPort) -> None:
    peer = Peer(True, port, [], {}, NOTHING)
    await peer.answer(await answer_to(await peer.offer()))
    await peer.candidate("", "0")
    await peer.candidate("candidate:1 1 udp 2113937151 3f0c.local 51000 typ host", "0")
    for number in range(64):
        await peer.candidate(f"candidate:{number} 1 udp 2113937151 10.0.0.1 {5000 + number} typ host", "0")
    with pytest.raises(AnswerError, match="too many"):
        await peer.candidate("candidate:64 1 udp 2113937151 10.0.0.1 6000 typ host", "0")
    await peer.close("done")


async def test_an_answer_of_many_addresses_asks_none_of_them(port: MediaPort) -> None:
    """Or a player would have his session's host knock at thousands of strangers' doors."""
    peer = Peer(True, port, [], {}, NOTHING)
    answer = await answer_to(await peer.offer())
    flood = "".join(f"a=candidate:{n} 1 udp 2113937151 192.0.2.1 {5000 + n} typ host\r\n" for n in range(65))
    with pytest.raises(AnswerError, match="too many"):
        await peer.answer(answer + flood)
    await peer.close("done")


async def test_a_crowd_of_viewers_leaves_places_for_players(port: MediaPort) -> None:
    video = SimpleNamespace(width=64, height=32, fps=30, bitrate_kbps=1000)
    spec: Any = SimpleNamespace(video=video, ice_servers=())
    hub = Hub(spec, SoundDoor(), HubEvents(*[lambda *_: None] * 5), dict)
    pipeline: Any = SimpleNamespace(request_keyframe=lambda: None, set_watched=lambda _: None, close=lambda: None)
    hub._port, hub._pipeline = port, pipeline
    for _ in range(VIEWERS_MAX):
        await hub.connect(False, lambda _: None)
    with pytest.raises(TooManyPeersError, match="12 of them viewers"):
        await hub.connect(False, lambda _: None)
    for _ in range(PEERS_MAX - VIEWERS_MAX):
        await hub.connect(True, lambda _: None)
    with pytest.raises(TooManyPeersError):
        await hub.connect(True, lambda _: None)
    await hub.close("done")


async def test_refused_sound_is_no_bad_answer(port: MediaPort) -> None:
    """As JSEP has it: port 0, and nothing of a transport (RFC 8829, 5.3.1)."""
    peer = Peer(True, port, [], {}, NOTHING, with_sound=True)
    offer = await peer.offer()
    assert len(set(STREAM.findall(offer))) == 2, "sound and picture are kept in step"
    head, picture, sound, rest = SECTION.split(await answer_to(offer))
    assert sound.startswith("m=audio")
    refused = "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n"
    await peer.answer(head.replace("BUNDLE 0 1 2", "BUNDLE 0 2") + picture + refused + rest)
    await peer.close("done")
