"""A game on the local SDK that sounds at 440 Hz left and 880 Hz right: always or, with `keys`, while a key is held."""

import sys
import time

import numpy as np

from wrapper import sdk

LEFT_HZ, RIGHT_HZ = 440, 880
_LOUDNESS = 12_000
_AHEAD_S = 0.02


def tone(first: int, count: int) -> bytes:
    """Samples `first` to `first + count`, as the pipe takes them."""
    at = np.arange(first, first + count) / sdk.SOUND_RATE
    both = np.stack([np.sin(2 * np.pi * hertz * at) for hertz in (LEFT_HZ, RIGHT_HZ)], axis=1)
    return (both * _LOUDNESS).astype("<i2").tobytes()


def main() -> None:
    held = set()
    on_key = "keys" in sys.argv
    with sdk.connect() as deck:
        said, until_s = 0, time.monotonic()
        while True:
            for event in deck.events():
                if event["t"] == "key":
                    (held.add if event["down"] else held.discard)(event["code"])
            deck.begin()[:] = bytes([128]) * len(deck.begin())
            deck.publish()
            now_s = time.monotonic()
            until_s = max(until_s, now_s)
            if held or not on_key:
                count = round((now_s + 1 / deck.fps + _AHEAD_S - until_s) * sdk.SOUND_RATE)
                deck.play(tone(said, count))
                said, until_s = said + count, until_s + count / sdk.SOUND_RATE
            deck.wait(1 / deck.fps)


if __name__ == "__main__":
    main()
