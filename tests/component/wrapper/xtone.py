"""A game on an X display that is heard through PulseAudio: its own tone, by pacat, again whenever that has ended."""

import subprocess
import sys
import threading
import time

from tests.component.wrapper import xgame
from tests.component.wrapper.tonegame import tone
from wrapper import sdk

_SECONDS = 120


def play() -> None:
    while True:
        command = ["pacat", "--raw", f"--rate={sdk.SOUND_RATE}", "--channels=2", "--format=s16le", "--latency-msec=20"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as player:
            player.communicate(tone(0, _SECONDS * sdk.SOUND_RATE))  # which takes its early end for an end
        print("pacat ended", player.returncode, flush=True)
        time.sleep(0.2)


if __name__ == "__main__":
    threading.Thread(target=play, daemon=True).start()
    sys.exit(xgame.main())
