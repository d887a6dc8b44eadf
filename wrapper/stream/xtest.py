"""Input for X games: keys, buttons, wheel and motion through the XTEST extension."""

from __future__ import annotations

from typing import Any

import structlog
from Xlib import XK, X
from Xlib import display as xdisplay
from Xlib.error import ConnectionClosedError, DisplayError
from Xlib.ext import xtest

from wrapper.stream.inputs import Button, Event, Key, Move, Pad, Point, Wheel
from wrapper.stream.keymap import KEYSYM_NAMES
from wrapper.stream.source import SourceError

# MouseEvent.button to X button.
_BUTTONS = {0: 1, 1: 2, 2: 3, 3: 8, 4: 9}
# X counts wheel clicks: up 4, down 5, left 6, right 7. Browsers count pixels.
_PIXELS_PER_CLICK = 100.0
_CLICKS_MAX = 20


class XtestSink:
    """One connection to the session's display."""

    gamepad = False

    def __init__(self, display_name: str, width: int, height: int) -> None:
        """Raises SourceError when there is no such display."""
        try:
            self._display: Any = xdisplay.Display(display_name)
        except DisplayError as error:
            raise SourceError(str(error)) from error
        self._size = width, height
        self._wheel = [0.0, 0.0]
        self._alive = True
        self._keycodes = {
            code: keycode
            for code, name in KEYSYM_NAMES.items()
            if (keycode := self._display.keysym_to_keycode(XK.string_to_keysym(name)))
        }

    def deliver(self, event: Event) -> None:
        if not self._alive:
            return
        try:
            self._deliver(event)
            self._display.flush()
        except ConnectionClosedError:
            self._alive = False
            structlog.get_logger().warning("the display is gone; input goes nowhere")

    def close(self) -> None:
        if not self._alive:
            return
        self._alive = False
        try:
            self._display.close()
        except ConnectionClosedError:
            return  # It went first.

    def _deliver(self, event: Event) -> None:
        match event:
            case Key(code, down):
                if code in self._keycodes:
                    self._fake(X.KeyPress if down else X.KeyRelease, self._keycodes[code])
            case Button(button, down, x, y):
                if x is not None and y is not None:
                    self._point(x, y)
                self._fake(X.ButtonPress if down else X.ButtonRelease, _BUTTONS[button])
            case Wheel(dx, dy):
                self._scroll(0, dy, (4, 5))
                self._scroll(1, dx, (6, 7))
            case Move(dx, dy):
                xtest.fake_input(self._display, X.MotionNotify, 1, x=round(dx), y=round(dy))
            case Point(x_of, y_of):
                self._point(x_of, y_of)
            case Pad():
                return  # There is no gamepad on an X display; the page has been told so.

    def _point(self, x: float, y: float) -> None:
        width, height = self._size
        xtest.fake_input(self._display, X.MotionNotify, 0, x=round(x * (width - 1)), y=round(y * (height - 1)))

    def _scroll(self, axis: int, pixels: float, buttons: tuple[int, int]) -> None:
        """Whole clicks now, the rest when it has added up."""
        total = self._wheel[axis] + pixels
        clicks = int(total / _PIXELS_PER_CLICK)
        self._wheel[axis] = total - clicks * _PIXELS_PER_CLICK
        button = buttons[clicks > 0]
        for _ in range(min(abs(clicks), _CLICKS_MAX)):
            self._fake(X.ButtonPress, button)
            self._fake(X.ButtonRelease, button)

    def _fake(self, kind: int, detail: int) -> None:
        xtest.fake_input(self._display, kind, detail)
