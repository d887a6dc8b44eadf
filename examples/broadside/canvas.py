"""Drawing straight into an I420 picture, so that nothing needs a colour conversion before it is encoded.

Sprites are drawn once from polygons, with smooth edges, and kept in the same form as the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Colour = tuple[int, int, int]
Shape = tuple[Sequence[tuple[float, float]], Colour]
_OVERSAMPLE = 3


def to_yuv(colour: Colour) -> tuple[int, int, int]:
    """RGB 0..255 to limited-range BT.601, which is what browsers assume of small video."""
    red, green, blue = colour
    return (
        16 + (66 * red + 129 * green + 25 * blue + 128 >> 8),
        128 + (-38 * red - 74 * green + 112 * blue + 128 >> 8),
        128 + (112 * red - 94 * green - 18 * blue + 128 >> 8),
    )


@dataclass(frozen=True)
class Sprite:
    """Y at full size, U and V at half, and the cover of each, 0..256. Sizes are even."""

    y: NDArray[np.int16]
    u: NDArray[np.int16]
    v: NDArray[np.int16]
    cover: NDArray[np.int16]
    half_cover: NDArray[np.int16]

    @property
    def width(self) -> int:
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        return int(self.y.shape[0])

    def mirrored(self) -> Sprite:
        return Sprite(*(np.ascontiguousarray(plane[:, ::-1]) for plane in self._planes()))

    def faded(self, share: float) -> Sprite:
        """The same, seen through: 1 is solid."""
        cover = (self.cover * share).astype(np.int16)
        return Sprite(self.y, self.u, self.v, cover, (self.half_cover * share).astype(np.int16))

    def _planes(self) -> tuple[NDArray[np.int16], ...]:
        return self.y, self.u, self.v, self.cover, self.half_cover


def inside(points: Sequence[tuple[float, float]], width: int, height: int) -> NDArray[np.bool_]:
    """Which pixel centres of a width by height grid lie in the polygon (even-odd rule)."""
    mask = np.zeros((height, width), np.bool_)
    (left, top), (right, bottom) = np.min(points, axis=0), np.max(points, axis=0)
    x0, x1 = max(0, int(left)), min(width, int(right) + 2)
    y0, y1 = max(0, int(top)), min(height, int(bottom) + 2)
    box = mask[y0:y1, x0:x1]
    rows = np.arange(y0, y1)[:, None] + 0.5
    columns = np.arange(x0, x1)[None, :] + 0.5
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        if ay != by:
            crosses = (ay <= rows) != (by <= rows)
            box ^= crosses & (columns < ax + (rows - ay) * (bx - ax) / (by - ay))
    return mask


def draw(shapes: Sequence[Shape], width: int, height: int, scale: float = 1.0) -> Sprite:
    """A sprite of polygons, later ones on top; `width` and `height` in the polygons' units."""
    wide, high = round(width * scale) // 2 * 2, round(height * scale) // 2 * 2
    fine_w, fine_h = wide * _OVERSAMPLE, high * _OVERSAMPLE
    yuv = np.zeros((3, fine_h, fine_w), np.float32)
    cover = np.zeros((fine_h, fine_w), np.float32)
    for points, colour in shapes:
        mask = inside([(x * scale * _OVERSAMPLE, y * scale * _OVERSAMPLE) for x, y in points], fine_w, fine_h)
        for plane, value in zip(yuv, to_yuv(colour), strict=True):
            plane[mask] = value
        cover[mask] = 1.0
    full = _shrink(cover, _OVERSAMPLE)
    half = _shrink(cover, 2 * _OVERSAMPLE)
    luma = _shrink(yuv[0] * cover, _OVERSAMPLE) / np.maximum(full, 1e-6)
    blue, red = (_shrink(plane * cover, 2 * _OVERSAMPLE) / np.maximum(half, 1e-6) for plane in yuv[1:])
    return Sprite(*(plane.astype(np.int16) for plane in (luma, blue, red, full * 256, half * 256)))


def _shrink(plane: NDArray[np.float32], by: int) -> NDArray[np.float32]:
    height, width = plane.shape
    return plane.reshape(height // by, by, width // by, by).mean(axis=(1, 3))


class Canvas:
    """Three planes that belong to the frame now being drawn."""

    def __init__(self, pixels: Bytes, width: int, height: int) -> None:
        luma, chroma = width * height, width * height // 4
        self.width, self.height = width, height
        self.y = pixels[:luma].reshape(height, width)
        self.u = pixels[luma : luma + chroma].reshape(height // 2, width // 2)
        self.v = pixels[luma + chroma : luma + 2 * chroma].reshape(height // 2, width // 2)

    @classmethod
    def blank(cls, width: int, height: int) -> Canvas:
        return cls(np.zeros(width * height * 3 // 2, np.uint8), width, height)

    def copy_from(self, other: Canvas) -> None:
        np.copyto(self.y, other.y)
        np.copyto(self.u, other.u)
        np.copyto(self.v, other.v)

    def rectangle(self, x: int, y: int, width: int, height: int, colour: Colour) -> None:
        luma, blue, red = to_yuv(colour)
        self.y[y : y + height, x : x + width] = luma
        half = np.s_[y // 2 : (y + height + 1) // 2, x // 2 : (x + width + 1) // 2]
        self.u[half], self.v[half] = blue, red

    def stamp(self, sprite: Sprite, x: float, y: float) -> None:
        """Puts a sprite's top left corner at x, y; what lies outside is cut off."""
        left, top = int(x) // 2 * 2, int(y) // 2 * 2
        x0, y0 = max(0, left), max(0, top)
        x1, y1 = min(self.width, left + sprite.width), min(self.height, top + sprite.height)
        if x0 >= x1 or y0 >= y1:
            return
        there, here = np.s_[y0:y1, x0:x1], np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        _mix(self.y[there], sprite.y[here], sprite.cover[here])
        there = np.s_[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2]
        here = np.s_[(y0 - top) // 2 : (y1 - top) // 2, (x0 - left) // 2 : (x1 - left) // 2]
        cover = sprite.half_cover[here]
        _mix(self.u[there], sprite.u[here], cover)
        _mix(self.v[there], sprite.v[here], cover)


def _mix(under: Bytes, over: NDArray[np.int16], cover: NDArray[np.int16]) -> None:
    below = under.astype(np.int16)
    # Differences reach 219, covers 256: too much for 16 bits, so the cover is halved.
    under[...] = below + (((over - below) * (cover >> 1)) >> 7)
