"""On an empty fleet a session that waits rents a machine, a real agent joins, the game runs, and in the end nothing is
left. The whole house, the provider `local`, and the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.house import House

WITHIN_S = 90.0


def awaited(look: Callable[[], Any], what: str, house: House) -> Any:
    """Polls: what it waits for is told by no event that a shell sees."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what}, in vain:\n{house.logs()}")


def rented(house: House) -> list[dict[str, Any]]:
    return [vm for vm in house.json("vms", "list")["vms"] if vm["provider"] != "static"]


def agents(house: House) -> list[int]:
    """Agents of rented machines, whoever started them."""
    mark = str(house.data_dir / "local-vms")
    return [
        process.pid for process in psutil.process_iter(["cmdline"]) if mark in " ".join(process.info["cmdline"] or ())
    ]


def test_a_waiting_session_rents_a_machine_that_goes_when_it_is_empty(tmp_path: Path) -> None:
    settings = {"rented_idle_s": "3", "queue_timeout_s": "80", "provider_listing_lag_s": "1", "provider_poll_s": "1"}
    with House(tmp_path, "--no-agent", **settings) as house:
        asked = house.json("sessions", "create", "broadside")
        assert asked["state"] == "SESSION_STATE_PENDING"
        assert rented(house) == []  # nothing is rented by itself until somebody says how many
        house.json("pools", "limit", "local", "1")

        ran = awaited(lambda: _in_state(house, asked["name"], "RUNNING"), "waited for the session to run", house)
        (machine,) = rented(house)
        assert (ran["vm"], machine["state"], machine["provider"]) == (machine["name"], "VM_STATE_IN_USE", "local")
        assert machine["provisioning"]["phase"] in ("BOOTING", "HELD")
        assert len(agents(house)) >= 1

        house.json("sessions", "stop", asked["name"])
        awaited(lambda: _in_state(house, asked["name"], "STOPPED"), "waited for the session to stop", house)
        gone = awaited(lambda: _terminated(house), "waited for the machine to go", house)
        assert gone["reasonDetail"].startswith("empty for ")
        changes = house.json("vms", "transitions", gone["name"])["transitions"]
        states = [change["state"].removeprefix("VM_STATE_") for change in reversed(changes)]
        assert states == ["PROVISIONING", "BOOTING", "READY", "IN_USE", "READY", "DRAINING", "TERMINATED"]
        assert agents(house) == []
        assert [path for path in (house.data_dir / "local-vms").iterdir() if path.is_dir()] == []
        assert house.run("audit").returncode == 0


def _in_state(house: House, name: str, state: str) -> dict[str, Any] | None:
    session: dict[str, Any] = house.json("sessions", "get", name)
    assert session["state"] not in ("SESSION_STATE_CRASHED", "SESSION_STATE_REJECTED"), session
    return session if session["state"] == f"SESSION_STATE_{state}" else None


def _terminated(house: House) -> dict[str, Any] | None:
    (machine,) = rented(house)
    return machine if machine["state"] == "VM_STATE_TERMINATED" else None
