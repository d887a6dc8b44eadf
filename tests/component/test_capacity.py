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
QUICK = {"provider_poll_s": "0.3", "provider_listing_lag_s": "0.5"}


def awaited(look: Callable[[], Any], what: str, house: House) -> Any:
    """Polls: what it waits for is told by no event that a shell sees."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}, in vain:\n{house.logs()}")


def rented(house: House) -> list[dict[str, Any]]:
    return [vm for vm in house.get("vms")["vms"] if vm["provider"] != "static"]


def agents(house: House) -> list[int]:
    """Agents of rented machines, whoever started them."""
    mark = str(house.data_dir / "local-vms")
    return [
        process.pid for process in psutil.process_iter(["cmdline"]) if mark in " ".join(process.info["cmdline"] or ())
    ]


def test_a_waiting_session_rents_a_machine_that_goes_when_it_is_empty(tmp_path: Path) -> None:
    with House(tmp_path, "--no-agent", rented_idle_s="3", **QUICK) as house:
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


def test_a_pool_keeps_a_machine_ready_and_a_session_outlives_its_replacement(tmp_path: Path) -> None:
    with House(tmp_path, "--no-agent", local_vms="3", rented_idle_s="3", **QUICK) as house:
        house.json("pools", "limit", "local", "3")
        made = house.json("pools", "create", "warm", "--min-free", "1", "--max-vms", "2")
        assert (made["minFreeSlots"], made["idleAfter"]) == (1, "600s")
        ready = awaited(lambda: _ready(house), "waited for the pool's machine", house)
        asked = house.json("sessions", "create", "broadside", "--wait")
        assert (asked["state"], asked["vm"]) == ("SESSION_STATE_RUNNING", ready["name"])

        (queued,) = house.json("vms", "replace", ready["name"])["replacements"]
        assert (queued["vm"], queued["scope"]) == (ready["name"], ready["name"])
        draining = awaited(lambda: _replacement(house, "DRAINING"), "waited for the successor", house)
        successor = next(vm for vm in rented(house) if vm["name"] == draining["successor"])
        assert successor["state"] in ("VM_STATE_READY", "VM_STATE_IN_USE")
        assert _in_state(house, asked["name"], "RUNNING"), "the session plays on"

        house.json("sessions", "stop", asked["name"])
        awaited(lambda: _replacement(house, "DONE"), "waited for the old machine to go", house)
        house.run("pools", "delete", "warm")
        awaited(
            lambda: all(vm["state"] == "VM_STATE_TERMINATED" for vm in rented(house)),
            "waited for the rest to go",
            house,
        )
        assert agents(house) == []
        assert house.run("audit").returncode == 0


def _ready(house: House) -> dict[str, Any] | None:
    return next((vm for vm in rented(house) if vm["state"] == "VM_STATE_READY"), None)


def _replacement(house: House, state: str) -> dict[str, Any] | None:
    (row,) = house.get("replacements")["replacements"]
    assert row["state"] not in ("REPLACEMENT_STATE_FAILED", "REPLACEMENT_STATE_CANCELLED"), row
    found: dict[str, Any] = row
    return found if row["state"] == f"REPLACEMENT_STATE_{state}" else None


def _in_state(house: House, name: str, state: str) -> dict[str, Any] | None:
    session: dict[str, Any] = house.get(name)
    assert session["state"] not in ("SESSION_STATE_CRASHED", "SESSION_STATE_REJECTED"), session
    return session if session["state"] == f"SESSION_STATE_{state}" else None


def _terminated(house: House) -> dict[str, Any] | None:
    (machine,) = rented(house)
    return machine if machine["state"] == "VM_STATE_TERMINATED" else None
