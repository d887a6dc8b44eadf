"""Every encoder keeps the same promises. NVENC is tested where it works and skips visibly elsewhere."""

from collections.abc import Callable

import av
import numpy as np
import pytest

from wrapper.stream.encoder import Encoder, EncoderError, Video, choose, grey
from wrapper.stream.nvenc import NvencEncoder
from wrapper.stream.x264 import X264Encoder

VIDEO = Video(320, 180, 30, 800, 1600)


def skip_unless_it_works(make: Callable[[Video], Encoder]) -> None:
    try:
        choose(VIDEO, [make])
    except EncoderError as error:
        if make is NvencEncoder:
            pytest.skip(f"no NVENC here: {error}")
        raise


@pytest.fixture(params=[X264Encoder, NvencEncoder], ids=["x264", "nvenc"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    skip_unless_it_works(request.param)
    made: Encoder = request.param(VIDEO)
    return made


def picture(step: int, pixel_format: str = "yuv420p") -> av.VideoFrame:
    """Something that moves and costs bits."""
    noise = np.random.default_rng(1).integers(16, 235, (VIDEO.height * 3 // 2, VIDEO.width), np.uint8)
    frame = av.VideoFrame.from_ndarray(np.roll(noise, step * 4, axis=1), format="yuv420p")
    return frame if pixel_format == "yuv420p" else frame.reformat(format=pixel_format)


def decoded(packets: list[bytes]) -> list[av.VideoFrame]:
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for data in packets for frame in decoder.decode(av.Packet(data))]
    return frames + decoder.decode(None)


def unit_types(data: bytes) -> list[int]:
    """NAL unit types of an Annex B stream."""
    parts = data.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return [part[0] & 31 for part in parts if part]


def test_every_picture_comes_out_at_once_and_decodes(encoder: Encoder) -> None:
    encoded = [encoder.encode(picture(step), step * 3000, key=False) for step in range(20)]
    assert all(encoded)
    frames = decoded([one.data for one in encoded if one])
    assert len(frames) == 20
    assert (frames[0].width, frames[0].height) == (320, 180)


def test_the_first_is_a_keyframe_others_only_when_asked(encoder: Encoder) -> None:
    keys = []
    for step in range(12):
        one = encoder.encode(picture(step), step * 3000, key=step == 7)
        assert one is not None
        keys.append(one.key)
        if one.key:
            # SPS and PPS travel with it, so that a browser can begin here.
            assert {7, 8, 5} <= set(unit_types(one.data))
    assert [step for step, key in enumerate(keys) if key] == [0, 7]


def test_the_bitrate_moves_while_it_runs(encoder: Encoder) -> None:
    def spent(first: int) -> int:
        sizes = []
        for step in range(first, first + 90):
            one = encoder.encode(picture(step), step * 3000, key=False)
            assert one is not None
            sizes.append(len(one.data))
        return sum(sizes[30:])

    before = spent(0)
    encoder.set_bitrate(200)
    assert spent(90) < before * 0.7


def test_other_formats_are_taken(encoder: Encoder) -> None:
    one = encoder.encode(picture(0, "bgra"), 0, key=True)
    assert one is not None
    assert one.key


def test_the_first_that_works_is_chosen_and_the_others_say_why() -> None:
    class Broken:
        def __init__(self, video: Video) -> None:
            raise EncoderError("broken: always")

    chosen, refusals = choose(VIDEO, [Broken, X264Encoder])
    assert chosen.name == "libx264"
    assert refusals == ["broken: always"]
    with pytest.raises(EncoderError, match="broken: always"):
        choose(VIDEO, [Broken])


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(EncoderError, match="no preset"):
        NvencEncoder(Video(320, 180, 30, 800, 1600, encoder_preset="slow"))


def test_grey_is_grey() -> None:
    assert set(grey(VIDEO).to_ndarray().ravel()) == {128}
