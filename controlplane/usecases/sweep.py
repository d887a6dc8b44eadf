"""Reaps rented machines that no row wants: the last net below a lost reply (I10), and a careful one (I11). And tells of
those that are gone although a row wants them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from controlplane.domain import rental
from controlplane.domain.errors import Unavailable, as_one
from controlplane.domain.host import HostState
from controlplane.domain.instance import Instance, InstanceState, ProviderRefused
from controlplane.domain.provisioning import Provisioning, broken_down, vanished
from controlplane.interfaces import Provider
from controlplane.usecases.provisioning import UNKNOWN
from controlplane.usecases.world import World

log = structlog.get_logger(__name__)

AWAY = (ProviderRefused, *UNKNOWN)


@dataclass
class Sweeper:
    """Remembers, by its own clock, since when it has known each machine that nobody wants."""

    world: World
    clock_s: Callable[[], float] = time.monotonic
    _first_seen_s: dict[tuple[str, str], float] = field(default_factory=dict)

    async def sweep(self) -> tuple[Instance, ...]:
        """One round over every provider, each by itself; returns what it has ended. A provider that does not answer, or
        a machine that does not go, is left alone, and fails the round when the others are done: raises Unavailable; an
        ExceptionGroup where something was not foreseen."""
        reaped: list[Instance] = []
        rounds = (self._round(provider, reaped) for provider in self.world.providers.values())
        failures = [failure for round_ in await asyncio.gather(*rounds) for failure in round_]
        if failures:
            raise as_one("sweep", failures)
        return tuple(reaped)

    async def _round(self, provider: Provider, reaped: list[Instance]) -> Sequence[Exception]:
        """At one provider; what went wrong there."""
        try:
            async with asyncio.timeout(self.world.policy.renting.patience.call_timeout_s * 4):
                await self._sweep(provider, reaped)
        except ExceptionGroup as several:
            return several.exceptions
        except AWAY as error:
            return [_away(provider, error)]
        except Exception as error:  # noqa: BLE001 - raised by the caller
            return [error]
        return []

    async def _sweep(self, provider: Provider, reaped: list[Instance]) -> None:
        prefix = rental.tag_prefix(self.world.authority.ca_sha256)
        listing = await provider.list_owned(prefix)
        if not listing.complete:
            return
        # Read after the listing: a machine that is in it was wanted by a row before it was bought.
        async with self.world.store.reading() as tx:
            rows = await tx.provisionings.wanted(provider.name)
            born_at = await tx.figures.born_at()
        now_s = self.clock_s()
        seen = {key[1]: since for key, since in self._first_seen_s.items() if key[0] == provider.name}
        age_s = self.world.policy.renting.orphan_age_s
        found = rental.sweep(listing.instances, rows, seen, now_s, prefix=prefix, age_s=age_s, database_born_at=born_at)
        watched = {instance.id for instance in (*found.orphans, *found.suspects)}
        watched |= {row.name for row in (*found.vanished, *found.missing)}
        others = {key: since for key, since in self._first_seen_s.items() if key[0] != provider.name}
        self._first_seen_s = others | {(provider.name, known): seen.get(known, now_s) for known in watched}
        states = {instance.id: instance.state for instance in listing.instances}
        for row in found.vanished:
            await self._tell(row, states.get(row.instance_id))
        refused: list[Exception] = []
        for instance in found.orphans:
            try:
                async with asyncio.timeout(self.world.policy.renting.patience.call_timeout_s):
                    await provider.destroy(instance.id)
            except AWAY as error:
                # Each round: it costs money until somebody has ended it.
                why = str(error) or type(error).__name__
                log.warning("machine.unreaped", provider=provider.name, instance=instance.id, tag=instance.tag, why=why)
                refused.append(_away(provider, error))
            else:
                log.warning("machine.reaped", provider=provider.name, instance=instance.id, tag=instance.tag)
                reaped.append(instance)
        if refused:
            raise ExceptionGroup(f"strays at {provider.name}", refused)

    async def _tell(self, missed: Provisioning, state: InstanceState | None) -> None:
        """The VM is in ERROR, unless its agent is heard: then the listing is wrong, whatever it calls itself."""
        async with self.world.store.tx() as tx:
            host, vm = await tx.hosts.lock(missed.id), await tx.vms.lock(missed.id)
            row = await tx.provisionings.get(missed.id)
            if vm is None or row is None or row.version != missed.version:
                return
            if host is not None and host.state is HostState.ONLINE:
                return
            after = broken_down(row, state) if state else vanished(row)
            failed, events = rental.follow(vm, row, after, await tx.now())
            await tx.provisionings.save(after)
            if failed != vm:
                await tx.vms.save(failed)
                await tx.outbox.append(events)
        await self.world.tell()


def _away(provider: Provider, error: Exception) -> Unavailable:
    """What the next round may find mended: of that only the first in a row is told."""
    if isinstance(error, Unavailable):
        return error
    why = str(error) or type(error).__name__
    away = Unavailable("PROVIDER_AWAY", f"the provider '{provider.name}' refused, or did not answer: {why}")
    away.__cause__ = error
    return away
