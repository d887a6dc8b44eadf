"""The input messages of a browser: what passes, what is dropped, what is let go."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrapper.stream.inputs import (
    BURST,
    HELD_MAX,
    Button,
    InputGate,
    Key,
    Move,
    Pad,
    Ping,
    Point,
    RejectedError,
    Wheel,
    parse,
    to_line,
)


def text(**fields: object) -> str:
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("channel", "message", "event"),
    [
        ("keys", {"t": "key", "n": 1, "code": "ArrowLeft", "down": True}, Key("ArrowLeft", True)),
        ("keys", {"t": "button", "n": 1, "button": 2, "down": True}, Button(2, True)),
        ("keys", {"t": "button", "n": 1, "button": 0, "down": True, "x": 0.5, "y": 2}, Button(0, True, 0.5, 1.0)),
        ("keys", {"t": "wheel", "n": 1, "dx": 0, "dy": -120}, Wheel(0.0, -120.0)),
        ("keys", {"t": "pad", "n": 1, "index": 1, "axes": [-3, 0.5], "buttons": [1]}, Pad(1, (-1.0, 0.5), (1.0,))),
        ("keys", {"t": "ping", "n": 7}, Ping(7)),
        ("mouse", {"t": "move", "n": 1, "dx": 3, "dy": -2}, Move(3.0, -2.0)),
        ("mouse", {"t": "point", "n": 1, "x": 0.25, "y": -1}, Point(0.25, 0.0)),
    ],
)
def test_each_kind_is_understood(channel: str, message: dict[str, object], event: object) -> None:
    assert parse(channel, json.dumps(message)) == (event, message["n"])


@pytest.mark.parametrize(
    ("channel", "data", "word"),
    [
        ("keys", b"{}", "binary"),
        ("keys", "x" * 1025, "too_long"),
        ("keys", "é" * 600, "too_long"),
        ("keys", "{", "not_json"),
        ("keys", "[" * 1000, "not_json"),
        ("keys", "[1]", "not_an_object"),
        ("keys", '{"t":"shell","n":1}', "unknown_kind"),
        ("keys", '{"t":"move","n":1,"dx":1,"dy":1}', "unknown_kind"),
        ("mouse", '{"t":"key","n":1,"code":"KeyA","down":true}', "unknown_kind"),
        ("keys", '{"t":["key"],"n":1}', "unknown_kind"),
        ("keys", '{"t":"key","code":"KeyA","down":true}', "bad_field"),
        ("keys", '{"t":"key","n":true,"code":"KeyA","down":true}', "bad_field"),
        ("keys", '{"t":"key","n":1,"code":"../x","down":true}', "bad_field"),
        ("keys", '{"t":"key","n":1,"code":"KeyA","down":1}', "bad_field"),
        ("keys", '{"t":"button","n":1,"button":9,"down":true}', "bad_field"),
        ("keys", '{"t":"wheel","n":1,"dx":NaN,"dy":0}', "bad_field"),
        ("keys", '{"t":"wheel","n":1,"dx":1' + "0" * 400 + ',"dy":0}', "bad_field"),
        ("keys", '{"t":"pad","n":1,"index":4,"axes":[],"buttons":[]}', "bad_field"),
        ("keys", '{"t":"pad","n":1,"index":0,"axes":[0,0,0,0,0,0,0,0,0],"buttons":[]}', "bad_field"),
        ("mouse", '{"t":"point","n":1,"x":"0","y":0}', "bad_field"),
    ],
)
def test_what_the_format_does_not_allow_is_rejected(channel: str, data: str | bytes, word: str) -> None:
    with pytest.raises(RejectedError, match=f"^{word}$"):
        parse(channel, data)


@given(st.sampled_from(["keys", "mouse"]), st.text(max_size=200) | st.binary(max_size=50))
def test_no_message_breaks_the_gate(channel: str, data: str | bytes) -> None:
    gate = InputGate(player=True)
    assert gate.accept(channel, data, 0.0) == []
    assert gate.dropped.total() == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(["key", "button", "wheel", "pad", "move", "point", "release", "ping"]),
    st.dictionaries(
        st.sampled_from(["code", "down", "button", "dx", "dy", "x", "y", "index", "axes", "buttons"]), json_values
    ),
)
def test_any_fields_give_events_or_are_counted(kind: str, fields: dict[str, object]) -> None:
    gate = InputGate(player=True)
    message = json.dumps({"t": kind, "n": 1, **fields})
    for channel in ("keys", "mouse"):
        for event in gate.accept(channel, message, 0.0):
            assert isinstance(event, Ping) or len(to_line(event)) < 4096
    assert gate.dropped.total() >= 1


def test_a_held_key_repeats_nothing_and_is_let_go() -> None:
    gate = InputGate(player=True)
    assert gate.accept("keys", text(t="key", n=1, code="Space", down=True), 0.0) == [Key("Space", True)]
    assert gate.accept("keys", text(t="key", n=2, code="Space", down=True), 0.0) == []
    assert gate.accept("keys", text(t="button", n=3, button=0, down=True, x=0.1, y=0.1), 0.0) == [
        Button(0, True, 0.1, 0.1)
    ]
    assert gate.accept("keys", text(t="pad", n=4, index=0, axes=[1], buttons=[1, 0]), 0.0)
    assert gate.release() == [Key("Space", False), Button(0, False), Pad(0, (0.0,), (0.0, 0.0))]
    assert gate.release() == []
    assert gate.accept("keys", text(t="key", n=5, code="Space", down=False), 0.0) == []


def test_release_message_lets_go_too() -> None:
    gate = InputGate(player=True)
    gate.accept("keys", text(t="key", n=1, code="KeyW", down=True), 0.0)
    assert gate.accept("keys", text(t="release", n=2), 0.0) == [Key("KeyW", False)]


def test_late_messages_are_dropped_but_motion_adds_up() -> None:
    gate = InputGate(player=True)
    assert gate.accept("mouse", text(t="point", n=5, x=0.5, y=0.5), 0.0)
    assert gate.accept("mouse", text(t="point", n=4, x=0.1, y=0.1), 0.0) == []
    assert gate.accept("mouse", text(t="move", n=3, dx=1, dy=1), 0.0) == [Move(1.0, 1.0)]
    assert gate.dropped == {"late": 1}


def test_a_viewer_only_pings() -> None:
    gate = InputGate(player=False)
    assert gate.accept("keys", text(t="key", n=1, code="Space", down=True), 0.0) == []
    assert gate.accept("keys", text(t="ping", n=2), 0.0) == [Ping(2)]
    assert gate.release() == []
    assert gate.dropped == {"viewer": 1}


def test_a_flood_is_cut_and_recovers() -> None:
    gate = InputGate(player=True)
    passed = sum(len(gate.accept("mouse", text(t="move", n=n, dx=1, dy=0), 0.0)) for n in range(1, 2001))
    assert passed == int(BURST)
    assert gate.dropped["flood"] == 2000 - int(BURST)
    assert gate.accept("mouse", text(t="move", n=3000, dx=1, dy=0), 1.0) == [Move(1.0, 0.0)]


def test_held_keys_are_bounded() -> None:
    gate = InputGate(player=True)
    for n in range(1, 200):
        gate.accept("keys", text(t="key", n=n, code=f"F{n}", down=True), 0.0)
    assert len(gate.release()) == HELD_MAX
