"""How a rented VM follows its provisioning, and which of a provider's machines nobody wants. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from controlplane.domain.attempt import Offer
from controlplane.domain.events import EventDraft, Value
from controlplane.domain.instance import Instance, InstanceState
from controlplane.domain.provisioning import Phase, Provisioning
from controlplane.domain.vm import VM_MACHINE, Vm, VmState, VmTrigger

JOINED = frozenset({VmState.READY, VmState.IN_USE, VmState.DRAINING})
ON_THE_WAY = frozenset({VmState.PROVISIONING, VmState.BOOTING})
# In which phase a failure takes a VM in which state out of service: it has no machine (any more), one that is down, or
# one that refused to be stopped or started.
FAILS: Mapping[Phase, frozenset[VmState]] = {
    Phase.WANTED: ON_THE_WAY,
    Phase.RELEASING: ON_THE_WAY,
    Phase.RELEASED: ON_THE_WAY | JOINED | {VmState.STOPPED},
    Phase.HELD: JOINED | {VmState.STOPPED},
    Phase.PARKED: frozenset({VmState.BOOTING}),
}
# A machine that is ours and at rest: nobody looks for it but the sweep.
KEPT = frozenset({Phase.HELD, Phase.PARKED})
DOWN = frozenset({InstanceState.FAILED, InstanceState.STOPPED})
TAG_ID_CHARS = 40
REAPED_AT_LEAST, REAPED_SHARE = 5, 0.1


def tag_prefix(ca_sha256: str) -> str:
    """What the tags of one deployment begin with: it follows from its certificate authority, which no other has."""
    return f"qd-{ca_sha256[:12]}-"


def tag_of(ca_sha256: str, vm_id: str) -> str:
    """Deterministic, at most 63 characters, letters, digits and dashes: clouds' labels allow no more."""
    short = vm_id if len(vm_id) <= TAG_ID_CHARS else hashlib.sha256(vm_id.encode()).hexdigest()[:TAG_ID_CHARS]
    return tag_prefix(ca_sha256) + short


def choose(offers: Iterable[Offer], row: Provisioning) -> Offer | None:
    """The cheapest offer of the first wished region that has one which was not refused and, where the house rents by
    itself, costs no more than what was decided."""
    fitting = [
        offer
        for offer in offers
        if offer.key not in row.refused and offer.region_id in row.region_ids and _within(row.mandate, offer)
    ]
    order = {region_id: place for place, region_id in enumerate(row.region_ids)}
    return min(fitting, key=lambda o: (order[o.region_id], o.price_micro_per_hour, o.key), default=None)


def without_offer(offers: Sequence[Offer], row: Provisioning) -> str:
    """Why `choose` found nothing among these."""
    if not offers:
        where = ", ".join(row.region_ids)
        return f"'{row.provider}' has no machine for template '{row.template_id}' in {where}"
    if all(offer.key in row.refused for offer in offers):
        return "all that is offered was refused: it is tried again from the first"
    return "nothing is offered at the price that was decided on"


def _within(mandate: Offer | None, offer: Offer) -> bool:
    if mandate is None or offer.price_micro_per_hour == 0:
        return True
    return offer.currency == mandate.currency and offer.price_micro_per_hour <= mandate.price_micro_per_hour


def ends(row: Provisioning, vm: Vm) -> bool:
    """The VM is to be terminated, nobody plays on it any more, and the row does not know yet."""
    asked = vm.terminate_requested_at is not None and vm.active_sessions == 0
    return asked and not row.release_for_good and row.phase is not Phase.RELEASED


