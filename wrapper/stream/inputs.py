"""The input of one browser: what its messages look like, and which of them reach the game.

Every message is one JSON object in a text frame of at most 1024 bytes; `t` names its kind and `n` counts up
per channel. FORMAT below is the contract with the player page. Pure: time is an argument, nothing is sent here.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

FORMAT = """
The wrapper offers two data channels; the browser takes them from `ondatachannel`:

  "keys"   ordered, reliable                  "mouse"  unordered, maxRetransmits 0

Browser to wrapper on "keys" (n: integer from 1, strictly growing on this channel):
  {"t":"key","n":1,"code":"ArrowLeft","down":true}        code: KeyboardEvent.code; send no auto-repeat
  {"t":"button","n":2,"button":0,"down":true,"x":0.5,"y":0.25}
                                                          button: MouseEvent.button (0 left 1 middle 2 right 3 4);
                                                          x, y optional: 0..1 of the picture, from its top left
  {"t":"wheel","n":3,"dx":0,"dy":-120}                    pixels, WheelEvent signs (positive: right, down)
  {"t":"pad","n":4,"index":0,"axes":[0.1,-1],"buttons":[0,1]}
                                                          whole state of gamepad 0..3, standard mapping, on change only;
                                                          axes -1..1 (at most 8), buttons 0..1 (at most 32)
  {"t":"release","n":5}                                   let go of everything (blur, pointer lock lost)
  {"t":"ping","n":6}                                      answered with {"t":"pong","n":6}; no player activity

Browser to wrapper on "mouse" (n: integer from 1, growing on this channel; its own count):
  {"t":"move","n":1,"dx":3,"dy":-2}                       relative, picture pixels (pointer lock)
  {"t":"point","n":2,"x":0.5,"y":0.5}                     absolute, 0..1 of the picture; a late one is dropped

Wrapper to browser on "keys":
  {"t":"hello","role":"player","width":1280,"height":720,"fps":30,"gamepad":true,
   "silent":""}                                           why nothing is heard; empty: there is sound
  {"t":"pong","n":6}
  {"t":"figures","encoder":"libx264","encoded_fps":30.0,"encode_ms":6.1,"bitrate_kbps":4000,"round_trip_ms":1.2,
   "sound_kbps":96,"silent":"","game_started_ms":120,"first_frame_ms":450,"dropped_inputs":0}     once a second

A viewer's input is dropped, whatever it sends. Unknown kinds, bad fields and floods are dropped and counted; nothing
closes the channel. When a browser disconnects, everything it held is let go.

