"""Software H.264: x264 with no delay, for machines without a working NVENC."""

from __future__ import annotations

import os

from wrapper.stream.encoder import LibavEncoder, Video

# More slices than this cost more bits than they save time.
_THREADS_MAX = 4
# A keyframe may take this many frames' worth of bits.
_BUFFER_FRAMES = 3


class X264Encoder(LibavEncoder):
    """x264, ultrafast and zero-latency, in constrained baseline: what every browser decodes."""

    def __init__(self, video: Video) -> None:
        # The other core of a small machine belongs to the game and the browser.
        threads = min(_THREADS_MAX, max(1, len(os.sched_getaffinity(0)) // 2))
        # x264 follows a change of bitrate only if it began with the cap at the bitrate.
        options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": "baseline",
            "threads": str(threads),
            "forced-idr": "1",
            "sc_threshold": "0",
            "maxrate": f"{video.bitrate_kbps}k",
            "bufsize": f"{max(1, video.bitrate_kbps * _BUFFER_FRAMES // video.fps)}k",
        }
        super().__init__("libx264", video, ("yuv420p",), options)
