"""Tells which H.264 encoders work on this machine, and for how many sessions at once, by really encoding frames.

Run as `python -m wrapper.probe`, once per start of the host agent, which itself never loads a codec. Prints one line of
JSON: {"encoders": [{"name": "libx264", "slots": 2}], "refusals": {"h264_nvenc": "why"}}.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from wrapper.stream.encoder import Candidate, Encoder, EncoderError, Video, grey
from wrapper.stream.nvenc import NvencEncoder
from wrapper.stream.x264 import X264Encoder

TRIAL = Video(width=1280, height=720, fps=30, bitrate_kbps=6000, max_bitrate_kbps=8000)
# GeForce drivers allow twelve encode sessions at once (NVIDIA, November 2025); more on one machine is not planned for.
NVENC_SLOTS_MAX = 12


def concurrent(candidate: Candidate, most: int) -> tuple[int, str]:
    """How many encoders of a kind, up to `most`, are open at once with a frame encoded by each; and why not more."""
    opened: list[Encoder] = []
    try:
        while len(opened) < most:
            encoder = candidate(TRIAL)
            opened.append(encoder)
            trial = encoder.encode(grey(TRIAL), 0, key=True)
            if trial is None or not trial.key:
                raise EncoderError(f"{encoder.name} gave no keyframe for its first frame")
    except EncoderError as error:
        return max(0, len(opened) - 1), str(error)
    finally:
        for encoder in opened:
            encoder.close()
    return len(opened), ""


def probe() -> dict[str, Any]:
    """What this machine can encode. In software a session needs two cores: one for the game, one for its encoder."""
    software = max(1, len(os.sched_getaffinity(0)) // 2)
    encoders: list[dict[str, Any]] = []
    refusals: dict[str, str] = {}
    trials: tuple[tuple[str, Candidate, int], ...] = (
        ("h264_nvenc", NvencEncoder, NVENC_SLOTS_MAX),
        ("libx264", X264Encoder, 1),
    )
    for name, candidate, most in trials:
        working, why = concurrent(candidate, most)
        if working:
            encoders.append({"name": name, "slots": software if name == "libx264" else working})
        else:
            refusals[name] = why
    return {"encoders": encoders, "refusals": refusals}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe()) + "\n")
