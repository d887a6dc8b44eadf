"""The processor's figures for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controlplane.interfaces import VmFigure

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One set for each registry. `lag_s` and `backlog` are of the whole outbox, as every replica sees it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.published = Counter("quarterdeck_relay_published", "Events put on the bus.", registry=registry)
        self.relay_failures = Counter(
            "quarterdeck_relay_failures", "Events that the bus did not take; they are tried again.", registry=registry
        )
        self.lag_s = Gauge(
            "quarterdeck_relay_lag_seconds", "Age of the oldest event that is not on the bus yet.", registry=registry
        )
        self.backlog = Gauge("quarterdeck_relay_backlog", "Events that are not on the bus yet.", registry=registry)
        self.handled = Histogram(
            "quarterdeck_consumer_seconds",
            "Tries of messages, by how they ended.",
            ("consumer", "outcome"),
            buckets=SECONDS,
            registry=registry,
        )
        self.buried = Counter(
            "quarterdeck_dead_letters", "Messages given up after their last try.", ("consumer",), registry=registry
        )
        self.beats = Counter("quarterdeck_heartbeats", "Heartbeats written.", registry=registry)
        self.beats_dropped = Counter(
            "quarterdeck_heartbeats_dropped", "Heartbeats not written: the database was away.", registry=registry
        )
        self.ticks = Histogram(
            "quarterdeck_tick_seconds",
            "Periodic jobs, by how they ended.",
            ("job", "outcome"),
            buckets=SECONDS,
            registry=registry,
        )
        self.restarts = Counter(
            "quarterdeck_processor_part_restarts",
            "Parts that broke and started again.",
            ("part",),
            registry=registry,
        )
        labels = ("region", "state")
        self.vms = Gauge("quarterdeck_fleet_vms", "VMs that are not terminated.", labels, registry=registry)
        self.capacity = Gauge("quarterdeck_fleet_capacity_units", "Twelfths of a seat.", labels, registry=registry)
        self.used = Gauge("quarterdeck_fleet_used_units", "Twelfths of a seat.", labels, registry=registry)

    def set_fleet(self, fleet: Iterable[VmFigure]) -> None:
        for gauge in (self.vms, self.capacity, self.used):
            gauge.clear()
        for figure in fleet:
            labels = (figure.region_id, str(figure.state))
            self.vms.labels(*labels).set(figure.vms)
            self.capacity.labels(*labels).set(figure.capacity_units)
            self.used.labels(*labels).set(figure.used_units)
