"""The encoder probe: counts what really encodes, and says why the rest does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from wrapper.probe import concurrent
from wrapper.stream.encoder import Encoded, EncoderError, Video


class Limited:
    """An encoder kind of which only so many work at once."""

    name = "limited"
    costly_bitrate = False
    open_now = 0

    def __init__(self, video: Video, limit: int) -> None:
        self.limit = limit
        Limited.open_now += 1

    def encode(self, frame: object, pts: int, key: bool) -> Encoded:
        if Limited.open_now > self.limit:
            raise EncoderError("no more sessions")
        return Encoded(b"frame", pts, key)

    def set_bitrate(self, kbps: int) -> None: ...

    def close(self) -> None:
        Limited.open_now -= 1


def test_encoders_are_counted_while_all_are_open_and_closed_afterwards() -> None:
    assert concurrent(lambda video: Limited(video, 3), 12) == (3, "no more sessions")
    assert concurrent(lambda video: Limited(video, 99), 12) == (12, "")
    assert concurrent(lambda video: Limited(video, 0), 12) == (0, "no more sessions")
    assert Limited.open_now == 0


def test_x264_works_wherever_the_wrapper_runs() -> None:
    output = subprocess.run([sys.executable, "-P", "-m", "wrapper.probe"], capture_output=True, check=True).stdout
    answer = json.loads(output)
    slots = {encoder["name"]: encoder["slots"] for encoder in answer["encoders"]}
    assert slots["libx264"] == max(1, len(os.sched_getaffinity(0)) // 2)
    assert ("h264_nvenc" in slots) != ("h264_nvenc" in answer["refusals"])
