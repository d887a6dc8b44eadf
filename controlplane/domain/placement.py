"""Placement: which VM a session goes to. A pure function of a snapshot; the use case then claims in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from controlplane.domain.game import Picture
from controlplane.domain.host import Gpu, Host, HostState
from controlplane.domain.portrange import any_outside, covering
from controlplane.domain.template import Preset, weight
from controlplane.domain.vm import PLACEABLE, Vm

# Protocol and number.
PortKey = tuple[str, int]


@dataclass(frozen=True)
class Held:
    """Why a port is not to be had, in words; but by sessions of `game_id`."""

    why: str
    game_id: str = ""


@dataclass(frozen=True)
class Need:
    """What a session asks of a VM. `regions` are those it may go to, best first; empty: none. `ports`: whether it needs
    ports of the host's range; `fixed` are those it must have, and `game_id` for whom."""

    project_id: str
    preset: Preset
    picture: Picture
    regions: tuple[str, ...]
    ports: bool = False
    # Whether the game comes as an image; None: not known yet, so that any host will do.
    contained: bool | None = None
    # What of the host's cards its container asks for: "nvidia", "render".
    graphics: tuple[str, ...] = ()
    fixed: tuple[PortKey, ...] = ()
    game_id: str = ""


@dataclass(frozen=True)
class Candidate:
    """`portless`: it was found to have no free port left; `held` are those of its fixed ones that are not to be had."""

    vm: Vm
    host: Host
    portless: bool = False
    held: Mapping[PortKey, Held] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    vm_id: str
    units: int


@dataclass(frozen=True)
class PassedOver:
    """A VM that was not taken, and why, in words for the answer. Without a VM: its whole region, or just why. `code` is
    set where renting a machine there was looked into: a stable word for what came of it."""

    vm_id: str
    why: str
    region_id: str = ""
    full: bool = False
    code: str = ""

    @property
    def told(self) -> str:
        name = f"vms/{self.vm_id} " if self.vm_id else f"regions/{self.region_id} " if self.region_id else ""
        return f"{name}{self.why}"


def rank(need: Need, candidates: Iterable[Candidate]) -> tuple[tuple[Choice, ...], tuple[PassedOver, ...]]:
    """The VMs that fit, best first, and those passed over."""
    fits, passed = _survey(need, candidates)
    return tuple(Choice(fit.vm_id, fit.units) for fit in sorted(fits)), tuple(passed)


class _Fit(NamedTuple):
    """A VM that fits; the least is the best. By region, then fullest first, so that others drain empty (bin packing);
    ties by id, so that the same snapshot always gives the same answer."""

    place: int
    left: int
    vm_id: str
    units: int


def _survey(need: Need, candidates: Iterable[Candidate]) -> tuple[list[_Fit], list[PassedOver]]:
    order = {region_id: place for place, region_id in enumerate(need.regions)}
    fits: list[_Fit] = []
    passed: list[PassedOver] = []
    for candidate in candidates:
        vm, units = candidate.vm, units_on(need, candidate.vm)
        obstacle = _obstacle(need, candidate, units)
        if obstacle:
            passed.append(PassedOver(vm.id, obstacle, vm.region_id, units > vm.free_units))
        else:
            fits.append(_Fit(order[vm.region_id], vm.free_units - units, vm.id, units))
    return fits, passed


def units_on(need: Need, vm: Vm) -> int:
    """What a session takes of this VM. One without a picture holds no encoder: the smallest weight."""
    return weight(need.preset, vm.capacity_units) if need.picture is not Picture.NONE else 1


