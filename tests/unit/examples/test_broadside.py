"""The demo game's rules and drawing, without a session around them."""

import random

import numpy as np
import pytest

from examples.broadside.__main__ import Helm
from examples.broadside.art import Art, paint
from examples.broadside.canvas import Canvas, draw, to_yuv
from examples.broadside.font import Writer
from examples.broadside.scene import Scene, draw_pixel_clock
from examples.broadside.sound import Mixer
from examples.broadside.world import LANES, WIDTH, Ball, Controls, Effect, Raider, World

WIDE, HIGH = 320, 180


@pytest.fixture(scope="module")
def art() -> Art:
    return paint(WIDE, HIGH)


def sail(world: World, controls: Controls, seconds: float) -> None:
    for _ in range(int(seconds * 30)):
        world.step(controls, 1 / 30)


def test_the_ship_answers_at_once_and_stays_on_the_picture() -> None:
    world = World(random.Random(1))
    before = world.x
    world.step(Controls(across=1.0), 1 / 30)
    assert world.x > before
    sail(world, Controls(across=1.0, along=1.0), 10)
    assert before < world.x < WIDTH
    assert world.facing == 1
    sail(world, Controls(across=-1.0, along=-1.0), 10)
    assert 0 < world.x < before
    assert world.facing == -1


def test_guns_take_time_to_load() -> None:
    world = World(random.Random(1))
    world.step(Controls(fire=True), 1 / 30)
    world.step(Controls(fire=True), 1 / 30)
    assert len(world.balls) == 1
    sail(world, Controls(fire=True), 0.4)
    assert len(world.balls) == 2


def test_a_hit_scores_and_sinks_and_a_miss_ends_the_streak() -> None:
    world = World(random.Random(1))
    world.raiders = [Raider(2, 500.0, 40.0)]
    world.balls = [Ball(500.0, LANES[2] + 2.0, 0.0, 430.0)]
    world.step(Controls(), 1 / 30)
    assert (world.score, world.streak) == (5, 1)
    assert world.raiders[0].sinking_s > 0
    world.balls = [Ball(3.0, LANES[0] - 5.0, 0.0, 430.0)]
    world.step(Controls(), 1 / 30)
    assert (world.score, world.streak) == (5, 0)


def test_there_is_always_something_to_hit() -> None:
    world = World(random.Random(2))
    for _ in range(600):
        world.step(Controls(fire=True), 1 / 30)
        assert len(world.raiders) == 4


def test_held_keys_steer_until_let_go_and_pads_do_too() -> None:
    helm = Helm()
    helm.take({"t": "key", "code": "KeyD", "down": True}, 0.0)
    assert helm.controls(0.0).across == 1.0
    helm.take({"t": "key", "code": "KeyD", "down": False}, 0.0)
    assert helm.controls(0.0).across == 0.0
    helm.take({"t": "pad", "index": 0, "axes": [-0.7, 0.1], "buttons": [1.0]}, 0.0)
    assert helm.controls(0.0) == Controls(-0.7, 0.0, True)


def test_a_tap_between_two_frames_still_fires() -> None:
    helm = Helm()
    helm.take({"t": "key", "code": "Space", "down": True}, 0.0)
    helm.take({"t": "key", "code": "Space", "down": False}, 0.0)
    assert helm.controls(0.0).fire
    assert not helm.controls(0.0).fire


def test_q_leaves_at_once_and_escape_when_held() -> None:
    helm = Helm()
    helm.take({"t": "key", "code": "Escape", "down": True}, 10.0)
    helm.controls(10.5)
    assert not helm.quit
    helm.controls(11.0)
    assert helm.quit
    helm = Helm()
    helm.take({"t": "key", "code": "KeyQ", "down": True}, 0.0)
    assert helm.quit


def test_every_moment_of_a_game_can_be_drawn(art: Art) -> None:
    world, scene, canvas = World(random.Random(3)), Scene(art), Canvas.blank(WIDE, HIGH)
    pictures = set()
    for step in range(120):
        world.step(Controls(1.0 if step % 40 < 20 else -1.0, 1.0, True), 0.1)
        scene.draw(canvas, world)
        pictures.add(canvas.y.tobytes())
        assert canvas.y.min() >= 12
        assert canvas.y.max() <= 236
    assert len(pictures) == 120


def test_a_sprite_is_cut_at_every_edge() -> None:
    canvas = Canvas.blank(64, 32)
    sprite = draw([([(0, 0), (20, 0), (20, 20), (0, 20)], (255, 255, 255))], 20, 20)
    for x, y in ((-10, -10), (54, 22), (-100, 0), (0, 100), (-10, 22)):
        canvas.stamp(sprite, x, y)
    assert canvas.y[0, 0] == canvas.y[31, 63] == to_yuv((255, 255, 255))[0]
    assert canvas.y[16, 32] == 0


def test_text_is_written_and_cut_too() -> None:
    canvas = Canvas.blank(64, 32)
    Writer().write(canvas, "AHOY", 40, 20, 2, (255, 255, 255))
    assert (canvas.y == 235).any()


def test_the_pixel_clock_can_be_read() -> None:
    canvas = Canvas(np.zeros(WIDE * 2 * HIGH * 3 // 2, np.uint8), WIDE * 2, HIGH)
    draw_pixel_clock(canvas, 0xABCDEF, 0x5A)
    bits = "".join("1" if dot > 128 else "0" for dot in canvas.y[HIGH - 8, 8:512:16])
    assert int(bits, 2) == 0xABCDEF5A


def test_a_shot_is_heard_at_once_on_its_side_and_then_there_is_silence() -> None:
    mixer = Mixer()
    assert mixer.mix(1.0, 1.05) == b""
    mixer.start(Effect("smoke", x=1000.0, y=0.0))
    left, right = np.frombuffer(mixer.mix(1.1, 1.15), "<i2").reshape(-1, 2).astype(float).T
    assert len(left) == 2400
    assert abs(right[:480]).max() > 1.5 * abs(left[:480]).max() > 1000
    assert mixer.mix(1.12, 1.15) == b"", "what is mixed once is not mixed again"
    heard = 2400
    while samples := mixer.mix(1.15 + heard / 48_000, 1.2 + heard / 48_000):
        heard += len(samples) // 4
    assert heard / 48_000 == pytest.approx(0.75, abs=0.06)


def test_what_happens_is_told_once() -> None:
    world = World(random.Random(7))
    world.step(Controls(fire=True), 0.02)
    assert [effect.kind for effect in world.fresh] == ["smoke"]
    world.step(Controls(fire=True), 0.02)
    assert world.fresh == []
    assert [effect.kind for effect in world.effects] == ["smoke"]
