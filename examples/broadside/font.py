"""A bitmap font of five by seven dots: capitals, figures and a few signs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.broadside.canvas import Canvas, Colour, to_yuv

_DOTS = {
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "B": "11110 10001 10001 11110 10001 10001 11110",
    "C": "01111 10000 10000 10000 10000 10000 01111",
    "D": "11110 10001 10001 10001 10001 10001 11110",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "F": "11111 10000 10000 11110 10000 10000 10000",
    "G": "01111 10000 10000 10011 10001 10001 01111",
    "H": "10001 10001 10001 11111 10001 10001 10001",
    "I": "01110 00100 00100 00100 00100 00100 01110",
    "J": "00111 00010 00010 00010 00010 10010 01100",
    "K": "10001 10010 10100 11000 10100 10010 10001",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "M": "10001 11011 10101 10101 10001 10001 10001",
    "N": "10001 11001 10101 10101 10011 10001 10001",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "Q": "01110 10001 10001 10001 10101 10010 01101",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "S": "01111 10000 10000 01110 00001 00001 11110",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "U": "10001 10001 10001 10001 10001 10001 01110",
    "V": "10001 10001 10001 10001 10001 01010 00100",
    "W": "10001 10001 10001 10101 10101 11011 10001",
    "X": "10001 10001 01010 00100 01010 10001 10001",
    "Y": "10001 10001 01010 00100 00100 00100 00100",
    "Z": "11111 00001 00010 00100 01000 10000 11111",
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "01110 10000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00001 01110",
    " ": "00000 00000 00000 00000 00000 00000 00000",
    "-": "00000 00000 00000 11111 00000 00000 00000",
    ":": "00000 00100 00000 00000 00000 00100 00000",
    ".": "00000 00000 00000 00000 00000 00000 00100",
    "+": "00000 00100 00100 11111 00100 00100 00000",
    "/": "00001 00001 00010 00100 01000 10000 10000",
}
_ADVANCE = 6
HEIGHT = 7


def mask(text: str, scale: int) -> NDArray[np.bool_]:
    """The dots of a line of text, each `scale` pixels wide; unknown signs are blank. Both sides are even."""
    columns = np.zeros((HEIGHT, len(text) * _ADVANCE), np.bool_)
    for place, sign in enumerate(text.upper()):
        rows = _DOTS.get(sign, _DOTS[" "]).split()
        columns[:, place * _ADVANCE : place * _ADVANCE + 5] = [[dot == "1" for dot in row] for row in rows]
    dots = np.kron(columns, np.ones((scale, scale), np.bool_))
    return np.pad(dots, ((0, dots.shape[0] % 2), (0, dots.shape[1] % 2)))


class Writer:
    """Writes lines of text, and keeps their dots: a line seldom changes from one frame to the next."""

    def __init__(self) -> None:
        self._masks: dict[tuple[str, int], NDArray[np.bool_]] = {}

    def write(self, canvas: Canvas, text: str, x: int, y: int, scale: int, colour: Colour, shadow: bool = True) -> None:
        """Top left corner at x, y (made even)."""
        dots = self._masks.get((text, scale))
        if dots is None:
            if len(self._masks) > 64:
                self._masks.clear()
            dots = self._masks[text, scale] = mask(text, scale)
        x, y = x // 2 * 2, y // 2 * 2
        if shadow:
            _paint(canvas, dots, x + 2, y + 2, (12, 24, 48))
        _paint(canvas, dots, x, y, colour)

    def width(self, text: str, scale: int) -> int:
        return len(text) * _ADVANCE * scale


def _paint(canvas: Canvas, dots: NDArray[np.bool_], x: int, y: int, colour: Colour) -> None:
    height, width = min(dots.shape[0], canvas.height - y), min(dots.shape[1], canvas.width - x)
    if height <= 0 or width <= 0:
        return
    luma, blue, red = to_yuv(colour)
    dots = dots[:height, :width]
    canvas.y[y : y + height, x : x + width][dots] = luma
    half = dots[::2, ::2]
    there = np.s_[y // 2 : y // 2 + half.shape[0], x // 2 : x // 2 + half.shape[1]]
    canvas.u[there][half], canvas.v[there][half] = blue, red
