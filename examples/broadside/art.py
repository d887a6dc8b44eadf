"""The pictures of Broadside: sky and islands painted once, sprites cut once, the sea's waves rolled every frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.broadside.canvas import Canvas, Colour, Shape, Sprite, draw, inside, to_yuv

HORIZON = 0.5
"""Where the sea begins, as a share of the picture's height."""
_SKY: tuple[Colour, Colour] = ((62, 118, 178), (250, 206, 158))
_SEA: tuple[Colour, Colour] = ((58, 134, 158), (10, 44, 82))
_HULL: Colour = (92, 54, 34)
_TRIM: Colour = (214, 168, 88)
_SAIL: Colour = (246, 238, 220)
_SHADE: Colour = (222, 208, 182)
_MAST: Colour = (66, 42, 28)


def _sail(x: float, top: float, bottom: float, half: float, belly: float) -> list[tuple[float, float]]:
    steps = 8
    right = [
        (x + half + belly * math.sin(math.pi * i / steps), top + (bottom - top) * i / steps) for i in range(steps + 1)
    ]
    left = [
        (x - half + belly * 0.6 * math.sin(math.pi * i / steps), bottom - (bottom - top) * i / steps)
        for i in range(steps + 1)
    ]
    return right + left


def _ship(sail: Colour, shade: Colour, hull: Colour, flag: Colour) -> list[Shape]:
    """Bow to the right, in a box of 160 by 140."""
    shapes: list[Shape] = [
        ([(x - 1.5, top), (x + 1.5, top), (x + 1.5, 112), (x - 1.5, 112)], _MAST)
        for x, top in ((52.0, 22.0), (84.0, 10.0), (112.0, 28.0))
    ]
    shapes.append(([(112, 102), (150, 84), (151, 86), (114, 108)], _MAST))
    shapes.append(([(116, 34), (146, 86), (114, 98)], shade))
    for x, top, half in ((52.0, 28.0, 15.0), (84.0, 18.0, 18.0), (112.0, 34.0, 13.0)):
        middle = (top + 98.0) / 2
        shapes.append((_sail(x, middle + 2, 96, half + 2, 8), sail))
        shapes.append((_sail(x, top, middle, half - 2, 7), shade if x == 84.0 else sail))
    shapes.append(([(84, 2), (84, 12), (66, 9), (70, 6), (66, 3)], flag))
    shapes.append(
        ([(18, 92), (30, 92), (34, 104), (128, 104), (146, 98), (136, 122), (122, 132), (38, 132), (24, 120)], hull)
    )
    shapes.append(([(20, 98), (32, 104), (34, 108), (130, 108), (142, 102), (140, 106), (130, 112), (32, 112)], _TRIM))
    shapes.extend(([(x, 115), (x + 7, 115), (x + 7, 121), (x, 121)], (30, 18, 12)) for x in range(40, 124, 15))
    return shapes


def _round(x: float, y: float, radius_x: float, radius_y: float, corners: int = 24) -> list[tuple[float, float]]:
    turns = [2 * math.pi * i / corners for i in range(corners)]
    return [(x + radius_x * math.cos(turn), y + radius_y * math.sin(turn)) for turn in turns]


def _gull(lift: float) -> list[Shape]:
    white: Colour = (250, 250, 248)
    return [
        ([(20, 16), (10, 12 - lift), (0, 14 - lift * 0.4), (9, 15 - lift), (20, 19)], white),
        ([(20, 16), (30, 12 - lift), (40, 14 - lift * 0.4), (31, 15 - lift), (20, 19)], white),
        (_round(20, 18, 5, 2.5), (236, 236, 232)),
    ]


def _cloud() -> list[Shape]:
    pale: Colour = (252, 236, 220)
    return [(_round(x, y, w, h), pale) for x, y, w, h in ((60, 34, 52, 13), (44, 26, 26, 15), (76, 22, 32, 18))]


@dataclass(frozen=True)
class Art:
    """Every sprite at the picture's size; `unit` is pixels for one unit of the world."""

    unit: float
    ship: dict[int, Sprite]
    raiders: list[dict[int, Sprite]]
    gulls: list[Sprite]
    cloud: Sprite
    ball: Sprite
    effects: dict[str, list[Sprite]]
    backdrop: Canvas
    waves: list[Wave]


@dataclass(frozen=True)
class Wave:
    """A strip of sea that rolls sideways: luma twice as wide as the picture, so that any offset is one slice."""

    top: int
    strip: NDArray[np.uint8]
    speed: float


