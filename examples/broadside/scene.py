"""Puts one moment of the world on the canvas."""

from __future__ import annotations

import math

from examples.broadside.art import HORIZON, Art
from examples.broadside.canvas import Canvas, Sprite
from examples.broadside.font import Writer
from examples.broadside.world import LANES, World

_CLOCK_BITS = 24
_COUNT_BITS = 8
_BLOCK = 16


class Scene:
    """Draws frame after frame with the same art."""

    def __init__(self, art: Art) -> None:
        self._art = art
        self._writer = Writer()

    def draw(self, canvas: Canvas, world: World) -> None:
        canvas.copy_from(self._art.backdrop)
        self._sky(canvas, world.clock_s)
        self._sea(canvas, world.clock_s)
        self._raiders(canvas, world)
        self._ship(canvas, world)
        self._flying(canvas, world)
        self._text(canvas, world)

    def _sky(self, canvas: Canvas, clock_s: float) -> None:
        unit = self._art.unit
        for at, height, speed in ((120, 60, 5.0), (560, 110, 3.5), (860, 36, 7.0)):
            x = (at + clock_s * speed) % 1200 - 180
            canvas.stamp(self._art.cloud, x * unit, height * unit)
        for bird in range(3):
            turn = clock_s * 0.35 + bird * 2.1
            flap = self._art.gulls[int(clock_s * 7 + bird * 1.3) % 4]
            canvas.stamp(
                flap, (470 + 330 * math.sin(turn)) * unit, (120 + 40 * bird + 24 * math.sin(turn * 2.3)) * unit
            )

    def _sea(self, canvas: Canvas, clock_s: float) -> None:
        for wave in self._art.waves:
            offset = int(clock_s * wave.speed) % canvas.width
            canvas.y[wave.top : wave.top + len(wave.strip)] = wave.strip[:, offset : offset + canvas.width]

    def _raiders(self, canvas: Canvas, world: World) -> None:
        for raider in sorted(world.raiders, key=lambda raider: raider.lane):
            sprite = self._art.raiders[raider.lane][1 if raider.speed > 0 else -1]
            line = LANES[raider.lane] + 2.0 * math.sin(world.clock_s * 1.8 + raider.x * 0.02)
            if raider.sinking_s:
                self._sunk(canvas, sprite, raider.x, line, raider.sinking_s / 1.6)
            else:
                self._float(canvas, sprite, raider.x, line)

    def _float(self, canvas: Canvas, sprite: Sprite, x: float, waterline: float) -> None:
        unit = self._art.unit
        canvas.stamp(sprite, x * unit - sprite.width / 2, waterline * unit - sprite.height * 0.93)

    def _sunk(self, canvas: Canvas, sprite: Sprite, x: float, waterline: float, share: float) -> None:
        keep = max(2, int(sprite.height * (1 - share)) // 2 * 2)
        cut = Sprite(
            sprite.y[:keep],
            sprite.u[: keep // 2],
            sprite.v[: keep // 2],
            sprite.cover[:keep],
            sprite.half_cover[: keep // 2],
        )
        unit = self._art.unit
        canvas.stamp(cut, x * unit - sprite.width / 2, waterline * unit - keep)

    def _ship(self, canvas: Canvas, world: World) -> None:
        bob = 3.0 * math.sin(world.clock_s * 2.1)
        unit = self._art.unit
        wake = min(1.0, abs(world.speed_x) / 300)
        if wake > 0.1:
            length = int(90 * wake * unit)
            left = int((world.x - world.facing * 66) * unit) - (length if world.facing > 0 else 0)
            for line in range(3):
                y = int((world.y + 2 + 5 * line) * unit) // 2 * 2
                x0, x1 = max(0, left + line * 9), min(canvas.width, left + length - line * 6)
                if x0 < x1 and y + 2 < canvas.height:
                    canvas.y[y : y + 2, x0:x1] = 196 - 24 * line
        self._float(canvas, self._art.ship[world.facing], world.x, world.y + 8 + bob)

    def _flying(self, canvas: Canvas, world: World) -> None:
        unit = self._art.unit
        for ball in world.balls:
            way = (ball.start_y - ball.y) / max(1.0, ball.start_y - LANES[0])
            arc = 60.0 * math.sin(math.pi * min(1.0, way)) * 0.5
            canvas.stamp(self._art.ball, ball.x * unit - 6, (ball.y - arc) * unit)
        for effect in world.effects:
            steps = self._art.effects[effect.kind]
            sprite = steps[min(len(steps) - 1, int(effect.age_s / 0.9 * len(steps)))]
            rise = effect.age_s * (26.0 if effect.kind == "smoke" else 4.0)
            canvas.stamp(sprite, effect.x * unit - sprite.width / 2, (effect.y - rise) * unit - sprite.height / 2)

    def _text(self, canvas: Canvas, world: World) -> None:
        large, small = max(2, canvas.height // 180), max(1, canvas.height // 360)
        edge = canvas.height // 30
        self._writer.write(canvas, "BROADSIDE", edge, edge, large, (255, 244, 214))
        score = f"SCORE {world.score:04d}"
        self._writer.write(
            canvas, score, canvas.width - edge - self._writer.width(score, large), edge, large, (255, 244, 214)
        )
        if world.streak > 1:
            streak = f"{world.streak} IN A ROW"
            x = canvas.width - edge - self._writer.width(streak, small)
            self._writer.write(canvas, streak, x, edge + 10 * large, small, (255, 214, 120))
        if world.clock_s < 12.0 or world.score == 0:
            hint = "ARROWS OR WASD SAIL - SPACE FIRES - Q QUITS"
            x = (canvas.width - self._writer.width(hint, small)) // 2
            self._writer.write(canvas, hint, x, int(canvas.height * HORIZON * 0.5), small, (255, 255, 255))


def draw_pixel_clock(canvas: Canvas, now_ms: int, key_presses: int) -> None:
    """Blocks of 16 pixels along the bottom edge, white for 1, most significant bit at the left.

    24 bits of CLOCK_MONOTONIC in milliseconds, then 8 bits of how many keys have been pressed: a receiver on the same
    machine reads off the picture how old it is, and whether a key has been seen.
    """
    value = (now_ms % (1 << _CLOCK_BITS)) << _COUNT_BITS | key_presses % (1 << _COUNT_BITS)
    bits = _CLOCK_BITS + _COUNT_BITS
    for place in range(bits):
        white = value >> (bits - 1 - place) & 1
        canvas.rectangle(place * _BLOCK, canvas.height - _BLOCK, _BLOCK, _BLOCK, (255,) * 3 if white else (0, 0, 0))
