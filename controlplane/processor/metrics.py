"""The processor's own work, in figures for Prometheus: each replica tells its own, and their sum is the house's."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from controlplane.processor.history import History

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One set for each registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.history = History(registry)
        self.published = Counter("quarterdeck_relay_published", "Events put on the bus.", registry=registry)
        self.relay_failures = Counter(
            "quarterdeck_relay_failures", "Events that the bus did not take; they are tried again.", registry=registry
        )
        self.handled = Histogram(
            "quarterdeck_consumer_seconds",
            "Tries of messages, by how they ended.",
            ("consumer", "outcome"),
            buckets=SECONDS,
            registry=registry,
        )
        self.waited = Histogram(
            "quarterdeck_consumer_lag_seconds",
            "From a message's coming into the broker to its first try here.",
            ("consumer",),
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