def paint(width: int, height: int) -> Art:
    unit = width / 1000.0
    backdrop = _backdrop(width, height)
    ship = draw(_ship(_SAIL, _SHADE, _HULL, (196, 40, 44)), 160, 140, unit)
    raiders = []
    for scale in (0.36, 0.46, 0.58):
        raider = draw(_ship((74, 66, 84), (58, 50, 70), (44, 30, 30), (20, 20, 24)), 160, 140, unit * scale)
        raiders.append({1: raider, -1: raider.mirrored()})
    puff = draw([(_round(24, 24, 20, 18), (236, 236, 236)), (_round(34, 16, 12, 11), (250, 250, 250))], 50, 48, unit)
    spray = draw(
        [
            ([(14, 34), (18, 4), (22, 34)], (240, 250, 255)),
            ([(6, 34), (4, 14), (14, 34)], (220, 240, 250)),
            ([(22, 34), (33, 12), (30, 34)], (220, 240, 250)),
        ],
        36,
        36,
        unit,
    )
    blaze = draw(
        [(_round(30, 30, 26, 24, 9), (250, 150, 40)), (_round(30, 31, 16, 14, 7), (255, 226, 120))], 60, 60, unit
    )
    effects = {"smoke": puff, "splash": spray, "blaze": blaze}
    return Art(
        unit=unit,
        ship={1: ship, -1: ship.mirrored()},
        raiders=raiders,
        gulls=[draw(_gull(lift), 40, 28, unit) for lift in (8.0, 3.0, -4.0, 3.0)],
        cloud=draw(_cloud(), 120, 52, unit * 1.4).faded(0.7),
        ball=draw([(_round(6, 6, 5, 5), (24, 24, 28)), (_round(4.5, 4.5, 1.5, 1.5), (120, 120, 130))], 12, 12, unit),
        effects={kind: [sprite.faded(1.0 - step / 6) for step in range(6)] for kind, sprite in effects.items()},
        backdrop=backdrop,
        waves=_waves(backdrop),
    )


def _fill(canvas: Canvas, top: int, bottom: int, colours: tuple[Colour, Colour], bend: float) -> None:
    share = (np.linspace(0.0, 1.0, bottom - top) ** bend)[:, None]
    first, last = (np.array(to_yuv(colour), np.float32) for colour in colours)
    rows = first[None, :] * (1 - share) + last[None, :] * share
    canvas.y[top:bottom] = rows[:, :1]
    canvas.u[top // 2 : bottom // 2] = rows[::2, 1:2]
    canvas.v[top // 2 : bottom // 2] = rows[::2, 2:3]


def _backdrop(width: int, height: int) -> Canvas:
    canvas = Canvas.blank(width, height)
    horizon = int(height * HORIZON) // 2 * 2
    _fill(canvas, 0, horizon, _SKY, 1.4)
    _fill(canvas, horizon, height, _SEA, 0.7)
    unit = width / 1000.0
    canvas.stamp(
        draw([(_round(60, 60, 58, 58, 48), (255, 226, 176))], 120, 120, unit).faded(0.55),
        690 * unit,
        horizon - 130 * unit,
    )
    canvas.stamp(draw([(_round(40, 40, 36, 36, 48), (255, 246, 222))], 80, 80, unit), 710 * unit, horizon - 110 * unit)
    for left, wide, high, colour in (
        (40, 260, 46, (96, 122, 132)),
        (150, 150, 74, (74, 104, 108)),
        (770, 230, 38, (104, 128, 136)),
    ):
        ridge = [(0.0, float(high))]
        ridge += [
            (wide * i / 24, high * (1 - math.sin(math.pi * i / 24) ** 0.7 * (0.72 + 0.28 * math.sin(i * 1.7 + left))))
            for i in range(25)
        ]
        ridge += [(float(wide), float(high))]
        canvas.stamp(draw([(ridge, colour)], wide, high, unit), left * unit, horizon - high * unit + 2)
    # The sun's road on the water.
    road = inside(
        [(width * 0.735, horizon), (width * 0.765, horizon), (width * 0.86, height), (width * 0.64, height)],
        width,
        height,
    )
    road &= (np.arange(height)[:, None] // 3 * 2654435761 % 7) < 3
    canvas.y[road] = np.minimum(canvas.y[road].astype(np.int16) + 22, 235)
    return canvas


def _waves(backdrop: Canvas) -> list[Wave]:
    """Crests, smaller and slower toward the horizon; they change luma only."""
    dice = np.random.default_rng(7)
    sea, width, height = backdrop.y, backdrop.width, backdrop.height
    waves: list[Wave] = []
    top = int(height * (HORIZON + 0.03)) // 2 * 2
    depth = 0
    while top + 8 < height:
        thick = min(6 + 2 * depth, height - top)
        strip = np.tile(sea[top : top + thick], (1, 2)).astype(np.int16)
        for _ in range(14 - depth // 2):
            length = int(dice.integers(20, 50) * (1 + depth * 0.28) * width / 1280)
            at = int(dice.integers(0, width - 1))
            bow = np.sin(np.linspace(0, np.pi, length))
            for row in range(thick):
                lift = np.where(np.abs(bow * (thick - 2) - (thick - 1 - row)) < 1.2, 14 + depth, 0)
                columns = (at + np.arange(length)) % width
                strip[row, columns] += lift.astype(np.int16)
                strip[row, columns + width] += lift.astype(np.int16)
        waves.append(Wave(top, np.clip(strip, 16, 235).astype(np.uint8), (8 + 5 * depth) * (1 if depth % 2 else -0.7)))
        top += thick + 8 + 5 * depth
        top = top // 2 * 2
        depth += 1
    return waves
