"""Transactions over all rows."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from controlplane.interfaces.fleet import AttemptRows, HostRows, ProvisioningRows, TransitionRows, VmRows
from controlplane.interfaces.keeping import GarbageRows, SaveRows, SaveVersionRows
from controlplane.interfaces.news import DeadLetterRows, FeedRows, FigureRows, OutboxRows
from controlplane.interfaces.scope import CatalogueRows, CredentialRows, ShapeRows
from controlplane.interfaces.sessions import BatchRows, PortRows, QueueRows, SessionRows


class Tx(Protocol):
    """One transaction."""

    @property
    def vms(self) -> VmRows: ...
    @property
    def transitions(self) -> TransitionRows: ...
    @property
    def provisionings(self) -> ProvisioningRows: ...
    @property
    def attempts(self) -> AttemptRows: ...
    @property
    def hosts(self) -> HostRows: ...
    @property
    def sessions(self) -> SessionRows: ...
    @property
    def ports(self) -> PortRows: ...
    @property
    def batch(self) -> BatchRows: ...
    @property
    def queue(self) -> QueueRows: ...
    @property
    def catalogue(self) -> CatalogueRows: ...
    @property
    def shapes(self) -> ShapeRows: ...
    @property
    def credentials(self) -> CredentialRows: ...
    @property
    def feed(self) -> FeedRows: ...
    @property
    def outbox(self) -> OutboxRows: ...
    @property
    def dead_letters(self) -> DeadLetterRows: ...
    @property
    def figures(self) -> FigureRows: ...
    @property
    def saves(self) -> SaveRows: ...
    @property
    def save_versions(self) -> SaveVersionRows: ...
    @property
    def garbage(self) -> GarbageRows: ...

    async def now(self) -> datetime:
        """The database's clock, UTC; one moment for the whole transaction."""
        ...


class Store(Protocol):
    """Adding a row whose project, VM or game does not exist raises NotFound; a value that breaks a constraint Conflict,
    one that the database cannot hold InvalidRequest. AlreadyExists and PORT_TAKEN leave the transaction usable; after
    any other refusal it can only be rolled back."""

    def tx(self) -> AbstractAsyncContextManager[Tx]:
        """A transaction that may write; commits at the end, rolls back on an exception. Serialisation failures and
        lock time-outs surface as Conflict, a database that is away as Unavailable."""
        ...

    def reading(self) -> AbstractAsyncContextManager[Tx]:
        """A transaction that only reads; never blocks writers."""
        ...

    async def close(self) -> None: ...
