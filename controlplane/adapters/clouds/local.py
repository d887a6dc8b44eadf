"""The provider `local`: rents "machines" on this one, each a real agent with a data directory of its own.

A machine is a folder named after its tag: it is found again by whoever looks, its agent started anew when it has died,
as a machine starts its services at boot. Delay, price and failures are as configured, for development and tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from fcntl import LOCK_EX, flock
from pathlib import Path

from controlplane.adapters.clouds import agent_process
from controlplane.adapters.clouds.agent_process import ProcessId
from controlplane.domain.attempt import Failure, Offer
from controlplane.domain.instance import Instance, InstanceState, Invitation, Listing, ProviderRefused
from controlplane.domain.retry import FailureKind, Remedy

NAME = "local"
TAG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
MACHINE, JOIN_TOKEN, LOCK = "machine.json", "join-token", "lock"
STOP_GRACE_S = 15.0


@dataclass(frozen=True)
class MachineType:
    """`templates` empty: it serves as any."""

    name: str = "process"
    price_micro_per_hour: int = 0
    templates: frozenset[str] = frozenset()


class Fault(StrEnum):
    """What may go wrong with an order: one for each kind of failure and each class of error, and the lost replies."""

    SOLD_OUT = "sold_out"
    LOST_ORDER = "lost_order"
    LOST_REPLY = "lost_reply"
    BROKEN = "broken"
    SILENT = "silent"
    API_ERROR = "api_error"
    FORBIDDEN = "forbidden"
    STUBBORN = "stubborn"


REFUSALS: Mapping[Fault, tuple[FailureKind, str, str, Remedy]] = {
    Fault.SOLD_OUT: (FailureKind.PROVISIONING, "SOLD_OUT", "no machine is left, say the dice", Remedy.ANOTHER_OFFER),
    Fault.API_ERROR: (FailureKind.PROVIDER_API, "API_ERROR", "not now, say the dice", Remedy.RETRY),
    Fault.FORBIDDEN: (FailureKind.PROVIDER_API, "FORBIDDEN", "never, say the dice", Remedy.GIVE_UP),
    Fault.STUBBORN: (FailureKind.PROVIDER_API, "NOT_SWITCHED", "it will not be switched, say the dice", Remedy.RETRY),
}


@dataclass(frozen=True)
class Terms:
    """`capacity` machines at most, which share `ports` alike. `delay_s` passes before an order is answered. `faults`
    has each fault's share of the orders (0 to 1, together at most 1); STUBBORN's is of stops and starts."""

    capacity: int = 2
    regions: frozenset[str] = frozenset({"local"})
    machine_types: tuple[MachineType, ...] = (MachineType(),)
    delay_s: float = 0.0
    faults: Mapping[Fault, float] = field(default_factory=dict)
    ports: tuple[int, int] = (27000, 27999)
    currency: str = "USD"


@dataclass(frozen=True)
class Machine:
    """What lies in a machine's folder. Written before its agent is started."""

    id: str
    tag: str
    vm_id: str
    region_id: str
    machine_type: str
    created_at: str
    slot: int
    enrolment_target: str
    ca_sha256: str
    on: bool = True
    pid: int = 0
    started_s: float = 0.0
    fault: str = ""

    @property
    def process(self) -> ProcessId | None:
        return ProcessId(self.pid, self.started_s) if self.pid else None


