"""Both ends of the local game SDK, over the real files."""

import fcntl
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.nobody import as_nobody
from wrapper import sdk
from wrapper.stream.frames import FrameSource, PipeSink
from wrapper.stream.inputs import Button, Key, Pad
from wrapper.stream.source import SourceError

WIDTH, HEIGHT = 64, 32


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return sdk.prepare(str(tmp_path), WIDTH, HEIGHT, 30)


def draw(deck: sdk.Deck, luma: int) -> None:
    pixels = deck.begin()
    pixels[:] = bytes([luma]) * len(pixels)
    deck.publish()


def test_the_session_says_what_picture_it_wants(environment: dict[str, str]) -> None:
    with sdk.Deck(environment) as deck:
        assert (deck.width, deck.height, deck.fps) == (64, 32, 30)
        assert len(deck.begin()) == 64 * 32 * 3 // 2


def test_the_newest_frame_wins(environment: dict[str, str]) -> None:
    source = FrameSource(environment, WIDTH, HEIGHT)
    with sdk.Deck(environment) as deck:
        assert source.next(0.0) is None
        for luma in (50, 100, 150, 200):
            draw(deck, luma)
        captured = source.next(1.0)
        assert captured is not None
        assert captured.frame.format.name == "yuv420p"
        assert set(captured.frame.to_ndarray().ravel()) == {200}
        assert source.next(0.0) is None
        draw(deck, 60)
        captured = source.next(1.0)
        assert captured is not None
        assert set(captured.frame.to_ndarray().ravel()) == {60}


def test_bgra_frames_are_taken_too(environment: dict[str, str]) -> None:
    source = FrameSource(environment, WIDTH, HEIGHT)
    with sdk.Deck(environment, sdk.BGRA) as deck:
        pixels = deck.begin()
        pixels[:] = bytes((1, 2, 3, 255)) * (64 * 32)
        deck.publish()
        captured = source.next(1.0)
        assert captured is not None
        assert captured.frame.format.name == "bgra"
        assert captured.frame.to_ndarray()[5, 7].tolist() == [1, 2, 3, 255]


def test_a_frame_being_drawn_over_is_not_given(environment: dict[str, str]) -> None:
    source = FrameSource(environment, WIDTH, HEIGHT)
    memory = sdk.FrameMemory(environment["QUARTERDECK_FRAMES"])
    memory.begin(0, sdk.I420)
    memory.publish(0, sdk.I420, 1)
    memory.begin(sdk.SLOTS, sdk.I420)
    assert source.next(0.0) is None


