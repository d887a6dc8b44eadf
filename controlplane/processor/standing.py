"""How things stand, as gauges. They come from the database, and one replica of the processor tells them at a time: the
others' pages lack them, so that a sum over replicas counts nothing twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import structlog
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controlplane.domain.host import HostState
from controlplane.domain.session import FINISHED, SessionState
from controlplane.domain.template import UNITS_PER_SEAT
from controlplane.domain.vm import VmState
from controlplane.usecases import upkeep
from controlplane.usecases.capacity import Capacity
from controlplane.usecases.upkeep import Standing
from controlplane.usecases.world import World

log = structlog.get_logger(__name__)

LIVE_VMS = [state for state in VmState if state is not VmState.TERMINATED]
LIVE_SESSIONS = [state for state in SessionState if state not in FINISHED]
# Sessions that wish for no region wait for any.
ANY_REGION = "any"


class StandingPage(Collector):
    """`refresh` looks, unless another replica does; `collect` shows what was seen last."""

    def __init__(self, world: World, registry: CollectorRegistry) -> None:
        self._world = world
        self._holder = world.ids.new("figures")
        self._seen: Standing | None = None
        registry.register(self)

    async def refresh(self) -> None:
        """Raises Conflict, Unavailable; then nothing is shown, for another replica may be showing it by now."""
        seen, self._seen = None, None
        seen = await upkeep.standing(self._world, self._holder)
        self._seen = seen

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        seen = self._seen
        if seen is None:
            return
        yield from _fleet(seen)
        for name, told, seats in SEATS:
            yield _by_region(name, told, seen.rooms, [seats(room) for room in seen.rooms])
        waiting = "quarterdeck_region_queue_sessions"
        yield _by_region(waiting, "Sessions in the queue.", seen.rooms, [room.waiting for room in seen.rooms])
        expected = GaugeMetricFamily(
            "quarterdeck_region_expected_wait_seconds",
            "Of one more session; absent where too little was measured to tell.",
            labels=["region"],
        )
        for room in seen.rooms:
            if room.expected_wait_s is not None:
                expected.add_metric([room.region_id or ANY_REGION], room.expected_wait_s)
        yield expected
        sessions = {str(state): seen.counts.sessions.get(state, 0) for state in LIVE_SESSIONS}
        yield _by_state("quarterdeck_sessions", "Sessions that have not ended.", sessions)
        hosts = {str(state): seen.counts.hosts.get(state, 0) for state in HostState}
        yield _by_state("quarterdeck_hosts", "Hosts.", hosts)
        for name, told, value in _single(seen):
            if value is not None:
                yield GaugeMetricFamily(name, told, value)

    def summary(self) -> None:
        """One line of the log, where this replica tells the figures (seed 001: every 30 seconds)."""
        seen = self._seen
        if seen is None:
            return
        rooms = seen.rooms
        log.info(
            "fleet.summary",
            vms=sum(figure.vms for figure in seen.figures),
            by_state=seen.vms_by(lambda figure: str(figure.state)),
            by_region=seen.vms_by(lambda figure: figure.region_id),
            capacity_seats=sum(map(_capacity, rooms)),
            used_seats=sum(map(_used, rooms)),
            free_seats=sum(map(_free, rooms)),
            regions={
                room.region_id or ANY_REGION: _in_short(room) for room in rooms if room != Capacity(room.region_id)
            },
            sessions={str(state): count for state, count in sorted(seen.counts.sessions.items())},
            hosts={str(state): count for state, count in sorted(seen.counts.hosts.items())},
            outbox_backlog=seen.backlog.events,
            dead_letters=seen.counts.dead_letters,
        )


def _capacity(room: Capacity) -> int:
    return room.capacity_units // UNITS_PER_SEAT


def _free(room: Capacity) -> int:
    return room.free_slots


def _used(room: Capacity) -> int:
    """What is left over of a seat is not free, so that capacity = used + free."""
    return _capacity(room) - room.free_slots


SEATS = (
    ("quarterdeck_region_capacity_seats", "Whole seats of VMs that take sessions now.", _capacity),
    ("quarterdeck_region_used_seats", "Seats of those that are taken.", _used),
    ("quarterdeck_region_free_seats", "Seats of those that are free.", _free),
)


def _in_short(room: Capacity) -> Mapping[str, float | None]:
    return {
        "available": room.available,
        "provisioning": room.provisioning,
        "draining": room.draining,
        "free_seats": room.free_slots,
        "waiting": room.waiting,
        "expected_wait_s": room.expected_wait_s,
    }


def _fleet(seen: Standing) -> Iterator[Metric]:
    vms = GaugeMetricFamily("quarterdeck_fleet_vms", "VMs that are not terminated.", labels=["region", "state"])
    counted = {(figure.region_id, figure.state): 0 for figure in seen.figures}
    for figure in seen.figures:
        counted[figure.region_id, figure.state] += figure.vms
    for region_id in sorted({room.region_id for room in seen.rooms} - {""}):
        for state in LIVE_VMS:
            vms.add_metric([region_id, str(state)], counted.get((region_id, state), 0))
    yield vms
    rooms = GaugeMetricFamily(
        "quarterdeck_region_vms",
        "VMs by what they are good for: available take sessions now, unavailable are in another state or away.",
        labels=["region", "standing"],
    )
    for room in seen.rooms:
        for word in ("available", "provisioning", "draining", "unavailable"):
            rooms.add_metric([room.region_id or ANY_REGION, word], getattr(room, word))
    yield rooms


def _by_region(name: str, told: str, rooms: Sequence[Capacity], values: Sequence[float]) -> Metric:
    family = GaugeMetricFamily(name, told, labels=["region"])
    for room, value in zip(rooms, values, strict=True):
        family.add_metric([room.region_id or ANY_REGION], value)
    return family


def _by_state(name: str, told: str, counts: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, told, labels=["state"])
    for state, count in counts.items():
        family.add_metric([state], count)
    return family


def _single(seen: Standing) -> Sequence[tuple[str, str, float | None]]:
    queue_age_s, outbox_age_s = seen.queue_age_s or 0, seen.backlog_age_s or 0
    return (
        ("quarterdeck_queue_oldest_seconds", "How long the session that waits longest has waited.", queue_age_s),
        ("quarterdeck_heartbeat_lag_seconds", "Since heartbeats were last written; absent at first.", seen.beats_age_s),
        ("quarterdeck_relay_backlog", "Events that are not on the bus yet.", seen.backlog.events),
        ("quarterdeck_relay_lag_seconds", "Age of the oldest event that is not on the bus yet.", outbox_age_s),
        ("quarterdeck_dead_letters_kept", "Messages given up that nobody has dealt with.", seen.counts.dead_letters),
    )
