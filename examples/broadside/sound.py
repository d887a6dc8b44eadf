"""What Broadside sounds like: a cannon, a hit, a splash, of noise and falling tones, on the side where it is seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.broadside.world import WIDTH, Effect

RATE = 48_000
_LOUDEST = 20_000.0

Samples = NDArray[np.float32]


def _burst(seconds: float, decay_s: float, smooth: int, dice: np.random.Generator) -> Samples:
    """Noise that fades; the more neighbours each sample is averaged with, the duller."""
    at = np.arange(round(seconds * RATE)) / RATE
    noise = np.convolve(dice.standard_normal(len(at) + smooth - 1), np.full(smooth, smooth**-0.5), "valid")
    return np.asarray(noise * np.exp(-at / decay_s), np.float32)


def _fall(seconds: float, from_hz: float, to_hz: float, decay_s: float) -> Samples:
    """A tone that falls and fades."""
    at = np.arange(round(seconds * RATE)) / RATE
    hertz = to_hz + (from_hz - to_hz) * np.exp(-at / (seconds / 4))
    return np.asarray(np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * np.exp(-at / decay_s), np.float32)


def _sounds() -> dict[str, Samples]:
    """By the effect that one hears; they end in silence."""
    dice = np.random.default_rng(1805)
    made = {
        "smoke": 0.55 * _fall(0.7, 160.0, 45.0, 0.16) + 0.20 * _burst(0.7, 0.09, 12, dice),
        "blaze": 0.35 * _fall(0.6, 320.0, 60.0, 0.10) + 0.30 * _burst(0.6, 0.13, 4, dice),
        "splash": 0.08 * _burst(0.4, 0.10, 2, dice),
    }
    return {kind: sound * np.linspace(1.0, 0.0, len(sound), dtype=np.float32) for kind, sound in made.items()}


class Mixer:
    """Mixes what goes on at once, as far ahead as asked and no further."""

    def __init__(self) -> None:
        self._sounds = _sounds()
        # What is still to be heard of each, both channels.
        self._voices: list[Samples] = []
        self._until_s = 0.0

    def start(self, effect: Effect) -> None:
        """Louder on the side on which it is seen."""
        side = min(1.0, max(0.0, effect.x / WIDTH))
        gains = np.array([1.0 - 0.6 * side, 0.4 + 0.6 * side], np.float32)
        self._voices.append(self._sounds[effect.kind][:, None] * gains)

    def mix(self, now_s: float, until_s: float) -> bytes:
        """What is to be heard after what was mixed before, or from now on, up to `until_s`; empty: all is still."""
        begin_s = max(self._until_s, now_s)
        count = round((until_s - begin_s) * RATE)
        if not self._voices or count <= 0:
            return b""
        self._until_s = begin_s + count / RATE
        sum_ = np.zeros((count, 2), np.float32)
        for voice in self._voices:
            sum_[: len(voice)] += voice[:count]
        self._voices = [voice[count:] for voice in self._voices if len(voice) > count]
        return np.asarray(np.tanh(sum_) * _LOUDEST, "<i2").tobytes()