def assign_many(
    needs: Sequence[Need], candidates: Iterable[Candidate]
) -> tuple[tuple[Choice | None, ...], dict[Need, tuple[PassedOver, ...]]]:
    """A VM for each need, in their order, as if they were placed one after another; and for the needs of those who got
    none, who was passed over. Who comes first is served first; a need that fits nowhere does not hold up others."""
    fleet = {candidate.vm.id: candidate for candidate in candidates}
    free = {vm_id: candidate.vm.free_units for vm_id, candidate in fleet.items()}

    def filled(one: Candidate) -> Candidate:
        used = one.vm.capacity_units - free[one.vm.id]
        return one if used == one.vm.used_units else replace(one, vm=replace(one.vm, used_units=used))

    fits: dict[Need, dict[str, _Fit]] = {}
    heaps: dict[Need, list[_Fit]] = {}
    choices: list[Choice | None] = []
    unmet: dict[Need, tuple[PassedOver, ...]] = {}
    for need in needs:
        if need not in heaps:
            found, _ = _survey(need, map(filled, fleet.values()))
            fits[need], heaps[need] = {fit.vm_id: fit for fit in found}, found
            heapify(found)
        heap = heaps[need]
        while heap and heap[0].left != free[heap[0].vm_id] - heap[0].units:
            heappop(heap)  # as it was before somebody was placed there
        if not heap:
            choices.append(None)
            unmet[need] = ()
            continue
        best = heap[0]
        choices.append(Choice(best.vm_id, best.units))
        free[best.vm_id] -= best.units
        for other, known in fits.items():  # nothing else of it has changed for anybody
            fit = known.get(best.vm_id)
            if fit is not None and fit.units <= free[fit.vm_id]:
                heappush(heaps[other], fit._replace(left=free[fit.vm_id] - fit.units))
    return tuple(choices), {need: tuple(_survey(need, map(filled, fleet.values()))[1]) for need in unmet}


def _ungranted(need: Need, host: Host) -> Iterator[str]:
    for word in need.graphics:
        if word not in host.inventory.runtimes or (word == "nvidia" and not host.inventory.gpus):
            yield word


def _fits(gpu: Gpu, preset: Preset) -> bool:
    """A session gets one card, so that one must do."""
    return gpu.memory_bytes >= preset.min_vram_gb * 10**9


def next_gpu(gpus: Sequence[Gpu], held: Iterable[int | None], preset: Preset) -> int | None:
    """The card with the fewest sessions, the first of several, of those that have the memory for the preset; None
    without one."""
    load = Counter(index for index in held if index is not None)
    fitting = (gpu.index for gpu in gpus if _fits(gpu, preset))
    return min(fitting, key=lambda index: (load[index], index), default=None)


def _unfixed(need: Need, candidate: Candidate) -> Iterator[str]:
    for protocol, number in need.fixed:
        if covering(number, candidate.host.inventory.ephemeral_ports):
            yield given_away(number, number)
        found = candidate.held.get((protocol, number))
        if found is not None and (not found.game_id or found.game_id != need.game_id):
            yield f"its {protocol} port {number} {found.why}"


def given_away(first: int, last: int) -> str:
    """Why ports of the kernel's own range are not leased, and what to do about it."""
    ports = str(first) if first == last else f"{first}-{last}"
    return (
        f"its kernel gives ports {ports} to outgoing connections: choose others, or keep them back there with "
        f"sysctl net.ipv4.ip_local_reserved_ports={ports}"
    )


def _obstacle(need: Need, candidate: Candidate, units: int) -> str:
    vm, host = candidate.vm, candidate.host
    checks = (
        (vm.project_id != need.project_id, "belongs to another project"),
        (vm.state not in PLACEABLE, f"is {vm.state}"),
        (vm.region_id not in need.regions, f"is in region {vm.region_id}"),
        (host.state is not HostState.ONLINE, f"its host is {host.state}"),
        (host.revoked_at is not None, "its host is revoked"),
        (need.ports and candidate.portless, f"has no free port in {vm.media_ports[0]}-{vm.media_ports[1]}"),
        (need.ports and not any_outside(vm.media_ports, host.inventory.ephemeral_ports), given_away(*vm.media_ports)),
        *((True, why) for why in _unfixed(need, candidate)),
        (units > vm.free_units, f"has {vm.free_units} of {units} units free"),
        (
            need.picture is not Picture.NONE and not host.inventory.encoders,
            "no encoder worked on its host",
        ),
        (
            need.picture is Picture.X11 and not need.contained and not host.inventory.has_display_server,
            "its host has no X display server",
        ),
        (bool(need.contained) and "docker" not in host.inventory.runtimes, "its host runs no containers"),
        *((True, f"its host grants no {word} card to containers") for word in _ungranted(need, host)),
        (
            not any(_fits(gpu, need.preset) for gpu in host.inventory.gpus) and need.preset.min_vram_gb > 0,
            f"none of its graphics cards has {need.preset.min_vram_gb} GB of memory",
        ),
    )
    return next((why for applies, why in checks if applies), "")
