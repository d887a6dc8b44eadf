"""Hardware H.264: NVENC through libavcodec, with NVIDIA's settings for the lowest latency."""

from __future__ import annotations

import re

from wrapper.stream.encoder import EncoderError, LibavEncoder, Video


class NvencEncoder(LibavEncoder):
    """NVENC in constant bitrate, one frame of buffer, no reordering.

    Settings: NVIDIA's low-latency list (NVENC application note); FFmpeg resets the encoder and forces a keyframe
    at each change of bitrate.
    """

    costly_bitrate = True

    def __init__(self, video: Video) -> None:
        """Raises EncoderError for a preset that is not p1 to p7."""
        if not re.fullmatch(r"p[1-7]", video.encoder_preset):
            raise EncoderError(f"h264_nvenc has no preset {video.encoder_preset!r}")
        options = {
            "preset": video.encoder_preset,
            "tune": "ull",
            "rc": "cbr",
            "zerolatency": "1",
            "delay": "0",
            "rc-lookahead": "0",
            "multipass": "qres",
            "spatial-aq": "1",
            "forced-idr": "1",
            "profile": "high",
            "ldkfs": "1",
            "bufsize": f"{max(1, video.bitrate_kbps // video.fps)}k",
        }
        super().__init__("h264_nvenc", video, ("yuv420p", "bgra", "bgr0"), options)
