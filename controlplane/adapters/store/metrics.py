"""How long transactions wait for a connection, in figures for Prometheus: where a pool is too small, it shows here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        waited = Histogram(
            "quarterdeck_database_wait_seconds",
            "Of transactions, for a connection, by whether they got one.",
            ("outcome",),
            buckets=SECONDS,
            registry=registry,
        )
        self._got, self._refused = waited.labels("got"), waited.labels("refused")

    @contextmanager
    def waiting(self) -> Iterator[None]:
        began, outcome = time.perf_counter(), self._refused
        try:
            yield
            outcome = self._got
        finally:
            outcome.observe(time.perf_counter() - began)
