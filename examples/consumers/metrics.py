"""Turns external events into figures for Prometheus: `python -m examples.consumers.metrics --port 9108`.

It reads what the stream still holds when it starts, so that its gauges are right from the first scrape on."""

from __future__ import annotations

import argparse
import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from examples.consumers.events import connected, follow

ENDED = ("stopped", "crashed")
ENDED_KEPT = 10_000


class Fleet:
    """What the events add up to. An event may come twice or late: `id` and `subjectversion` tell."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("project", "type")
        self._events = Counter("quarterdeck_external_events", "External events.", labels, registry=self.registry)
        self._hosts = Gauge("quarterdeck_external_hosts", "Hosts.", ("project", "state"), registry=self.registry)
        self._sessions = Gauge(
            "quarterdeck_external_sessions_running", "Sessions that run.", ("project",), registry=self.registry
        )
        self._last: dict[tuple[str, str], tuple[int, str]] = {}
        self._ended: OrderedDict[tuple[str, str], None] = OrderedDict()

    def tell(self, event: Mapping[str, Any]) -> None:
        """Counts it, unless the subject's version is one that was counted before."""
        project = str(event["source"]).removeprefix("/projects/")
        key, version, word = (project, event["subject"]), int(event["subjectversion"]), event["type"].rpartition(".")[2]
        before, _ = self._last.get(key, (0, ""))
        if version == before:
            return
        self._events.labels(project, event["type"]).inc()
        if version < before:
            return
        self._count(key, -1)
        self._last[key] = (version, word)
        self._count(key, 1)
        if word in ENDED:
            self._ended[key] = None
            if len(self._ended) > ENDED_KEPT:
                del self._last[self._ended.popitem(last=False)[0]]

    def _count(self, key: tuple[str, str], by: int) -> None:
        if key not in self._last:
            return
        (project, subject), (_, word) = key, self._last[key]
        if subject.startswith("hosts/"):
            self._hosts.labels(project, word).inc(by)
        elif word == "running":
            self._sessions.labels(project).inc(by)


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=9108)
    options.add_argument("--address", default="127.0.0.1")
    given = options.parse_args()
    fleet = Fleet()
    server, thread = start_http_server(given.port, given.address, registry=fleet.registry)
    print(f"serving http://{given.address}:{server.server_port}/metrics", flush=True)
    try:
        async with connected() as stream:
            async for event, _ in follow(stream, "quarterdeck.ext.>"):
                fleet.tell(event)
    finally:
        server.shutdown()
        thread.join()


if __name__ == "__main__":
    asyncio.run(main())