def test_a_frame_that_is_drawn_over_while_it_is_copied_is_not_given(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FrameSource(environment, WIDTH, HEIGHT)
    copy = os.preadv

    def copy_slowly(file: int, buffers: Sequence[Any], at: int) -> int:
        size = copy(file, buffers, at)
        if at >= sdk.FIRST_SLOT_OFFSET:
            for luma in range(sdk.SLOTS):
                draw(deck, luma)
        return size

    with sdk.Deck(environment) as deck:
        draw(deck, 90)
        with monkeypatch.context() as slow:
            slow.setattr(os, "preadv", copy_slowly)
            assert source.next(0.0) is None
        assert source.next(0.0) is not None


def test_waking_ends_the_wait_without_a_picture(environment: dict[str, str]) -> None:
    source = FrameSource(environment, WIDTH, HEIGHT)
    source.wake()
    assert source.next(30.0) is None


def test_a_reader_that_sleeps_never_stops_the_game(environment: dict[str, str]) -> None:
    with sdk.Deck(environment) as deck:
        for _ in range(70_000):
            deck.begin()
            deck.publish()
        source = FrameSource(environment, WIDTH, HEIGHT)
        assert source.next(1.0) is not None


def test_input_arrives_in_order_and_whole(environment: dict[str, str]) -> None:
    sink = PipeSink(environment)
    with sdk.Deck(environment) as deck:
        assert deck.events() == []
        assert not deck.wait(0.0)
        sink.deliver(Key("KeyW", True))
        sink.deliver(Pad(0, (0.5,), (1.0, 0.0)))
        sink.deliver(Button(0, True, 0.25, 0.75))
        assert deck.wait(1.0)
        assert deck.events() == [
            {"t": "key", "code": "KeyW", "down": True},
            {"t": "pad", "index": 0, "axes": [0.5], "buttons": [1.0, 0.0]},
            {"t": "button", "button": 0, "down": True, "x": 0.25, "y": 0.75},
        ]


def test_a_game_that_reads_no_input_loses_it_and_nothing_waits(environment: dict[str, str]) -> None:
    sink = PipeSink(environment)
    for _ in range(5000):
        sink.deliver(Key("KeyW", True))
    assert sink.lost > 0
    with sdk.Deck(environment) as deck:
        assert len(deck.events()) == 5000 - sink.lost


def test_what_is_no_frames_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.write_bytes(b"x" * 8192)
    with pytest.raises(ValueError, match="not a frames file"):
        sdk.FrameMemory(str(path))


def test_a_user_of_many_pipes_is_heard_through_a_short_one() -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        as_nobody(lambda: _hear_among_many_pipes(place))


def _hear_among_many_pipes(place: str) -> None:
    longest = int(Path("/proc/sys/fs/pipe-max-size").read_text())
    while True:
        try:
            fcntl.fcntl(os.pipe()[0], fcntl.F_SETPIPE_SZ, longest)
        except PermissionError:
            break
    pipe, environment = sdk.prepare_sound(place)
    assert fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) < sdk.SOUND_PIPE_BYTES
    assert os.write(os.open(environment["QUARTERDECK_AUDIO"], os.O_RDWR | os.O_NONBLOCK), b"\0" * 4) == 4


def test_the_sdk_needs_no_library(environment: dict[str, str]) -> None:
    program = (
        "import sys; before=set(sys.modules); from wrapper import sdk; deck=sdk.connect();"
        "deck.begin(); deck.publish();"
        "print([m for m in ('numpy','av','google','grpc') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_what_its_game_makes_of_the_frames_file_changes_no_size(environment: dict[str, str]) -> None:
    source = FrameSource(environment, WIDTH, HEIGHT)
    with sdk.Deck(environment) as deck:
        draw(deck, 50)
        with Path(environment["QUARTERDECK_FRAMES"]).open("r+b") as file:
            file.write(b"spoilt" + b"\xff" * 20)
        captured = source.next(0.0)
    assert captured is not None
    assert (captured.frame.width, captured.frame.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("left", [0, sdk.PUBLISHED_OFFSET + 8, sdk.FIRST_SLOT_OFFSET + 10])
def test_a_frames_file_that_its_game_cuts_breaks_the_source_and_kills_nobody(
    environment: dict[str, str], left: int
) -> None:
    source = FrameSource(environment, WIDTH, HEIGHT)
    with sdk.Deck(environment) as deck:
        draw(deck, 50)
        os.truncate(environment["QUARTERDECK_FRAMES"], left)
        with pytest.raises(SourceError, match="the game cut its frames file"):
            source.next(0.0)


def test_a_game_that_reads_its_own_wake_ups_is_seen_all_the_same(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FrameSource(environment, WIDTH, HEIGHT)
    thief = os.open(environment["QUARTERDECK_FRAME_READY"], os.O_RDONLY | os.O_NONBLOCK)
    wait = select.select

    def wait_too_long(*arguments: Any) -> tuple[list[int], list[int], list[int]]:
        readable = wait(*arguments)
        assert os.read(thief, 1)
        return readable

    source.wake()
    with monkeypatch.context() as late:
        late.setattr(select, "select", wait_too_long)
        assert source.next(0.0) is None
    with sdk.Deck(environment) as deck:
        draw(deck, 50)
        assert source.next(0.0) is not None
    os.close(thief)
