"""VMs: what has a life cycle, rented or owned. The eight states of seeds 000 and 001, and STOPPED of seed 002."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from controlplane.domain.copying import copied
from controlplane.domain.errors import Exhausted
from controlplane.domain.events import EventDraft, Value
from controlplane.domain.machine import Machine


class VmState(StrEnum):
    TEMPLATE = "TEMPLATE"
    PROVISIONING = "PROVISIONING"
    BOOTING = "BOOTING"
    READY = "READY"
    IN_USE = "IN_USE"
    DRAINING = "DRAINING"
    STOPPED = "STOPPED"
    ERROR = "ERROR"
    TERMINATED = "TERMINATED"


class VmTrigger(StrEnum):
    PROVISIONED = "provisioned"
    AGENT_HEALTHY = "agent_healthy"
    SESSION_ASSIGNED = "session_assigned"
    LAST_SESSION_ENDED = "last_session_ended"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    UNDRAIN_BUSY = "undrain_busy"
    STOP = "stop"
    START = "start"
    FAIL = "fail"
    RETRY = "retry"
    TERMINATE = "terminate"


V, T = VmState, VmTrigger

VM_MACHINE: Machine[VmState, VmTrigger] = Machine(
    name="VM",
    initial=frozenset({V.TEMPLATE, V.PROVISIONING}),
    final=frozenset({V.TERMINATED, V.TEMPLATE}),
    table={
        (V.PROVISIONING, T.PROVISIONED): V.BOOTING,
        (V.PROVISIONING, T.FAIL): V.ERROR,
        (V.PROVISIONING, T.TERMINATE): V.TERMINATED,
        (V.BOOTING, T.AGENT_HEALTHY): V.READY,
        (V.BOOTING, T.FAIL): V.ERROR,
        (V.BOOTING, T.TERMINATE): V.TERMINATED,
        (V.READY, T.SESSION_ASSIGNED): V.IN_USE,
        (V.READY, T.DRAIN): V.DRAINING,
        (V.READY, T.STOP): V.STOPPED,
        (V.READY, T.FAIL): V.ERROR,
        (V.READY, T.TERMINATE): V.TERMINATED,
        (V.IN_USE, T.SESSION_ASSIGNED): V.IN_USE,
        (V.IN_USE, T.LAST_SESSION_ENDED): V.READY,
        (V.IN_USE, T.DRAIN): V.DRAINING,
        (V.IN_USE, T.FAIL): V.ERROR,
        (V.DRAINING, T.LAST_SESSION_ENDED): V.DRAINING,
        (V.DRAINING, T.UNDRAIN): V.READY,
        (V.DRAINING, T.UNDRAIN_BUSY): V.IN_USE,
        (V.DRAINING, T.STOP): V.STOPPED,
        (V.DRAINING, T.FAIL): V.ERROR,
        (V.DRAINING, T.TERMINATE): V.TERMINATED,
        (V.STOPPED, T.START): V.BOOTING,
        (V.STOPPED, T.FAIL): V.ERROR,
        (V.STOPPED, T.TERMINATE): V.TERMINATED,
        (V.ERROR, T.RETRY): V.PROVISIONING,
        (V.ERROR, T.TERMINATE): V.TERMINATED,
    },
    verbs={
        T.DRAIN: "drain",
        T.UNDRAIN: "undrain",
        T.UNDRAIN_BUSY: "undrain",
        T.STOP: "stop",
        T.START: "start",
        T.FAIL: "error",
        T.RETRY: "ready",
        T.TERMINATE: "terminate",
    },
)

STATIC = "static"
PLACEABLE = frozenset({V.READY, V.IN_USE})
LIVE = frozenset(V) - {V.TEMPLATE, V.TERMINATED}


@dataclass(frozen=True)
class Vm:
    """`used_units` is the sum of the weights of its unfinished sessions (I1); `plan_version` grows with each change of
    what its host should run; `version` guards every save. An owned machine has provider "static". With
    `terminate_requested_at` set it terminates by itself when its last session has ended; a rented one only when its
    provider has confirmed that the machine is gone."""

    id: str
    project_id: str
    provider: str
    region_id: str
    template_id: str
    state: VmState
    capacity_units: int
    created_at: datetime
    updated_at: datetime
    used_units: int = 0
    active_sessions: int = 0
    advertised_address: str = ""
    media_ports: tuple[int, int] = (28000, 28999)
    reason_detail: str = ""
    terminate_requested_at: datetime | None = None
    plan_version: int = 0
    version: int = 0

    @property
    def name(self) -> str:
        return f"vms/{self.id}"

    @property
    def rented(self) -> bool:
        return self.provider != STATIC

    @property
    def free_units(self) -> int:
        return self.capacity_units - self.used_units

    def on(
        self, trigger: VmTrigger, now: datetime, detail: str = "", **facts: Value
    ) -> tuple[Vm, tuple[EventDraft, ...]]:
        """The VM after `trigger`, and what to tell, `facts` with it. Raises WrongState."""
        return self._on(trigger, now, detail, facts)

    def _on(
        self, trigger: VmTrigger, now: datetime, detail: str, facts: Mapping[str, Value], **changes: int
    ) -> tuple[Vm, tuple[EventDraft, ...]]:
        state = VM_MACHINE.next(self.state, trigger)
        vm = copied(self, state=state, updated_at=now, version=self.version + 1, reason_detail=detail, **changes)
        if state == self.state:
            return vm, ()
        data: dict[str, Value] = {"state": str(state), "previous": str(self.state), "trigger": str(trigger)}
        data |= {"detail": detail, "provider": self.provider, **facts}
        word = WORDS.get(state, str(state).lower())
        return vm, (EventDraft(f"quarterdeck.vm.{word}", self.project_id, self.name, vm.version, data),)

    def take(self, units: int, now: datetime) -> tuple[Vm, tuple[EventDraft, ...]]:
        """Binds one more session of `units`. Raises WrongState when not placeable, Exhausted when full."""
        vm, events = self._on(
            VmTrigger.SESSION_ASSIGNED,
            now,
            self.reason_detail,
            {},
            used_units=self.used_units + units,
            active_sessions=self.active_sessions + 1,
            plan_version=self.plan_version + 1,
        )
        if units > self.free_units:
            raise Exhausted("NO_CAPACITY", f"{self.name} has {self.free_units} of {units} units free")
        return vm, events

    def give_back(self, units: int, now: datetime) -> tuple[Vm, tuple[EventDraft, ...]]:
        """Unbinds one finished session of `units`; with the last one the VM is READY again, or stays DRAINING."""
        vm = replace(
            self,
            used_units=self.used_units - units,
            active_sessions=self.active_sessions - 1,
            plan_version=self.plan_version + 1,
            updated_at=now,
            version=self.version + 1,
        )
        if vm.active_sessions > 0:
            return vm, ()
        ending = vm.terminate_requested_at is not None and not vm.rented
        if ending and VM_MACHINE.allows(vm.state, VmTrigger.TERMINATE):
            return vm.on(VmTrigger.TERMINATE, now, vm.reason_detail)
        if VM_MACHINE.allows(vm.state, VmTrigger.LAST_SESSION_ENDED):
            return vm.on(VmTrigger.LAST_SESSION_ENDED, now, vm.reason_detail)
        return vm, ()

    def replanned(self, now: datetime) -> Vm:
        """The same VM whose host has something new to do."""
        return replace(self, plan_version=self.plan_version + 1, updated_at=now, version=self.version + 1)


# Events keep the seeds' words: VMProvisioned means that creation started, VMReady, VMError, VMTerminated.
WORDS = {VmState.PROVISIONING: "provisioned"}


@dataclass(frozen=True)
class Transition:
    """One change of a VM's state, as its history keeps it. `version` is the VM's after it."""

    vm_id: str
    version: int
    at: datetime
    previous: str
    state: str
    trigger: str
    detail: str


def transition_of(draft: EventDraft, at: datetime) -> Transition | None:
    """The change of state that an event tells of. Change and event commit together, so that history is read off the
    events: nobody can forget to write it."""
    if not draft.type.startswith("quarterdeck.vm.") or "trigger" not in draft.data:
        return None
    said = {name: str(draft.data.get(name, "")) for name in ("previous", "state", "trigger", "detail")}
    return Transition(draft.subject.removeprefix("vms/"), draft.subject_version, at, **said)
