"""What one API replica does, in figures for Prometheus: the replicas' sum is the house's. No label holds what a caller
chose: methods are those that are served, codes those of gRPC."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controlplane.domain.session import SessionState
from controlplane.usecases.sessions import SessionView

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One set for each registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.requests = Histogram(
            "quarterdeck_api_request_seconds",
            "Unary calls, by how they ended.",
            ("method", "code"),
            buckets=SECONDS,
            registry=registry,
        )
        # A counter's own look-up of its labels takes longer than to count.
        self.request = cache(self.requests.labels)
        self.streams = Gauge("quarterdeck_api_streams", "Streams that are open.", ("method",), registry=registry)
        self.ended = Counter(
            "quarterdeck_api_streams_ended", "Streams, by how they ended.", ("method", "code"), registry=registry
        )
        self.too_slow = Counter(
            "quarterdeck_api_slow_readers",
            "Streams cut off for a reader that took nothing.",
            ("method",),
            registry=registry,
        )
        self.links = Gauge("quarterdeck_api_agents", "Hosts whose stream this replica holds.", registry=registry)
        self.allocations = Histogram(
            "quarterdeck_allocation_seconds",
            "From a wish for a session to its place, its place in the queue, or a refusal; committed.",
            ("outcome",),
            buckets=SECONDS,
            registry=registry,
        )
        self._allocation = cache(self.allocations.labels)

    async def allocation(self, creating: Awaitable[SessionView]) -> SessionView:
        """Awaits it and says how long that took."""
        started, outcome = time.perf_counter(), "refused"
        try:
            view = await creating
            outcome = "queued" if view.session.state is SessionState.PENDING else "placed"
            return view
        finally:
            self._allocation(outcome).observe(time.perf_counter() - started)
