"""Rows of what makes capacity come and go: pools, budgets, replacements, and the rented machines as
renting looks at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from controlplane.domain.pool import Budget, Model, Pool, Rented
from controlplane.domain.succession import Replacement
from controlplane.interfaces.fleet import Page


class PoolRows(Protocol):
    async def get(self, pool_id: str) -> Pool | None: ...

    async def all(self, project_id: str = "") -> Sequence[Pool]:
        """Of a project or, for "", of all, by id: few enough for one answer."""
        ...

    async def add(self, pool: Pool) -> None:
        """Raises AlreadyExists when the id is taken, or its kind has a pool already."""
        ...

    async def save(self, pool: Pool) -> None:
        """As VmRows.save."""
        ...

    async def delete(self, pool_id: str) -> None: ...


class ReplacementRows(Protocol):
    """VMs on their way to be replaced, each guarded by its version."""

    async def get(self, replacement_id: str) -> Replacement | None: ...

    async def list(self, project_id: str, page: Page) -> Sequence[Replacement]: ...

    async def of_series(self, series_id: str) -> Sequence[Replacement]:
        """By id, which is their order."""
        ...

    async def unfinished(self) -> Sequence[Replacement]:
        """Over all projects, by id."""
        ...

    async def add(self, replacement: Replacement) -> None: ...

    async def save(self, replacement: Replacement) -> None:
        """As VmRows.save."""
        ...


class RentingRows(Protocol):
    """What is rented and what may be spent on it, for decisions that are taken one at a time."""

    async def take_turn(self) -> None:
        """Holds back every other transaction that takes its turn until this one ends: no two of them may decide from
        the same snapshot."""
        ...

    async def fleet(self, failed_since: datetime) -> Sequence[Rented]:
        """Every rented VM whose purchase is not RELEASED, over all projects, by id; and of the RELEASED ones those that
        failed and have changed since then, or whose VM is not TERMINATED yet."""
        ...

    async def models(self, since: datetime) -> Mapping[tuple[str, str], Model]:
        """What the newest machine of each (provider, template) that has had an agent had, of those rented since."""
        ...

    async def budgets(self) -> Mapping[str, Budget]:
        """By project; one without a row has none to spend."""
        ...

    async def put_budget(self, budget: Budget) -> None:
        """Adds it, or writes it over the project's."""
        ...
