"""Capacity that comes and goes by itself: what there is to decide about, and the words for it.

Demand (waiting sessions that nothing fits) and pools (slots kept free) ask for machines; each region's limit and each
project's budget say how far. A slot is one whole seat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from controlplane.domain.attempt import Offer
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.host import Encoder, Gpu, Host, HostState, Inventory
from controlplane.domain.placement import Candidate, PassedOver
from controlplane.domain.portrange import PortRange
from controlplane.domain.provisioning import Phase, Provisioning
from controlplane.domain.retry import DEFAULT_SCHEDULES, FailureKind, Schedule
from controlplane.domain.template import UNITS_PER_SEAT, Template
from controlplane.domain.vm import PLACEABLE, Vm, VmState

# Project, provider, region, template: what one pool is of.
Kind = tuple[str, str, str, str]

REGION_LIMIT = "REGION_LIMIT"
BUDGET_SPENT = "BUDGET_SPENT"
POOL_FULL = "POOL_FULL"
NO_OFFER = "NO_OFFER"
RENTING_FAILS = "RENTING_FAILS"
RENTING = "RENTING"


@dataclass(frozen=True)
class Pool:
    """Machines of one kind, kept so that `min_free_slots` are free: more are rented below that, up to `max_vms`. A
    machine goes when it has been empty for `idle_after_s` and `buffer_slots` more than the minimum stay free without
    it. With `scale_to_zero` the minimum is let go too while nobody plays; the next demand brings it back.

    `blocked` says why it has fewer free slots than it should: a code and a sentence."""

    id: str
    project_id: str
    provider: str
    region_id: str
    template_id: str
    created_at: datetime
    min_free_slots: int = 0
    buffer_slots: int = 0
    max_vms: int = 1
    idle_after_s: float = 600.0
    scale_to_zero: bool = False
    blocked: str = ""
    version: int = 1

    @property
    def name(self) -> str:
        return f"pools/{self.id}"

    @property
    def kind(self) -> Kind:
        return self.project_id, self.provider, self.region_id, self.template_id


def checked(pool: Pool) -> Pool:
    """The same pool, if its figures agree. Raises InvalidRequest."""
    if pool.max_vms < 1:
        raise InvalidRequest("POOL_WITHOUT_ROOM", "a pool may have at least one VM", field="pool.max_vms")
    if pool.idle_after_s < MIN_IDLE_S:
        raise InvalidRequest(
            "IDLE_TOO_SHORT",
            f"a machine has at least {MIN_IDLE_S:g} s to be wanted again",
            field="pool.idle_after",
        )
    return pool


MIN_IDLE_S = 1.0


@dataclass(frozen=True)
class Budget:
    """What the rented machines of a project may cost together, in micro-units an hour. 0: only what costs nothing."""

    project_id: str
    micro_per_hour: int = 0
    currency: str = "USD"


@dataclass(frozen=True)
class Rented:
    """A rented VM, how it gets its machine, and its host once there is one. RELEASED ones only tell of a failure."""

    vm: Vm
    row: Provisioning
    host: Host | None = None

    @property
    def kind(self) -> Kind:
        return self.vm.project_id, self.vm.provider, self.vm.region_id, self.vm.template_id

    @property
    def held(self) -> bool:
        """It has a machine that is paid for, or may have."""
        return self.row.phase is not Phase.RELEASED

    @property
    def price(self) -> Offer | None:
        return self.row.offer or self.row.mandate

    @property
    def leaving(self) -> bool:
        return self.vm.terminate_requested_at is not None or self.vm.state is VmState.DRAINING

    @property
    def failing(self) -> bool:
        """Something went wrong before its agent came, or it broke. What goes wrong while a machine is given back says
        nothing of the next, nor does one call about a machine that is there and has time left to come."""
        if self.row.failure is None:
            return False
        if self.held:
            unbought = self.vm.state in (VmState.PROVISIONING, VmState.BOOTING) and not self.row.instance_id
            return unbought or self.vm.state is VmState.ERROR
        return self.host is None or self.host.epoch == 0

    @property
    def coming(self) -> bool:
        underway = self.vm.state in (VmState.PROVISIONING, VmState.BOOTING)
        return self.held and underway and not self.leaving and not self.failing

    @property
    def usable(self) -> bool:
        online = self.host is not None and self.host.state is HostState.ONLINE and self.host.revoked_at is None
        return self.held and online and self.vm.state in PLACEABLE and not self.leaving

    def empty_for_s(self, now: datetime) -> float | None:
        """How long nothing has happened to it while it was in service, or drained by an operator, and had no session;
        None when it has some, or goes already. A VM's row changes with each session that comes or goes."""
        rests = self.vm.state in (VmState.READY, VmState.DRAINING) and self.vm.terminate_requested_at is None
        empty = self.held and rests and self.vm.active_sessions == 0
        return (now - self.vm.updated_at).total_seconds() if empty else None


