"""What the use cases need from the world, as Protocols of at most eight methods.

`Store.tx()` is one transaction: rows, events (outbox) and audit commit together or not at all. Nothing inside one
may wait for the network. Every list is in a stated order; every `save` is guarded by the entity's version.
"""

from __future__ import annotations

from controlplane.interfaces.capacity import PoolRows, RentingRows, ReplacementRows
from controlplane.interfaces.fleet import AttemptRows, HostRows, Page, ProvisioningRows, TransitionRows, VmRows
from controlplane.interfaces.keeping import BackupRows, GarbageRows, HeldSave, SaveRows, SaveVersionRows, ScheduleRows
from controlplane.interfaces.logs import LogPosition, LogRange, LogRows
from controlplane.interfaces.news import (
    AuditEntry,
    AuditRecord,
    Backlog,
    Counts,
    DeadLetterRows,
    FeedRows,
    FigureRows,
    Flow,
    OutboxRows,
    RegionFigure,
)
from controlplane.interfaces.objects import Objects
from controlplane.interfaces.outside import (
    Bury,
    Bus,
    CertificateAuthority,
    Delivery,
    Handler,
    Ids,
    Provider,
    StreamTokens,
)
from controlplane.interfaces.scope import CatalogueRows, CredentialRows, ShapeRows, TokenRows
from controlplane.interfaces.sessions import BatchRows, PortRows, QueueRows, SessionRows, Wanted
from controlplane.interfaces.store import Store, Tx

__all__ = [
    "AttemptRows",
    "AuditEntry",
    "AuditRecord",
    "Backlog",
    "BackupRows",
    "BatchRows",
    "Bury",
    "Bus",
    "CatalogueRows",
    "CertificateAuthority",
    "Counts",
    "CredentialRows",
    "DeadLetterRows",
    "Delivery",
    "FeedRows",
    "FigureRows",
    "Flow",
    "GarbageRows",
    "Handler",
    "HeldSave",
    "HostRows",
    "Ids",
    "LogPosition",
    "LogRange",
    "LogRows",
    "Objects",
    "OutboxRows",
    "Page",
    "PoolRows",
    "PortRows",
    "Provider",
    "ProvisioningRows",
    "QueueRows",
    "RegionFigure",
    "RentingRows",
    "ReplacementRows",
    "SaveRows",
    "SaveVersionRows",
    "ScheduleRows",
    "SessionRows",
    "ShapeRows",
    "Store",
    "StreamTokens",
    "TokenRows",
    "TransitionRows",
    "Tx",
    "VmRows",
    "Wanted",
]
