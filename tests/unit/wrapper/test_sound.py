"""What is heard of what a game writes: at its own pace, never later than needed, and nothing of silence."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrapper import sdk
from wrapper.stream.sound import FRAME_BYTES, FRAME_SAMPLES, SILENCE, Backlog, Gate, OpusEncoder, Sound, SoundPacket

FRAME = bytes([1, 0]) * (FRAME_BYTES // 2)
SECOND = 50
MOST = 4 * FRAME_BYTES


def written(*numbers: int) -> bytes:
    """Frames that can be told apart."""
    return b"".join(number.to_bytes(4, "little") * FRAME_SAMPLES for number in numbers)


def number_of(frame: bytes | None) -> int | None:
    return None if frame is None else int.from_bytes(frame[:4], "little")


def test_a_frame_comes_out_when_it_is_whole_and_in_order() -> None:
    backlog = Backlog()
    backlog.put(written(1, 2)[:-4])
    assert number_of(backlog.take()) == 1
    assert backlog.take() is None
    backlog.put(written(2)[-4:])
    assert number_of(backlog.take()) == 2
    assert backlog.take() is None


def test_a_game_that_writes_a_picture_s_worth_at_a_time_loses_nothing() -> None:
    backlog, heard = Backlog(), []
    for tick in range(9 * SECOND):
        if tick % 2 == 0:
            backlog.put(written(tick, tick + 1))
        heard.append(number_of(backlog.take()))
    assert heard == list(range(9 * SECOND))


def test_what_lay_ready_for_a_second_is_dropped_oldest_first_and_the_rest_goes_on() -> None:
    backlog, heard = Backlog(), []
    backlog.put(written(0, 1, 2))  # written while this machine was busy elsewhere
    for tick in range(3 * SECOND):
        backlog.put(written(tick + 3))
        heard.append(number_of(backlog.take()))
    assert heard == sorted(set(heard))
    assert set(range(3 * SECOND)) - set(heard) == {50, 51}
    assert backlog.length == FRAME_BYTES


def test_a_game_that_writes_whatever_there_is_room_for_is_hardly_ever_cut() -> None:
    backlog, heard, next_number = Backlog(), [], 0
    for _ in range(120 * SECOND):
        while backlog.room:
            backlog.put(written(next_number))
            next_number += 1
        heard.append(number_of(backlog.take()))
    cuts = sum(after - before > 1 for before, after in pairwise(heard))  # type: ignore[operator]
    assert 0 < cuts <= 7


@given(st.lists(st.integers(0, FRAME_SAMPLES * 4), max_size=200))
def test_the_backlog_is_bounded_and_never_splits_a_sample(chunks: list[int]) -> None:
    backlog = Backlog()
    for samples in chunks:
        backlog.put(bytes(min(backlog.room, samples * 4)))
        backlog.take()
        assert 0 <= backlog.length <= MOST
        assert backlog.length % 4 == 0
        assert backlog.room == MOST - backlog.length


def test_silence_passes_only_for_a_moment_after_a_sound() -> None:
    gate = Gate()
    assert gate.closed
    assert not gate.passes(SILENCE)
    assert gate.passes(FRAME)
    passed = [gate.passes(SILENCE) for _ in range(30)]
    assert passed == [True] * 5 + [False] * 25
    assert gate.closed
    assert gate.passes(FRAME)
    assert not gate.closed


def test_one_frame_in_gives_one_packet_out_in_both_channels() -> None:
    encoder, decoder = OpusEncoder(), av.CodecContext.create("libopus", "r")
    at = np.arange(SECOND * FRAME_SAMPLES) / sdk.SOUND_RATE
    left, right = 8000 * np.sin(2 * np.pi * 500 * at), 4000 * np.sin(2 * np.pi * 1500 * at)
    pcm = np.stack([left, right], axis=1).astype("<i2").tobytes()
    heard = []
    for start in range(0, len(pcm), FRAME_BYTES):
        (frame,) = decoder.decode(av.Packet(encoder.encode(pcm[start : start + FRAME_BYTES])))
        assert frame.samples == FRAME_SAMPLES
        heard.append(frame.to_ndarray().reshape(-1, 2) if frame.format.is_packed else frame.to_ndarray().T)
    spectra = np.abs(np.fft.rfft(np.concatenate(heard)[-4800:], axis=0))
    assert [int(channel.argmax()) * 10 for channel in spectra.T] == [500, 1500]


class Listener:
    """A Sound on a real pipe, and what it delivered."""

    def __init__(self, directory: Path) -> None:
        self.pipe, environment = sdk.prepare_sound(str(directory))
        self.game = os.open(environment["QUARTERDECK_AUDIO"], os.O_WRONLY)
        self.packets: list[SoundPacket] = []
        self.delivered = threading.Event()
        self.broken: queue.Queue[str] = queue.Queue()
        self.sound = Sound(self.pipe, self.take, self.broken.put)
        self.sound.start()

    def take(self, packet: SoundPacket) -> None:
        self.packets.append(packet)
        self.delivered.set()

    def close(self) -> None:
        self.sound.close()
        os.close(self.game)
        os.close(self.pipe)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path)
    yield listener
    listener.close()


def test_who_writes_without_pause_is_held_to_the_pace_at_which_it_is_heard(listener: Listener) -> None:
    listener.sound.set_heard(True)
    began_s = time.monotonic()
    for _ in range(SECOND):
        os.write(listener.game, FRAME)  # waits for room, as a sound card makes its players wait
    # A second's worth, less what the pipe and the backlog hold.
    assert time.monotonic() - began_s >= 1.0 - sdk.SOUND_PIPE_BYTES / 192_000 - (MOST + FRAME_BYTES) / 192_000
    assert len(listener.packets) > 1
    assert all(after.pts - before.pts >= FRAME_SAMPLES for before, after in pairwise(listener.packets))


def test_nobody_listening_costs_no_encoding_and_holds_no_game_up(listener: Listener) -> None:
    for _ in range(30):
        os.write(listener.game, FRAME)
    assert listener.packets == []
    listener.sound.set_heard(True)
    while not listener.delivered.wait(0.005):
        os.write(listener.game, FRAME)
    assert listener.sound.kbps() > 0


def test_after_the_last_sound_nothing_is_sent(listener: Listener) -> None:
    listener.sound.set_heard(True)
    os.write(listener.game, FRAME * 3)
    assert listener.delivered.wait(30)
    while not listener.sound.resting:
        time.sleep(0.005)
    sent = len(listener.packets)
    assert sent == 8
    assert [len(packet.data) for packet in listener.packets].index(1) == 7, "the last one says that this is all"
    listener.delivered.clear()
    os.write(listener.game, FRAME)
    assert listener.delivered.wait(30)
    assert listener.packets[sent].pts - listener.packets[sent - 1].pts >= FRAME_SAMPLES


def test_whatever_ends_the_sound_is_heard_of(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise ZeroDivisionError("nobody expects it")

    monkeypatch.setattr(OpusEncoder, "encode", fail)
    listener.sound.set_heard(True)
    os.write(listener.game, FRAME)
    assert listener.broken.get(timeout=10) == "the wrapper failed; its log says how"


def test_the_sdk_plays_into_the_pipe_and_never_waits(tmp_path: Path) -> None:
    environment = sdk.prepare(str(tmp_path), 64, 32, 30)
    with sdk.Deck(environment) as deck:
        assert not deck.heard
        assert deck.play(FRAME) == 0
    pipe, door = sdk.prepare_sound(str(tmp_path))
    with sdk.Deck(environment | door) as deck:
        assert deck.heard
        taken = 0
        while part := deck.play(FRAME):
            taken += part
        assert sdk.SOUND_PIPE_BYTES - FRAME_BYTES < taken <= sdk.SOUND_PIPE_BYTES
        assert os.read(pipe, FRAME_BYTES) == FRAME
    os.close(pipe)
