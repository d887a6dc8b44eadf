"""Rows of machines: VMs, their history and purchase, and hosts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from controlplane.domain.attempt import Attempt
from controlplane.domain.host import Host, LinkState
from controlplane.domain.provisioning import Provisioning
from controlplane.domain.vm import Transition, Vm, VmState


@dataclass(frozen=True)
class Page:
    """A slice of a list ordered by (created_at, id), newest first; `after` is the (created_at, id) it starts behind."""

    size: int = 50
    after: tuple[datetime, str] | None = None


class VmRows(Protocol):
    async def get(self, vm_id: str) -> Vm | None: ...

    async def lock(self, vm_id: str) -> Vm | None:
        """The VM, locked against every other transaction until this one ends."""
        ...

    async def add(self, vm: Vm) -> None:
        """Raises AlreadyExists when the id is taken."""
        ...

    async def save(self, vm: Vm) -> None:
        """Writes `vm` over the version that this transaction has read: of two writers who started from the same
        version exactly one wins. Raises Conflict, and RuntimeError when it was not read in this transaction."""
        ...

    async def list(self, project_id: str, states: Sequence[VmState], page: Page) -> Sequence[Vm]:
        """VMs of a project; no states means all."""
        ...

    async def placeable(self, project_id: str, regions: Sequence[str], limit: int) -> Sequence[tuple[Vm, Host]]:
        """READY and IN_USE VMs with free units and their hosts: in the order of these regions, then fullest first, ties
        by id. No regions: any, all alike."""
        ...

    async def links(self, vm_ids: Sequence[str]) -> Mapping[str, LinkState]:
        """Of the hosts of these VMs, by id, in one statement; VMs without a host are left out."""
        ...


class TransitionRows(Protocol):
    """Every change of a VM's state. `OutboxRows.append` writes them, out of the events that tell of them."""

    async def of_vm(self, vm_id: str, page: Page) -> Sequence[Transition]:
        """Newest first; of `page.after` the id is the VM's version after the change."""
        ...


class AttemptRows(Protocol):
    """Every attempt of a rented VM. `ProvisioningRows` writes them: each saved row's last one, until it has ended."""

    async def of_vm(self, vm_id: str, page: Page) -> Sequence[Attempt]:
        """Newest first; of `page.after` the id is the attempt's number."""
        ...


class ProvisioningRows(Protocol):
    """The progress of rented VMs, by the VM's id. A worker claims rows, works outside the transaction, and applies
    under its lease; operators' verbs save over the version that they have read."""

    async def get(self, vm_id: str) -> Provisioning | None: ...

    async def of_vms(self, vm_ids: Sequence[str]) -> Mapping[str, Provisioning]: ...

    async def add(self, row: Provisioning) -> None: ...

    async def save(self, row: Provisioning) -> None:
        """As VmRows.save."""
        ...

    async def claim(
        self, limit: int, lease_s: float, lease_token: str, apart_from: Collection[str] = ()
    ) -> Sequence[Provisioning]:
        """Rows with something to do now that nobody has a lease on, longest waiting first, but of these providers: of
        those in a phase that goes on by itself, whose next attempt is due; and of VMs that are to be terminated, are
        empty, and have no save of a session to store that ended within STORED_WITHIN_S."""
        ...

    async def apply(self, row: Provisioning, lease_token: str, *, keep: bool = False) -> None:
        """Saves a row that this transaction has read, if `lease_token` still holds it, and gives it back unless `keep`.
        Raises Conflict."""
        ...

    async def lease(self, lease_token: str, lease_s: float) -> None:
        """What this lease still holds is held for `lease_s` from now on; 0: given back."""
        ...

    async def wanted(self, provider: str) -> Sequence[Provisioning]:
        """Every row of a provider that is not RELEASED, by id, over all projects."""
        ...


class HostRows(Protocol):
    async def get(self, host_id: str) -> Host | None: ...

    async def lock(self, host_id: str) -> Host | None: ...

    async def add(self, host: Host) -> None: ...

    async def save(self, host: Host) -> None:
        """As VmRows.save. Never writes last_heartbeat_at back: `beat` alone moves it forward."""
        ...

    async def list(self, project_id: str, page: Page) -> Sequence[Host]:
        """Hosts of a project by id (they have no time of creation): of `page.after` the id alone counts."""
        ...

    async def watched(self) -> Sequence[Host]:
        """Every host that is ONLINE or STALE, by id, over all projects."""
        ...

    async def beat(self, host_ids: Sequence[str], at: datetime) -> None:
        """Moves last_heartbeat_at of these hosts forward to `at`, in one statement, keys sorted."""
        ...

    async def silent_among(self, host_ids: Sequence[str]) -> Sequence[str]:
        """Those of these hosts that are STALE or LOST, by id."""
        ...