The game reads the same objects without `n`, one per line (see wrapper/sdk.py).
"""

MESSAGE_MAX_BYTES = 1024
HELD_MAX = 64
# A mouse at 1000 Hz passes; a loop in a page does not.
RATE_PER_S = 1500.0
BURST = 750.0

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,31}")
_CHANNEL_OF = {
    "key": "keys",
    "button": "keys",
    "wheel": "keys",
    "pad": "keys",
    "release": "keys",
    "ping": "keys",
    "move": "mouse",
    "point": "mouse",
}
_DELTA_MAX = 10_000.0
_SEQUENCE_MAX = 2**53


@dataclass(frozen=True)
class Key:
    """A key of the keyboard by its KeyboardEvent.code."""

    code: str
    down: bool


@dataclass(frozen=True)
class Button:
    """A mouse button by its MouseEvent.button; x and y are 0..1 of the picture where the page knows them."""

    button: int
    down: bool
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True)
class Wheel:
    """Scrolling in pixels; positive is right and down."""

    dx: float
    dy: float


@dataclass(frozen=True)
class Pad:
    """The whole state of one gamepad in the standard mapping."""

    index: int
    axes: tuple[float, ...]
    buttons: tuple[float, ...]


@dataclass(frozen=True)
class Move:
    """Relative motion in picture pixels."""

    dx: float
    dy: float


@dataclass(frozen=True)
class Point:
    """Absolute position, 0..1 of the picture."""

    x: float
    y: float


@dataclass(frozen=True)
class Release:
    """Let go of everything."""


@dataclass(frozen=True)
class Ping:
    """Asks for a pong with the same count."""

    sequence: int


Event = Key | Button | Wheel | Pad | Move | Point
Message = Event | Release | Ping


class RejectedError(ValueError):
    """The message is no input; its text is a short stable word for counting."""


def parse(channel: str, data: str | bytes) -> tuple[Message, int]:
    """Returns the message and its count `n`.

    Raises RejectedError for anything that FORMAT does not allow on this channel.
    """
    if isinstance(data, bytes):
        raise RejectedError("binary")
    # Before encoding it: a text of that many characters has at least that many bytes.
    if len(data) > MESSAGE_MAX_BYTES or len(data.encode("utf-8", "surrogatepass")) > MESSAGE_MAX_BYTES:
        raise RejectedError("too_long")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RejectedError("not_json") from error
    if not isinstance(fields, dict):
        raise RejectedError("not_an_object")
    kind = fields.get("t")
    if not isinstance(kind, str) or _CHANNEL_OF.get(kind) != channel:
        raise RejectedError("unknown_kind")
    sequence = fields.get("n")
    if type(sequence) is not int or not 0 < sequence < _SEQUENCE_MAX:
        raise RejectedError("bad_field")
    return _message(kind, fields, sequence), sequence


def _message(kind: str, fields: dict[str, Any], sequence: int) -> Message:
    match kind:
        case "key":
            code = fields.get("code")
            if not isinstance(code, str) or not _CODE.fullmatch(code):
                raise RejectedError("bad_field")
            return Key(code, _flag(fields, "down"))
        case "button":
            button = fields.get("button")
            if type(button) is not int or not 0 <= button <= 4:
                raise RejectedError("bad_field")
            placed = "x" in fields or "y" in fields
            x = _number(fields, "x", 0.0, 1.0) if placed else None
            y = _number(fields, "y", 0.0, 1.0) if placed else None
            return Button(button, _flag(fields, "down"), x, y)
        case "wheel":
            return Wheel(_delta(fields, "dx"), _delta(fields, "dy"))
        case "pad":
            index = fields.get("index")
            if type(index) is not int or not 0 <= index <= 3:
                raise RejectedError("bad_field")
            return Pad(index, _numbers(fields, "axes", 8, -1.0), _numbers(fields, "buttons", 32, 0.0))
        case "move":
            return Move(_delta(fields, "dx"), _delta(fields, "dy"))
        case "point":
            return Point(_number(fields, "x", 0.0, 1.0), _number(fields, "y", 0.0, 1.0))
        case "release":
            return Release()
        case _:
            return Ping(sequence)


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        raise RejectedError("bad_field")
    return value


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RejectedError("bad_field")
    try:
        number = float(value)
    except OverflowError as error:
        raise RejectedError("bad_field") from error
    if not math.isfinite(number):
        raise RejectedError("bad_field")
    return number


def _number(fields: dict[str, Any], name: str, low: float, high: float) -> float:
    return min(high, max(low, _finite(fields.get(name))))


def _delta(fields: dict[str, Any], name: str) -> float:
    return _number(fields, name, -_DELTA_MAX, _DELTA_MAX)


def _numbers(fields: dict[str, Any], name: str, most: int, low: float) -> tuple[float, ...]:
    values = fields.get(name)
    if not isinstance(values, list) or len(values) > most:
        raise RejectedError("bad_field")
    return tuple(min(1.0, max(low, _finite(value))) for value in values)


@dataclass
class InputGate:
    """What one browser may do to the game: parses, orders, limits the rate and remembers what is held."""

    player: bool
    dropped: Counter[str] = field(default_factory=Counter)
    _held: dict[Key | Button, None] = field(default_factory=dict)
    _pads: dict[int, Pad] = field(default_factory=dict)
    _newest: dict[str, int] = field(default_factory=dict)
    _tokens: float = BURST
    _refilled_s: float | None = None

    def accept(self, channel: str, data: str | bytes, now_s: float) -> list[Event | Ping]:
        """The events that this message means for the game, in order; none when it is dropped (and counted).

        `now_s` is any steady clock. A Ping is returned for everyone; a viewer's other messages are dropped.
        """
        if not self._take_token(now_s):
            self.dropped["flood"] += 1
            return []
        try:
            message, sequence = parse(channel, data)
        except RejectedError as rejected:
            self.dropped[str(rejected)] += 1
            return []
        if isinstance(message, Ping):
            return [message]
        if not self.player:
            self.dropped["viewer"] += 1
            return []
        late = sequence <= self._newest.get(channel, 0)
        # A late relative motion still counts: the sum is what matters.
        if late and not isinstance(message, Move):
            self.dropped["late"] += 1
            return []
        self._newest[channel] = max(sequence, self._newest.get(channel, 0))
        return list(self._apply(message))

    def release(self) -> list[Event]:
        """Lets go of everything that is held."""
        events: list[Event] = [
            Key(held.code, False) if isinstance(held, Key) else Button(held.button, False) for held in self._held
        ]
        events.extend(Pad(pad.index, (0.0,) * len(pad.axes), (0.0,) * len(pad.buttons)) for pad in self._pads.values())
        self._held.clear()
        self._pads.clear()
        return events

    def _apply(self, message: Event | Release) -> Iterator[Event]:
        if isinstance(message, Release):
            yield from self.release()
            return
        if isinstance(message, Key | Button):
            held: Key | Button = Key(message.code, True) if isinstance(message, Key) else Button(message.button, True)
            if message.down and (held in self._held or len(self._held) >= HELD_MAX):
                self.dropped["repeat"] += 1
                return
            if not message.down and held not in self._held:
                self.dropped["repeat"] += 1
                return
            if message.down:
                self._held[held] = None
            else:
                del self._held[held]
        elif isinstance(message, Pad):
            self._pads[message.index] = message
        yield message

    def _take_token(self, now_s: float) -> bool:
        if self._refilled_s is not None:
            self._tokens = min(BURST, self._tokens + max(0.0, now_s - self._refilled_s) * RATE_PER_S)
        self._refilled_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def to_line(event: Event) -> bytes:
    """The event as the game reads it: one JSON object and a newline, always shorter than PIPE_BUF."""
    fields: dict[str, object]
    match event:
        case Key(code, down):
            fields = {"t": "key", "code": code, "down": down}
        case Button(button, down, x, y):
            fields = {"t": "button", "button": button, "down": down}
            if x is not None and y is not None:
                fields |= {"x": x, "y": y}
        case Wheel(dx, dy):
            fields = {"t": "wheel", "dx": dx, "dy": dy}
        case Pad(index, axes, buttons):
            fields = {"t": "pad", "index": index, "axes": axes, "buttons": buttons}
        case Move(dx, dy):
            fields = {"t": "move", "dx": dx, "dy": dy}
        case Point(x_of, y_of):
            fields = {"t": "point", "x": x_of, "y": y_of}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"
