"""Rows of sessions, their ports and their queue, one by one and in batches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from controlplane.domain.host import GONE, HostState
from controlplane.domain.queueing import Rivals
from controlplane.domain.session import PortLease, Session, SessionState
from controlplane.domain.vm import Vm
from controlplane.interfaces.fleet import Page


class SessionRows(Protocol):
    async def get(self, session_id: str) -> Session | None: ...

    async def add(self, session: Session) -> None:
        """Raises AlreadyExists when (project, client_token) is taken; an empty token never is."""
        ...

    async def save(self, session: Session) -> None: ...

    async def by_client_token(self, project_id: str, client_token: str) -> Session | None: ...

    async def list(
        self, project_id: str, states: Sequence[SessionState], vm_id: str, page: Page, created_by: str = ""
    ) -> Sequence[Session]:
        """Sessions of a project; no states means all, "" any VM, and whoever created them."""
        ...

    async def on_vm(self, vm_id: str) -> Sequence[Session]:
        """STARTING, RUNNING and STOPPING sessions of a VM, by id."""
        ...

    async def starting(self, untouched_since: datetime) -> Sequence[Session]:
        """STARTING sessions over all projects that have not changed since then, oldest first."""
        ...

    async def unreachable(self) -> Sequence[Session]:
        """Unfinished sessions whose unreachable_at is set, longest first."""
        ...


class PortRows(Protocol):
    async def taken(self, vm_id: str, protocol: str, now: datetime) -> frozenset[int]:
        """Host ports that are leased, in quarantine at `now`, or reserved."""
        ...

    async def lease(self, lease: PortLease, now: datetime) -> None:
        """Takes the port; one whose quarantine is over may be taken again, a reserved one by a lease with the same
        reservation. Raises Conflict when another holds it, or its token is another's."""
        ...

    async def of_vm(self, vm_id: str, page: Page, now: datetime) -> Sequence[PortLease]:
        """Those not to be had at `now`, by protocol and number; of `page.after` the id is PROTOCOL-NUMBER, with five
        digits."""
        ...

    async def unreserve(self, lease: PortLease) -> None:
        """Ends a reservation; what a session holds of it stays that session's."""
        ...

    async def of_session(self, session_id: str) -> Sequence[PortLease]: ...

    async def of_sessions(self, session_ids: Sequence[str]) -> Mapping[str, Sequence[PortLease]]: ...

    async def release(self, session_ids: Sequence[str], free_at: datetime) -> None:
        """Starts the quarantine of all leases of these sessions; reservations stay."""
        ...


class BatchRows(Protocol):
    """Many rows in one statement each, whatever their number. Keys are sorted, so that batches wait for each other in
    one order; a refusal concerns the whole batch, whose transaction can then only be rolled back."""

    async def by_client_tokens(self, project_id: str, client_tokens: Sequence[str]) -> Mapping[str, Session]:
        """Sessions of a project by their client token."""
        ...

    async def lock_vms(self, vm_ids: Sequence[str], *, wait: bool) -> Sequence[Vm]:
        """As VmRows.lock, by id. Without `wait`, those that another transaction holds are left out."""
        ...

    async def save_vms(self, vms: Sequence[Vm]) -> None:
        """As VmRows.save. Raises Conflict when any of them has changed."""
        ...

    async def add_sessions(self, sessions: Sequence[Session]) -> None:
        """As SessionRows.add. Raises AlreadyExists when any of their keys is taken."""
        ...

    async def save_sessions(self, sessions: Sequence[Session]) -> None: ...

    async def ports_taken(self, vm_ids: Sequence[str], now: datetime) -> Mapping[tuple[str, str], frozenset[int]]:
        """As PortRows.taken, by (VM, protocol)."""
        ...

    async def leases_at(self, vm_ids: Sequence[str], ports: Collection[tuple[str, int]]) -> Sequence[PortLease]:
        """Whatever is known of these ports, by protocol and number, of these VMs; past quarantines, too."""
        ...

    async def lease_ports(self, leases: Sequence[PortLease], now: datetime) -> None:
        """As PortRows.lease. Raises Conflict when another holds any of them."""
        ...


@dataclass(frozen=True)
class Wanted:
    """What a waiting session asks for: those who ask for the same are served in the order they came."""

    project_id: str
    game_id: str
    deployment_number: int
    preset_id: str
    region_id: str
    territory: str = ""
    located: bool = False

    @classmethod
    def of(cls, session: Session) -> Wanted:
        return cls(
            session.project_id,
            session.game_id,
            session.deployment_number,
            session.preset_id,
            session.region_id,
            session.territory,
            session.coordinates is not None,
        )


class QueueRows(Protocol):
    """Sessions over all projects that wait for a VM: PENDING ones, oldest first by (created_at, id); and stranded ones,
    which lost theirs."""

    async def after(self, last: tuple[datetime, str] | None, limit: int) -> Sequence[Session]:
        """Those behind (created_at, id) `last`."""
        ...

    async def overdue(self, now: datetime, limit: int) -> Sequence[Session]:
        """Those whose deadline has passed, wherever they stand."""
        ...

    async def lock(self, session_ids: Sequence[str]) -> Sequence[Session]:
        """Those of these that wait, by id, locked against every other transaction until this one ends. Those that
        another one holds are left out."""
        ...

    async def still(self, session_ids: Sequence[str]) -> Mapping[str, int]:
        """The generations of those of these that wait, or may be re-placed and are unreachable, now."""
        ...

    async def stranded(self, since: datetime, states: Collection[HostState] = GONE) -> Sequence[Session]:
        """Those that may be re-placed and have been unreachable since then or longer, on hosts in one of these states;
        longest first."""
        ...

    async def places(self, session_ids: Sequence[str], among: Rivals) -> Mapping[str, int]:
        """How far from the front of these rivals each is, from 1; those that do not wait among them are left out."""
        ...

    async def waiting(self, project_id: str) -> Mapping[str, int]:
        """How many wait in the project, by who created them."""
        ...

    async def wanted(self) -> frozenset[Wanted]:
        """What is waited for."""
        ...

    async def firsts(self, project_ids: Sequence[str]) -> Sequence[Session]:
        """Of each thing that is waited for in these projects who has waited longest."""
        ...