def follow(vm: Vm, before: Provisioning, after: Provisioning, now: datetime) -> tuple[Vm, tuple[EventDraft, ...]]:
    """The VM once its row has become `after`, and what to tell."""
    told: tuple[EventDraft, ...] = ()

    def on(trigger: VmTrigger, detail: str = "", **facts: Value) -> None:
        nonlocal vm, told
        if VM_MACHINE.allows(vm.state, trigger):
            vm, events = vm.on(trigger, now, detail, **facts)
            told = (*told, *events)

    if after.phase is Phase.BUYING and vm.state is VmState.ERROR:
        on(VmTrigger.RETRY, f"attempt {after.attempt}")
    if after.phase in (Phase.BOOTING, Phase.HELD):
        on(VmTrigger.PROVISIONED)
    failure = after.failure if vm.terminate_requested_at is None else None
    if failure is not None and vm.state in FAILS.get(after.phase, ()):
        on(VmTrigger.FAIL, failure.told, failure=str(failure.kind))
    elif failure is not None and failure != before.failure and vm.state is VmState.ERROR:
        vm = replace(vm, reason_detail=failure.told, updated_at=now, version=vm.version + 1)
    # Who plays on it yet may be placed elsewhere: the last to leave ends it.
    if after.phase is Phase.RELEASED and vm.terminate_requested_at is not None and not vm.active_sessions:
        on(VmTrigger.TERMINATE, vm.reason_detail)
    return vm, told


def furnished(vm: Vm, instance: Instance, now: datetime) -> Vm:
    """The VM with what only its machine's provider knows."""
    address = vm.advertised_address or instance.address
    ports = instance.media_ports or vm.media_ports
    region_id = instance.region_id or vm.region_id
    changed = replace(vm, advertised_address=address, media_ports=ports, region_id=region_id)
    return vm if changed == vm else replace(changed, updated_at=now, version=vm.version + 1)


@dataclass(frozen=True)
class Sweep:
    """`orphans` may go now; `suspects` are unwanted but too young, or too many for one round. `vanished` are the VMs
    whose machine is gone or down, `missing` those whose machine may be."""

    orphans: tuple[Instance, ...]
    suspects: tuple[Instance, ...]
    vanished: tuple[Provisioning, ...] = ()
    missing: tuple[Provisioning, ...] = ()


def sweep(
    instances: Sequence[Instance],
    rows: Iterable[Provisioning],
    first_seen_s: Mapping[str, float],
    now_s: float,
    *,
    prefix: str,
    age_s: float,
    database_born_at: datetime,
) -> Sweep:
    """Which of a complete listing's machines no row wants (I10), as far as one round may go (I11), and what it lacks.

    Never one whose tag is not ours, one older than the database, or one that we have known for less than `age_s`;
    at most five or a tenth of the machines, whichever is more. The same measure holds for VMs whose machine the listing
    lacks. `first_seen_s` and `now_s` are one clock of ours, by the machine's id, or the VM's name where it lacks."""
    rows = list(rows)
    wanted = {row.tag: row.instance_id for row in rows if row.phase is not Phase.RELEASED}
    unwanted = [
        instance
        for instance in instances
        if instance.tag.startswith(prefix)
        and instance.created_at >= database_born_at
        and (instance.tag not in wanted or wanted[instance.tag] not in ("", instance.id))
    ]
    listed = {instance.id for instance in instances}
    down = {instance.id for instance in instances if instance.state in DOWN}
    lacking = [
        row
        for row in rows
        if (row.phase in KEPT and row.instance_id not in listed)
        or (row.phase is Phase.HELD and row.instance_id in down and row.failure is None)
    ]

    def old(key: str) -> bool:
        return now_s - first_seen_s.get(key, now_s) >= age_s

    most = max(REAPED_AT_LEAST, int(REAPED_SHARE * len(instances)))
    orphans = sorted((i for i in unwanted if old(i.id)), key=lambda instance: instance.id)[:most]
    vanished = sorted((row for row in lacking if old(row.name)), key=lambda row: row.id)[:most]
    return Sweep(
        tuple(orphans),
        tuple(instance for instance in unwanted if instance not in orphans),
        tuple(vanished),
        tuple(row for row in lacking if row not in vanished),
    )
