"""The list of periodic jobs: what, how often, woken by what."""

from __future__ import annotations

import structlog

from controlplane.domain import subjects
from controlplane.processor.standing import StandingPage
from controlplane.processor.ticker import Job
from controlplane.usecases import (
    archives,
    backups,
    capacity,
    logs,
    provisioning,
    queue,
    renting,
    replacement,
    schedules,
    succession,
    upkeep,
    watch,
)
from controlplane.usecases.sweep import Sweeper
from controlplane.usecases.world import World

log = structlog.get_logger(__name__)


def jobs(world: World, standing: StandingPage) -> tuple[Job, ...]:
    """Periods of seed 001 (a summary every 30 s) and of the architecture (silence and queue every second)."""

    async def summary() -> None:
        standing.summary()

    sweeper = Sweeper(world)

    async def sweep() -> None:
        await sweeper.sweep()

    holder = world.ids.new("renting")

    async def tend() -> None:
        decision = await renting.tend(world, holder)
        for rent in decision.rents:
            log.info("machine.wanted", offer=rent.offer.key, template=rent.offer.template_id, project=rent.project_id)
        for ending in decision.endings:
            log.info("machine.unneeded", vm=f"vms/{ending.vm_id}", why=ending.why)
        if decision.faults:
            raise ExceptionGroup("offers", decision.faults)

    return (
        Job("judge_hosts", 1.0, lambda: watch.judge_hosts(world)),
        Job("place_queue", 1.0, lambda: replacement.place_all(world), wakes_on=subjects.SLOTS),
        Job("expire_queue", 1.0, lambda: queue.expire_queue(world)),
        Job("expire_untaken", 5.0, lambda: watch.expire_untaken(world)),
        Job("expire_unreachable", 1.0, lambda: watch.expire_unreachable(world)),
        Job("provisioning", 1.0, lambda: provisioning.advance(world), wakes_on=subjects.RENTING),
        Job("succession", 2.0, lambda: succession.advance(world)),
        Job("renting", 2.0, tend),
        Job("sweep", 60.0, sweep),
        Job("tides", 5.0, lambda: capacity.watch_tides(world)),
        Job("figures", 5.0, standing.refresh),
        Job("summary", 30.0, summary),
        Job("backups", 5.0, lambda: backups.give_up_overdue(world)),
        Job("schedules", 5.0, lambda: schedules.tick(world)),
        Job("retention", 60.0, lambda: schedules.retain(world)),
        Job("garbage", 60.0, lambda: archives.collect_garbage(world)),
        Job("expire_logs", 60.0, lambda: logs.expire(world)),
        Job("prune", 3600.0, lambda: upkeep.prune(world)),
    )
