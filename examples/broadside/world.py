"""The rules of Broadside: sail under the raiders on the horizon, lead them, fire. Pure but for its own dice."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

# A sea of 1000 by 562 units, whatever the picture's size. y grows downward.
WIDTH = 1000.0
SHIP_TOP, SHIP_BOTTOM = 400.0, 470.0
LANES = (300.0, 325.0, 355.0)
_SHIP_SPEED = 330.0
_SHIP_PULL = 5.0
_RELOAD_S = 0.32
_BALL_RISE = 180.0
_RAIDERS = 4
_HIT_WIDTH = (26.0, 32.0, 40.0)


@dataclass
class Controls:
    """What the player holds: -1..1 each way, and whether the guns are to fire."""

    across: float = 0.0
    along: float = 0.0
    fire: bool = False


@dataclass
class Raider:
    lane: int
    x: float
    speed: float
    sinking_s: float = 0.0


@dataclass
class Ball:
    x: float
    y: float
    drift: float
    start_y: float


@dataclass
class Effect:
    """Smoke, a splash or a blaze, fading with its age."""

    kind: str
    x: float
    y: float
    age_s: float = 0.0


@dataclass
class World:
    dice: random.Random = field(default_factory=random.Random)
    x: float = WIDTH / 2
    y: float = 435.0
    speed_x: float = 0.0
    speed_y: float = 0.0
    facing: int = 1
    score: int = 0
    best_streak: int = 0
    streak: int = 0
    clock_s: float = 0.0
    reload_s: float = 0.0
    raiders: list[Raider] = field(default_factory=list)
    balls: list[Ball] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    # Those that came with the last step.
    fresh: list[Effect] = field(default_factory=list)

    def step(self, controls: Controls, elapsed_s: float) -> None:
        self.fresh = []
        self.clock_s += elapsed_s
        self._sail(controls, elapsed_s)
        self._fire(controls, elapsed_s)
        self._move_raiders(elapsed_s)
        self._move_balls(elapsed_s)
        for effect in self.effects:
            effect.age_s += elapsed_s
        self.effects = [effect for effect in (*self.effects, *self.fresh) if effect.age_s < 0.9]

    def _sail(self, controls: Controls, elapsed_s: float) -> None:
        pull = min(1.0, _SHIP_PULL * elapsed_s)
        self.speed_x += (controls.across * _SHIP_SPEED - self.speed_x) * pull
        self.speed_y += (controls.along * _SHIP_SPEED * 0.35 - self.speed_y) * pull
        self.x = min(WIDTH - 70.0, max(70.0, self.x + self.speed_x * elapsed_s))
        self.y = min(SHIP_BOTTOM, max(SHIP_TOP, self.y + self.speed_y * elapsed_s))
        if abs(self.speed_x) > 25.0:
            self.facing = 1 if self.speed_x > 0 else -1

    def _fire(self, controls: Controls, elapsed_s: float) -> None:
        self.reload_s = max(0.0, self.reload_s - elapsed_s)
        if controls.fire and self.reload_s == 0.0:
            self.reload_s = _RELOAD_S
            self.balls.append(Ball(self.x, self.y - 30.0, self.speed_x * 0.25, self.y - 30.0))
            self.fresh.append(Effect("smoke", self.x, self.y - 34.0))

    def _move_raiders(self, elapsed_s: float) -> None:
        for raider in self.raiders:
            if raider.sinking_s:
                raider.sinking_s += elapsed_s
            raider.x += raider.speed * (0.3 if raider.sinking_s else 1.0) * elapsed_s
        self.raiders = [r for r in self.raiders if -90.0 < r.x < WIDTH + 90.0 and r.sinking_s < 1.6]
        while len(self.raiders) < _RAIDERS:
            lane = self.dice.randrange(len(LANES))
            pace = self.dice.uniform(35.0, 75.0) * (1.0 + lane * 0.25) * (1.0 + min(self.score, 400) / 600)
            leftward = self.dice.random() < 0.5
            at = self.dice.uniform(0.0, 80.0)
            self.raiders.append(Raider(lane, WIDTH + at if leftward else -at, -pace if leftward else pace))

    def _move_balls(self, elapsed_s: float) -> None:
        flying: list[Ball] = []
        for ball in self.balls:
            before = ball.y
            ball.y -= _BALL_RISE * elapsed_s
            ball.x += ball.drift * elapsed_s
            if self._strikes(ball, before):
                continue
            if ball.y <= LANES[0] - 6.0:
                self.streak = 0
                self.fresh.append(Effect("splash", ball.x, LANES[0]))
                continue
            flying.append(ball)
        self.balls = flying

    def _strikes(self, ball: Ball, before: float) -> bool:
        for raider in self.raiders:
            line = LANES[raider.lane]
            if raider.sinking_s == 0.0 and ball.y <= line < before and abs(raider.x - ball.x) < _HIT_WIDTH[raider.lane]:
                raider.sinking_s = 1e-3
                self.streak += 1
                self.best_streak = max(self.best_streak, self.streak)
                self.score += (3 - raider.lane) * 5 * min(4, self.streak)
                self.fresh.append(Effect("blaze", raider.x, line - 12.0))
                return True
        return False
