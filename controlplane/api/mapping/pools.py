"""Pools and budgets on the wire, both ways."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from quarterdeck.v1 import pools_pb2 as pb

from controlplane.api.mapping.values import duration, seconds, timestamp
from controlplane.domain.pool import Budget, Pool
from controlplane.usecases.pools import BudgetView, PoolView

DEFAULT_IDLE_S = 600.0
# Until the store gives it the moment of its creation.
UNBORN = datetime.min.replace(tzinfo=UTC)


def pool_message(pool: Pool) -> pb.Pool:
    return pb.Pool(
        name=pool.name,
        provider=pool.provider,
        region=pool.region_id,
        template=pool.template_id,
        min_free_slots=pool.min_free_slots,
        buffer_slots=pool.buffer_slots,
        max_vms=pool.max_vms,
        idle_after=duration(pool.idle_after_s),
        scale_to_zero=pool.scale_to_zero,
        blocked=pool.blocked,
        create_time=timestamp(pool.created_at),
    )


def pool_view_message(view: PoolView) -> pb.Pool:
    message = pool_message(view.pool)
    message.available_vms = view.available
    message.coming_vms = view.coming
    message.leaving_vms = view.leaving
    message.free_slots = view.free_slots
    message.active_sessions = view.active_sessions
    return message


def pool_of(pool_id: str, wire: pb.Pool) -> Pool:
    """A new one; the project and the moment are the use case's."""
    idle_after_s = seconds(wire, "idle_after")
    return Pool(
        id=pool_id,
        project_id="",
        provider=wire.provider,
        region_id=wire.region,
        template_id=wire.template,
        created_at=UNBORN,
        min_free_slots=wire.min_free_slots,
        buffer_slots=wire.buffer_slots,
        max_vms=wire.max_vms,
        idle_after_s=DEFAULT_IDLE_S if idle_after_s is None else idle_after_s,
        scale_to_zero=wire.scale_to_zero,
    )


def pool_over(before: Pool, wire: pb.Pool) -> Pool:
    """What the wire says, with what only the house writes as it was."""
    return replace(
        pool_of(before.id, wire),
        project_id=before.project_id,
        created_at=before.created_at,
        blocked=before.blocked,
        version=before.version,
    )


def budget_message(budget: Budget) -> pb.Budget:
    return pb.Budget(micro_per_hour=budget.micro_per_hour, currency=budget.currency)


def budget_view_message(view: BudgetView) -> pb.Budget:
    message = budget_message(view.budget)
    message.spent_micro_per_hour = view.spent_micro_per_hour
    message.rented_vms = view.rented_vms
    return message


def budget_of(project_id: str, wire: pb.Budget) -> Budget:
    return Budget(project_id, wire.micro_per_hour, wire.currency or "USD")
