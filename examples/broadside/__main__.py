"""`python -m examples.broadside`, started by Quarterdeck: sails and sounds in a session until told to stop.

Ends with 0 on SIGTERM, on Q, and on Escape held for a second. QUARTERDECK_PIXEL_CLOCK=1 draws the latency marker.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import numpy as np

from examples.broadside.art import paint
from examples.broadside.canvas import Canvas
from examples.broadside.scene import Scene, draw_pixel_clock
from examples.broadside.sound import Mixer
from examples.broadside.world import Controls, World
from wrapper import sdk

_LEFT, _RIGHT = {"ArrowLeft", "KeyA"}, {"ArrowRight", "KeyD"}
_UP, _DOWN = {"ArrowUp", "KeyW"}, {"ArrowDown", "KeyS"}
_FIRE = {"Space", "Enter"}
_ESCAPE_HOLD_S = 1.0
# A key is worth a frame at once, but not more often than this.
_EARLY_S = 0.012
_DEAD_ZONE = 0.2
# Sound for one frame and a little more: the next may be late.
_AHEAD_S = 0.012


class Helm:
    """What the player holds, from the session's input events."""

    def __init__(self) -> None:
        self.key_presses = 0
        self.quit = False
        self._held: set[str] = set()
        self._axes = (0.0, 0.0)
        self._trigger = False
        self._tapped = False
        self._mouse = False
        self._escape_since_s: float | None = None

    def take(self, event: dict[str, Any], now_s: float) -> None:
        """One input event of the session."""
        match event["t"]:
            case "key":
                self._key(event["code"], event["down"], now_s)
            case "button":
                self._mouse = event["down"]
                self._tapped |= event["down"]
            case "pad":
                across, along, *_ = [axis if abs(axis) > _DEAD_ZONE else 0.0 for axis in [*event["axes"], 0.0, 0.0]]
                self._axes = across, along
                self._trigger = any(button > 0.5 for button in event["buttons"][:8])

    def controls(self, now_s: float) -> Controls:
        if self._escape_since_s is not None and now_s - self._escape_since_s >= _ESCAPE_HOLD_S:
            self.quit = True
        across = float(bool(self._held & _RIGHT)) - float(bool(self._held & _LEFT)) or self._axes[0]
        along = float(bool(self._held & _DOWN)) - float(bool(self._held & _UP)) or self._axes[1]
        fire = bool(self._held & _FIRE) or self._trigger or self._mouse or self._tapped
        self._tapped = False
        return Controls(across, along, fire)

    def _key(self, code: str, down: bool, now_s: float) -> None:
        if down:
            self.key_presses += 1
            self._held.add(code)
            self._tapped |= code in _FIRE
            self.quit |= code == "KeyQ"
        else:
            self._held.discard(code)
        if code == "Escape":
            self._escape_since_s = now_s if down else None


def play(deck: sdk.Deck, pixel_clock: bool) -> None:
    """Until the player leaves or SIGTERM arrives."""
    helm, world, mixer = Helm(), World(), Mixer()
    scene = Scene(paint(deck.width, deck.height))
    stopped, told = False, 0

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    print(f"under way at {deck.width}x{deck.height}, {deck.fps} fps", flush=True)
    interval_s = 1.0 / deck.fps
    drawn_s = due_s = time.monotonic()
    while not (stopped or helm.quit):
        now_s = time.monotonic()
        for event in deck.events():
            helm.take(event, now_s)
        world.step(helm.controls(now_s), min(0.1, now_s - drawn_s))
        drawn_s = now_s
        for effect in world.fresh:
            mixer.start(effect)
        deck.play(mixer.mix(now_s, now_s + interval_s + _AHEAD_S))
        if world.score > told:
            print(f"raider sunk, score {world.score}", flush=True)
            told = world.score
        canvas = Canvas(np.frombuffer(deck.begin(), np.uint8), deck.width, deck.height)
        scene.draw(canvas, world)
        if pixel_clock:
            draw_pixel_clock(canvas, time.monotonic_ns() // 1_000_000, helm.key_presses)
        deck.publish()
        due_s = max(due_s + interval_s, drawn_s)
        if deck.wait(due_s - time.monotonic()):
            # A key is worth a frame before its time, from which the beat goes on.
            time.sleep(max(0.0, min(due_s, drawn_s + _EARLY_S) - time.monotonic()))
            due_s = time.monotonic()


def main() -> int:
    try:
        deck = sdk.connect()
    except KeyError as missing:
        print(f"broadside is started by Quarterdeck: {missing} is not set", file=sys.stderr)
        return 2
    with deck:
        play(deck, os.environ.get("QUARTERDECK_PIXEL_CLOCK") == "1")
    print("fair winds")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
