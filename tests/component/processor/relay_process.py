"""A relay as a program, to be killed: python -m tests.component.processor.relay_process STORE NATS LEASE_S"""

from __future__ import annotations

import asyncio
import sys

from prometheus_client import CollectorRegistry

from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.adapters.store import open_store
from controlplane.processor.metrics import Metrics
from controlplane.processor.relay import Relay


async def main(store_url: str, nats_url: str, lease_s: str) -> None:
    async with JetStreamBus([nats_url]) as bus:
        await bus.wait_connected(20)
        relay = Relay(open_store(store_url), bus, Metrics(CollectorRegistry()), batch=64, lease_s=float(lease_s))
        await relay.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
