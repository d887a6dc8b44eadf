"""Silence, of an agent, of the control plane, of the broker: who is declared stale or lost, and what games notice.

Real processes are suspended (SIGSTOP), the hardest kind of silence: connections stay open and nobody answers. Spans are
read from the database, whose clock decided.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.house import House

pytestmark = pytest.mark.timeout(300)

PATIENCE_S = 60.0
# Silence is judged once a second, and beats are written once a second. A machine that is slow for a moment takes
# longer, but a house that judges late does so every time.
JUDGED_WITHIN_S = 2.0
SUSPENSIONS = 3


class Watched(House):
    """A house with one session of the demo game."""

    def __init__(self, directory: Path, **settings: str) -> None:
        super().__init__(directory, **settings)
        self.start()
        self.session = self.json("sessions", "create", "broadside", "--wait")["name"]
        self.wrapper = self.pid("wrapper")
        (self.game,) = [pid for pid, line in self.family().items() if line.endswith("-m examples.broadside")][-1:]

    def row(self, statement: str) -> dict[str, Any]:
        with contextlib.closing(sqlite3.connect(f"file:{self.data_dir}/quarterdeck.db?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            return dict(database.execute(statement).fetchone())

    def host(self) -> dict[str, Any]:
        return self.row("SELECT * FROM hosts")

    def playing(self) -> dict[str, Any]:
        return self.row("SELECT * FROM sessions")

    def events(self, kind: str) -> int:
        return int(self.row(f"SELECT count(*) AS n FROM outbox WHERE type = 'quarterdeck.{kind}'")["n"])

    def until(self, what: str, done: Callable[[], object], within_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + within_s
        while not done():
            assert time.monotonic() < deadline, f"never: {what}\n{self.host()}\n{self.playing()}\n{self.logs()}"
            time.sleep(0.05)

    def host_is(self, state: str, within_s: float = PATIENCE_S) -> None:
        self.until(f"host {state}", lambda: self.host()["state"] == state, within_s)

    def silent_s(self) -> float:
        """From the last heartbeat to the host's present state."""
        host = self.host()
        since, heard = (datetime.fromisoformat(host[name]) for name in ("state_since", "last_heartbeat_at"))
        return (since - heard).total_seconds()

    @contextlib.contextmanager
    def suspended(self, part: str) -> Iterator[None]:
        pid = self.pid(part)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def game_goes_on(self) -> bool:
        """The game's process uses processor time: it draws."""
        before = psutil.Process(self.game).cpu_times().user
        self.until("the game draws", lambda: psutil.Process(self.game).cpu_times().user > before, 20)
        return psutil.Process(self.wrapper).is_running()

    def nothing_was_restarted(self) -> None:
        session = self.playing()
        assert (session["state"], session["generation"]) == ("RUNNING", 1)
        assert self.pid("wrapper") == self.wrapper
        assert self.game_goes_on()


@pytest.fixture
def default_house(tmp_path: Path) -> Iterator[Watched]:
    """Stale after the 10 s of the product; lost sooner than its 60 s, or everybody would wait for this test."""
    house = Watched(tmp_path, lost_after_s=os.environ.get("QUARTERDECK_TEST_LOST_AFTER_S", "14"))
    yield house
    house.stop()


@pytest.fixture
def hasty_house(tmp_path: Path) -> Iterator[Watched]:
    house = Watched(
        tmp_path,
        heartbeat_interval_s="0.5",
        stale_after_s="4",
        lost_after_s="5",
        session_lost_after_s="2",
        restart_grace_s="30",
    )
    yield house
    house.stop()


def test_a_silent_agent_is_stale_then_lost_and_taken_back_with_its_game(default_house: Watched) -> None:
    house = default_house
    lost_after_s = float(house.environment["QUARTERDECK_LOST_AFTER_S"])
    found = f"SELECT * FROM sessions WHERE 'sessions/' || id = '{house.session}'"
    late_s: list[float] = []
    while not late_s or (min(late_s) > JUDGED_WITHIN_S and len(late_s) < SUSPENSIONS):
        with house.suspended("agent"):
            house.host_is("STALE")
            stale_late_s = house.silent_s() - 10.0
            session = house.playing()
            assert session["unreachable_at"] is not None
            assert session["state"] == "RUNNING"
            assert house.game_goes_on()
            waiting = house.json("sessions", "create", "broadside")
            assert waiting["state"] == "SESSION_STATE_PENDING"
            house.json("sessions", "stop", waiting["name"])
            house.host_is("LOST", lost_after_s + PATIENCE_S)
            lost_late_s = house.silent_s() - lost_after_s
            assert house.game_goes_on()
        house.host_is("ONLINE")
        house.until("reachable", lambda: house.row(found)["unreachable_at"] is None)
        assert min(stale_late_s, lost_late_s) >= 0
        late_s.append(max(stale_late_s, lost_late_s))
    assert min(late_s) <= JUDGED_WITHIN_S, late_s
    assert (house.row(found)["state"], house.row(found)["generation"]) == ("RUNNING", 1)
    assert house.pid("wrapper") == house.wrapper
    for event in ("host.stale", "host.lost", "session.unreachable", "session.reachable"):
        assert house.events(event) == len(late_s), event


def test_no_outage_of_ours_makes_a_host_stale_and_a_host_away_too_long_loses_its_session(hasty_house: Watched) -> None:
    house = hasty_house
    with house.suspended("nats-server"):
        outlasts_every_limit(house)
        assert house.host()["state"] == "ONLINE"
    with house.suspended("all"):
        outlasts_every_limit(house)
    house.until("heartbeats flow", fresh_heartbeat(house))
    os.kill(house.pid("all"), signal.SIGKILL)
    house.until("heartbeats flow again", fresh_heartbeat(house))
    assert house.events("host.stale") == 0
    assert house.events("session.unreachable") == 0
    house.nothing_was_restarted()

    with house.suspended("agent"):
        house.until("the session is lost", lambda: house.playing()["state"] == "LOST")
        session = house.playing()
        assert session["reason"] == "HOST_LOST"
        assert house.host()["state"] == "LOST"
        assert house.game_goes_on()
    house.until("the returning host stops it", lambda: not psutil.pid_exists(house.wrapper))
    assert not psutil.pid_exists(house.game)
    house.until("reported", lambda: house.host()["workloads"] == 0)
    assert house.playing()["state"] == "LOST"
    assert house.row("SELECT used_units, active_sessions FROM vms") == {"used_units": 0, "active_sessions": 0}
    audited = house.run("audit")
    assert audited.returncode == 0, audited.stdout


def outlasts_every_limit(house: Watched) -> None:
    time.sleep(float(house.environment["QUARTERDECK_LOST_AFTER_S"]) + 2)  # the outage itself takes time


def fresh_heartbeat(house: Watched) -> Callable[[], bool]:
    """Another one than now."""
    before = house.host()["last_heartbeat_at"]
    return lambda: bool(house.host()["last_heartbeat_at"] != before)
