"""Every verb of machines on the command line, against a whole house: an owned machine and a rented one live
their lives, and each verb that comes at the wrong time is refused with its reason and what to do instead."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import pytest
from quarterdeck.v1 import vms_pb2, vms_pb2_grpc

from tests.house import House

pytestmark = pytest.mark.timeout(300)

WITHIN_S = 120.0


class System:
    """A house whose provider `local` offers machines in Dublin, where nobody else has any."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.names: dict[str, str] = {}
        token = (house.data_dir / "operator.token").read_text().strip()
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._vms = vms_pb2_grpc.VmServiceStub(grpc.insecure_channel(f"127.0.0.1:{house.grpc_port}"))

    def vm(self, vm_id: str) -> vms_pb2.Vm:
        return self._vms.GetVm(vms_pb2.GetVmRequest(name=f"vms/{vm_id}"), metadata=self._metadata)

    def until(self, vm_id: str, done: Callable[[vms_pb2.Vm], bool]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not done(vm := self.vm(vm_id)):
            assert time.monotonic() < deadline, f"{vm}\n{self.house.logs()}"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {
        "local_vm_regions": "eu-west-1",
        "provider_poll_s": "0.3",
        "provider_listing_lag_s": "0.5",
    }
    with House(tmp_path_factory.mktemp("verbs"), **settings) as house:
        system = System(house)
        try:
            yield system
        finally:
            if house.run("vms", "terminate", "rented", "--force").returncode == 0:
                system.until("rented", lambda vm: vm.state == vms_pb2.VM_STATE_TERMINATED)


@dataclass(frozen=True)
class Step:
    """What is typed; the state that is answered, or the refusal: code, reason, and words that help. `then` is what the
    VM `rented` comes to by itself: its state and its phase. What is answered is remembered by the name `keep`, or
    `is_` the one that was."""

    typed: str
    state: str = ""
    refused: str = ""
    says: str = ""
    then: tuple[str, str] | None = None
    keep: str = ""
    is_: str = ""


WRONG = "FAILED_PRECONDITION VM_WRONG_STATE"
BUSY = "FAILED_PRECONDITION VM_BUSY"
OWNED = "FAILED_PRECONDITION VM_OWNED"
NOT_THERE = "NOT_FOUND VM_NOT_FOUND"

CREATION = (
    Step("vms create x --provider moon", refused="INVALID_ARGUMENT PROVIDER_UNKNOWN", says="known: static, local"),
    Step("vms create x --region moon", refused="INVALID_ARGUMENT REGION_UNKNOWN", says="eu-west-1"),
    Step("vms create x --template moon", refused="INVALID_ARGUMENT TEMPLATE_UNKNOWN", says="L4-90"),
    Step("vms create Not-An-Id", refused="INVALID_ARGUMENT", says="vm_id"),
    Step("vms create owned", "PROVISIONING"),
    Step("vms create owned", refused="ALREADY_EXISTS VM_EXISTS", says="vms/owned"),
    Step("vms create --client-token one", "PROVISIONING", keep="same"),
    Step("vms create --client-token one", "PROVISIONING", is_="{same}"),
    *(
        Step(f"vms {verb} nowhere", refused=NOT_THERE, says="vms/nowhere")
        for verb in (
            "get",
            "ready",
            "drain",
            "undrain",
            "stop",
            "start",
            "error",
            "terminate",
            "transitions",
            "attempts",
        )
    ),
)

AN_OWNED_ONE = (
    Step("vms ready owned", refused="FAILED_PRECONDITION AGENT_NOT_HEALTHY", says="not enrolled and healthy"),
    Step("vms drain owned", refused=WRONG, says="PROVISIONING"),
    Step("vms undrain owned", refused=WRONG, says="PROVISIONING"),
    Step("vms stop owned", refused=OWNED, says="only rented ones"),
    Step("vms start owned", refused=OWNED, says="only rented ones"),
    Step("vms error owned --reason GPU_FAILURE", "ERROR"),
    Step("vms error owned", "ERROR"),
    Step("vms drain owned", refused=WRONG, says="ERROR"),
    Step("vms ready owned", refused="FAILED_PRECONDITION AGENT_NOT_HEALTHY"),
    Step("vms terminate owned", "TERMINATED"),
    Step("vms terminate owned", "TERMINATED"),
    Step("vms error owned", refused=WRONG, says="TERMINATED"),
    Step("vms drain owned", refused=WRONG, says="TERMINATED"),
)

A_RENTED_ONE = (
    Step("vms create rented --provider local --region eu-west-1", "PROVISIONING", then=("READY", "HELD")),
    Step("vms ready rented", "READY"),
    Step("vms undrain rented", "READY"),
    Step("vms start rented", refused=WRONG, says="READY"),
    Step("vms drain rented", "DRAINING"),
    Step("vms drain rented", "DRAINING"),
    Step("sessions create broadside --region eu-west-1 --queue-timeout 600", "PENDING", keep="waiting"),
    Step("sessions assign {waiting} rented", refused="FAILED_PRECONDITION VM_UNFIT", says="is DRAINING"),
    Step("sessions assign {waiting} nowhere", refused=NOT_THERE),
    Step("sessions assign {waiting} local", "STARTING"),
    Step("sessions assign {waiting} rented", refused="FAILED_PRECONDITION SESSION_NOT_PENDING"),
    Step("sessions release {waiting} rented", refused="FAILED_PRECONDITION SESSION_NOT_THERE"),
    Step("sessions release {waiting} local", "STOPPING"),
    Step("sessions release nowhere local", refused="NOT_FOUND SESSION_NOT_FOUND"),
    Step("vms undrain rented", "READY"),
    Step("sessions create broadside --region eu-west-1 --wait", "RUNNING", keep="playing"),
    Step("vms stop rented", refused=BUSY, says="drain it first"),
    Step("vms terminate rented", refused=BUSY, says="drain it, or use force"),
    Step("vms ready rented", refused=BUSY, says="must end first"),
    Step("vms drain rented", "DRAINING"),
    Step("vms stop rented", refused=BUSY, says="drain it first"),
    Step("vms undrain rented", "IN_USE"),
    Step("sessions release {playing} rented", "STOPPING", then=("READY", "HELD")),
    Step("vms stop rented", "STOPPED", then=("STOPPED", "PARKED")),
    Step("vms stop rented", "STOPPED"),
    Step("vms ready rented", refused="FAILED_PRECONDITION"),
    Step("vms drain rented", refused=WRONG, says="STOPPED"),
    Step("vms start rented", "BOOTING", then=("READY", "HELD")),
    Step("vms error rented --reason 'FAN: loud'", "ERROR"),
    Step("vms stop rented", refused=WRONG, says="ERROR"),
    Step("vms ready rented", "READY"),
    Step("vms terminate rented", "DRAINING", then=("TERMINATED", "RELEASED")),
    Step("vms ready rented", refused="FAILED_PRECONDITION"),
    Step("vms start rented", refused=WRONG, says="TERMINATED"),
)


@pytest.mark.parametrize(
    "step", [*CREATION, *AN_OWNED_ONE, *A_RENTED_ONE], ids=lambda s: f"{s.typed} {s.state or s.refused}"
)
def test_a_verb(system: System, step: Step) -> None:
    words = shlex.split(step.typed.format_map(system.names))
    if step.refused:
        ran = system.house.run(*words)
        assert ran.returncode == 1, ran.stdout
        assert f"Error: {step.refused}" in ran.stderr
        assert step.says in ran.stderr
        assert step.refused != WRONG or "only: " in ran.stderr, "what would be allowed instead"
    else:
        told = system.house.json(*words)
        assert told["state"].endswith(f"_STATE_{step.state}"), told
        system.names |= {step.keep: told["name"]} if step.keep else {}
        assert step.is_.format_map(system.names) in ("", told["name"])
    if step.then:
        state, phase = vms_pb2.VmState.Value(f"VM_STATE_{step.then[0]}"), step.then[1]
        system.until("rented", lambda vm: (vm.state, vm.provisioning.phase) == (state, phase))


def test_the_history_has_it_all(system: System) -> None:
    changes = system.house.json("vms", "transitions", "rented")["transitions"][::-1]
    states = [change["state"].removeprefix("VM_STATE_") for change in changes]
    assert states[:4] == ["PROVISIONING", "BOOTING", "READY", "DRAINING"]
    assert states[-2:] == ["DRAINING", "TERMINATED"]
    assert "FAN: loud" in [change.get("detail") for change in changes]
    attempts = system.house.json("vms", "attempts", "rented")["attempts"]
    assert [(entry["purpose"], entry["outcome"]) for entry in attempts] == [
        ("START", "SUCCEEDED"),
        ("STOP", "SUCCEEDED"),
        ("RENT", "SUCCEEDED"),
    ]
    rent = attempts[-1]
    assert (rent["provider"], rent["region"], rent["machineType"], rent["number"]) == (
        "local",
        "eu-west-1",
        "process",
        "1",
    )
    assert rent["startTime"] < rent["endTime"]
    assert rent["instance"].startswith("local-")
    for verb in ("transitions", "attempts"):
        table = system.house.run("vms", verb, "rented").stdout.splitlines()
        assert len(table) == 1 + len(changes if verb == "transitions" else attempts)
    wish = ("events", "list", "--subject", "vms/rented", "--oldest-first")
    events = system.house.json(*wish)["events"]
    assert [event["data"]["state"] for event in events if event["data"]["previous"] != event["data"]["state"]] == states
    assert system.house.run(*wish, "--type", "quarterdeck.vm.error").stdout.count("FAN: loud") == 1
    heard = system.house.run("events", "list", "--subject", "hosts/rented", "--oldest-first", "--limit", "1").stdout
    assert "epoch=1 previous=OFFLINE state=ONLINE" in heard


def test_a_stolen_host_is_revoked(system: System) -> None:
    assert "Error: NOT_FOUND HOST_NOT_FOUND" in system.house.run("hosts", "revoke", "nowhere").stderr
    assert "(revoked)" in system.house.run("hosts", "revoke", "hosts/local").stdout
    assert system.house.json("hosts", "revoke", "local")["revoked"]  # once more changes nothing
