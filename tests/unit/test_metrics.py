"""docs/metrics.md lists every figure with its type and labels, and none besides."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Metric

from controlplane.adapters.bus.memory import MemoryBus
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store import open_store
from controlplane.adapters.store.metrics import Metrics as StoreMetrics
from controlplane.api.metrics import Metrics as ApiMetrics
from controlplane.domain.silence import Feed
from controlplane.gateway.metrics import Metrics as GatewayMetrics
from controlplane.processor.metrics import Metrics as ProcessorMetrics
from controlplane.processor.standing import StandingPage
from controlplane.usecases.world import World
from tests.contract.store.rows import a_host, a_vm

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(quarterdeck_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
Told = dict[str, tuple[str, frozenset[str]]]


def documented() -> Told:
    rows = ROW.findall(DOCUMENT.read_text())
    told = {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert len(told) == len(rows)
    return told


def own(registry: CollectorRegistry) -> Told:
    """Those that count: their labels are known before anything was counted."""
    collectors: set[Any] = set(registry._collector_to_names)
    return {c._name: (c._type, frozenset(c._labelnames)) for c in collectors if hasattr(c, "_labelnames")}


def shown(families: list[Metric]) -> Told:
    assert all(family.samples for family in families)
    return {f.name: (f.type, frozenset(f.samples[0].labels)) for f in families}


async def test_the_document_lists_what_is_told() -> None:
    told: Told = {}
    for make in (ApiMetrics, ProcessorMetrics, GatewayMetrics, StoreMetrics):
        registry = CollectorRegistry()
        make(registry)
        told |= own(registry)
    assert told | shown(await standing()) == documented()


async def standing() -> list[Metric]:
    store = open_store("memory://")
    async with store.tx() as tx:
        await tx.vms.add(a_vm())
        await tx.hosts.add(a_host(last_heartbeat_at=datetime.now(UTC)))
        await tx.feed.save(Feed(datetime.now(UTC) - timedelta(seconds=1)))
    async with MemoryBus() as bus:
        world: Any = World(store, bus, RandomIds(), *[None] * 3)  # type: ignore[arg-type]
        page = StandingPage(world, CollectorRegistry())
        assert list(page.collect()) == []
        await page.refresh()
        return list(page.collect())


def test_names_say_their_unit_as_prometheus_wants_it() -> None:
    for name, (kind, _) in documented().items():
        assert not re.search(r"_(total|count|sum|ms|s|milliseconds)$", name)
        assert kind != "histogram" or name.endswith("_seconds")