class LocalProvider:
    """Implements interfaces.Provider in `directory`, which no other deployment uses. `environment` is the agents'."""

    name = NAME

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        terms: Terms | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._root = directory
        self._environment = environment
        self._terms = terms or Terms()
        self._dice = dice
        self._turn = asyncio.Lock()

    async def offers(self, region_ids: Sequence[str], template_id: str) -> Sequence[Offer]:
        """See interfaces.Provider."""
        terms = self._terms
        return [
            Offer(NAME, region_id, kind.name, template_id, kind.price_micro_per_hour, terms.currency)
            for region_id in region_ids
            if region_id in terms.regions
            for kind in terms.machine_types
            if not kind.templates or template_id in kind.templates
        ]

    async def create(self, offer: Offer, tag: str, invitation: Invitation) -> Instance:
        """See interfaces.Provider."""
        _checked(tag)
        await asyncio.sleep(self._terms.delay_s)
        fault = self._thrown()
        if fault is not None and fault in REFUSALS:
            raise ProviderRefused(Failure(*REFUSALS[fault]))
        if fault is Fault.LOST_ORDER:
            raise TimeoutError
        made = await self._ordered(offer, tag, invitation, fault)
        if fault is Fault.LOST_REPLY:
            raise TimeoutError
        return made

    async def _ordered(self, offer: Offer, tag: str, invitation: Invitation, fault: Fault | None) -> Instance:
        async with self._locked():
            known = self._read(tag)
            if known is not None:
                return self._instance(known)
            taken = {machine.slot for machine in self._machines()}
            free = [slot for slot in range(self._terms.capacity) if slot not in taken]
            if not free:
                full = f"all {self._terms.capacity} machines of this provider are rented"
                raise _refusal("SOLD_OUT", full, Remedy.RETRY)
            machine = Machine(
                id=f"local-{secrets.token_hex(8)}",
                tag=tag,
                vm_id=invitation.vm_id,
                region_id=offer.region_id,
                machine_type=offer.machine_type,
                created_at=datetime.now(UTC).isoformat(),
                slot=free[0],
                enrolment_target=invitation.enrolment_target,
                ca_sha256=invitation.ca_sha256,
                fault=fault if fault in (Fault.BROKEN, Fault.SILENT) else "",
            )
            self._make(machine, invitation.join_token)
            return self._instance(self._powered(machine))

    async def find(self, tag: str) -> Listing:
        """See interfaces.Provider."""
        _checked(tag)
        return await self._list(lambda machine: machine.tag == tag)

    async def list_owned(self, prefix: str) -> Listing:
        """See interfaces.Provider."""
        return await self._list(lambda machine: machine.tag.startswith(prefix))

    async def destroy(self, instance_id: str) -> None:
        """See interfaces.Provider. Returns when nothing of it is left."""
        async with self._locked():
            for machine in self._machines():
                if machine.id == instance_id:
                    self._write(replace(machine, on=False))
                    folder = self._root / machine.tag
                    await agent_process.end(machine.process, folder, STOP_GRACE_S)
                    # Out of sight at once: a folder half removed would be half a machine.
                    await asyncio.to_thread(shutil.rmtree, folder.rename(self._root / f".{machine.tag}.gone"))

    async def start(self, instance_id: str) -> None:
        """See interfaces.Provider."""
        self._obeys()
        async with self._locked():
            self._powered(replace(self._known(instance_id), on=True))

    async def stop(self, instance_id: str) -> None:
        """See interfaces.Provider."""
        self._obeys()
        async with self._locked():
            machine = replace(self._known(instance_id), on=False)
            self._write(machine)
            await agent_process.end(machine.process, self._root / machine.tag, STOP_GRACE_S)

    def _thrown(self) -> Fault | None:
        """The fault of this order, or None."""
        thrown = self._dice()
        for fault, share in self._terms.faults.items():
            if fault is not Fault.STUBBORN:
                thrown -= share
                if thrown < 0:
                    return fault
        return None

    def _obeys(self) -> None:
        if self._dice() < self._terms.faults.get(Fault.STUBBORN, 0.0):
            raise ProviderRefused(Failure(*REFUSALS[Fault.STUBBORN]))

    async def _list(self, wanted: Callable[[Machine], bool]) -> Listing:
        async with self._locked():
            found = [self._powered(machine) for machine in self._machines() if wanted(machine)]
        return Listing(True, tuple(self._instance(machine) for machine in found))

    def _make(self, machine: Machine, join_token: str) -> None:
        """Appears whole or not at all."""
        for leftover in self._root.glob(".*"):
            shutil.rmtree(leftover)
        scratch = self._root / f".{machine.tag}.new"
        scratch.mkdir(mode=0o700)
        _write(scratch / JOIN_TOKEN, join_token)
        _write(scratch / MACHINE, json.dumps(asdict(machine)))
        scratch.rename(self._root / machine.tag)

    def _powered(self, machine: Machine) -> Machine:
        """The machine with its agent running, if it is switched on."""
        folder = self._root / machine.tag
        if not machine.on or machine.fault or agent_process.alive(machine.process):
            self._write(machine)
            return machine
        argv = (
            *("--data-dir", str(folder / "agent")),
            *("--enrolment-target", machine.enrolment_target, "--ca-sha256", machine.ca_sha256),
            *("--join-token-file", str(folder / JOIN_TOKEN)),
            *("--advertise-address", "127.0.0.1", "--stop-sessions-on-exit"),
        )
        process = agent_process.find(folder) or agent_process.spawn(argv, self._environment, folder)
        running = replace(machine, pid=process.pid, started_s=process.started_s)
        self._write(running)
        return running

    def _ports(self, machine: Machine) -> tuple[int, int]:
        lowest, highest = self._terms.ports
        each = (highest + 1 - lowest) // self._terms.capacity
        first = lowest + machine.slot * each
        return first, first + each - 1

    def _instance(self, machine: Machine) -> Instance:
        state = InstanceState.RUNNING if machine.on else InstanceState.STOPPED
        if machine.fault == Fault.BROKEN:
            state = InstanceState.FAILED
        born = datetime.fromisoformat(machine.created_at)
        ports = self._ports(machine)
        return Instance(machine.id, machine.tag, machine.region_id, state, born, "127.0.0.1", ports)

    def _known(self, instance_id: str) -> Machine:
        for machine in self._machines():
            if machine.id == instance_id:
                return machine
        raise _refusal("NO_SUCH_MACHINE", f"there is no machine '{instance_id}'", Remedy.GIVE_UP)

    def _machines(self) -> list[Machine]:
        tags = sorted(path.name for path in self._root.iterdir() if TAG.fullmatch(path.name) and path.is_dir())
        return [machine for tag in tags if (machine := self._read(tag)) is not None]

    def _read(self, tag: str) -> Machine | None:
        try:
            return Machine(**json.loads((self._root / tag / MACHINE).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def _write(self, machine: Machine) -> None:
        _write(self._root / machine.tag / MACHINE, json.dumps(asdict(machine)))

    @contextlib.asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """Holds the folder against other calls of this process, and against other processes."""
        # One at a time asks for the file: waiting, each takes a thread, and the holder needs one to go on.
        async with self._turn:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                await asyncio.to_thread(flock, descriptor, LOCK_EX)
                yield
            finally:
                os.close(descriptor)


def _write(path: Path, text: str) -> None:
    """Replaces a file whole, readable by its owner alone."""
    scratch = path.with_suffix(".new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _checked(tag: str) -> None:
    if not TAG.fullmatch(tag):
        raise _refusal("TAG_INVALID", "a tag is up to 63 lower-case letters, digits and dashes", Remedy.GIVE_UP)


def _refusal(code: str, message: str, remedy: Remedy) -> ProviderRefused:
    return ProviderRefused(Failure(FailureKind.PROVISIONING, code, message, remedy))