@dataclass(frozen=True)
class Model:
    """What the last machine of a kind had: by its agent's word, and as its provider let it be reached."""

    inventory: Inventory
    media_ports: PortRange


@dataclass(frozen=True)
class Market:
    """What can be had, and how far one may go. `most`: machines rented in a region at most, over all projects; a region
    that is not in it has none rented by itself. `known`: what the last machine of (provider, template) had. `away`:
    providers that did not answer. `schedules`: when what failed is tried again."""

    offers: Sequence[Offer]
    templates: Sequence[Template]
    most: Mapping[str, int]
    budgets: Mapping[str, Budget]
    known: Mapping[tuple[str, str], Model]
    idle_after_s: float = 600.0
    away: frozenset[str] = frozenset()
    schedules: Mapping[FailureKind, Schedule] = field(default_factory=lambda: DEFAULT_SCHEDULES)


@dataclass(frozen=True)
class Rent:
    """One machine to rent, at this price at most; `attempt` counts the tries in a row that are at such a machine."""

    project_id: str
    offer: Offer
    attempt: int = 1


@dataclass(frozen=True)
class Ending:
    """A machine to give back, and why; only while its VM is as it was at `version`: nobody plays on it (I14)."""

    vm_id: str
    version: int
    why: str


@dataclass(frozen=True)
class Decision:
    """`told`: for each need what is done for it or why nothing is; None: there is room, or nothing is rented by itself
    where it may go. `blocked`: for each pool that is short why; "" for the others. `faults`: of providers whose answers
    nobody had foreseen; it was decided without them."""

    rents: tuple[Rent, ...] = ()
    endings: tuple[Ending, ...] = ()
    told: tuple[tuple[PassedOver, ...] | None, ...] = ()
    blocked: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Exception, ...] = ()


def presumed(vm: Vm, template: Template | None, known: Model | None, there: Rented | None = None) -> Candidate:
    """A machine under way, as it will presumably be: with what the last of its kind had, else with all that its
    template promises. What is known of `there`, itself, goes before."""
    inventory = known.inventory if known else _promised(template)
    ports = known.media_ports if known and not (there and there.row.instance_id) else vm.media_ports
    host = there.host if there and there.host and there.host.inventory.runtimes else None
    ready = host or Host(vm.id, vm.project_id, HostState.ONLINE, inventory=inventory)
    ready = replace(ready, state=HostState.ONLINE, revoked_at=None)
    return Candidate(replace(vm, state=VmState.READY, media_ports=ports), ready)


def _promised(template: Template | None) -> Inventory:
    gpus = (Gpu(0, template.gpu_model, template.vram_gb * 10**9),) if template and template.gpu_model else ()
    seats = template.seats if template else 1
    cards = ("nvidia", "render") if gpus else ()
    return Inventory(
        gpus=gpus,
        encoders=(Encoder("", seats),),
        runtimes=("docker", "process", *cards),
        has_display_server=True,
    )


def slots(units: int) -> int:
    """Whole seats in these units."""
    return units // UNITS_PER_SEAT


def hourly(micro: int, currency: str) -> str:
    """A price in words, such as "0.75 USD an hour"."""
    whole, rest = divmod(micro, 10**6)
    part = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{part} {currency} an hour"
