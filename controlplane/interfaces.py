"""What the use cases need from the world, as Protocols of at most eight methods.

`Store.tx()` is one transaction: rows, events (outbox) and audit commit together or not at all. Nothing inside one
may wait for the network. Every list is in a stated order; every `save` is guarded by the entity's version.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from controlplane.domain.deadletter import DeadLetter
from controlplane.domain.events import Event, EventDraft
from controlplane.domain.game import Deployment, Game
from controlplane.domain.host import Feed, Host, LinkState
from controlplane.domain.identity import Credential, CredentialKind
from controlplane.domain.instance import Instance, Invitation, Listing
from controlplane.domain.provisioning import Offer, Provisioning
from controlplane.domain.region import Region
from controlplane.domain.session import PortLease, Session, SessionState
from controlplane.domain.template import Preset, Template
from controlplane.domain.vm import Transition, Vm, VmState


@dataclass(frozen=True)
class Page:
    """A slice of a list ordered by (created_at, id), newest first; `after` is the (created_at, id) it starts behind."""

    size: int = 50
    after: tuple[datetime, str] | None = None


class VmRows(Protocol):
    async def get(self, vm_id: str) -> Vm | None: ...

    async def lock(self, vm_id: str) -> Vm | None:
        """The VM, locked against every other transaction until this one ends."""
        ...

    async def add(self, vm: Vm) -> None:
        """Raises AlreadyExists when the id is taken."""
        ...

    async def save(self, vm: Vm) -> None:
        """Writes `vm` over the version that this transaction has read: of two writers who started from the same
        version exactly one wins. Raises Conflict, and RuntimeError when it was not read in this transaction."""
        ...

    async def list(self, project_id: str, states: Sequence[VmState], page: Page) -> Sequence[Vm]:
        """VMs of a project; no states means all."""
        ...

    async def placeable(self, project_id: str, regions: Sequence[str], limit: int) -> Sequence[tuple[Vm, Host]]:
        """READY and IN_USE VMs with free units and their hosts: in the order of these regions, then fullest first, ties
        by id. No regions: any, all alike."""
        ...

    async def links(self, vm_ids: Sequence[str]) -> Mapping[str, LinkState]:
        """Of the hosts of these VMs, by id, in one statement; VMs without a host are left out."""
        ...


class TransitionRows(Protocol):
    """Every change of a VM's state. `OutboxRows.append` writes them, out of the events that tell of them."""

    async def of_vm(self, vm_id: str, page: Page) -> Sequence[Transition]:
        """Newest first; of `page.after` the id is the VM's version after the change."""
        ...


class ProvisioningRows(Protocol):
    """The progress of rented VMs, by the VM's id. A worker claims rows, works outside the transaction, and applies
    under its lease; operators' verbs save over the version that they have read."""

    async def get(self, vm_id: str) -> Provisioning | None: ...

    async def of_vms(self, vm_ids: Sequence[str]) -> Mapping[str, Provisioning]: ...

    async def add(self, row: Provisioning) -> None: ...

    async def save(self, row: Provisioning) -> None:
        """As VmRows.save."""
        ...

    async def claim(self, limit: int, lease_s: float, lease_token: str) -> Sequence[Provisioning]:
        """Rows with something to do now that nobody has a lease on, longest waiting first: of those in a phase that
        goes on by itself, whose next attempt is due; and of VMs that are to be terminated and are empty."""
        ...

    async def apply(self, row: Provisioning, lease_token: str, *, keep: bool = False) -> None:
        """Saves a row that this transaction has read, if `lease_token` still holds it, and gives it back unless `keep`.
        Raises Conflict."""
        ...

    async def give_back(self, lease_token: str) -> None:
        """Ends what is left of a lease."""
        ...

    async def wanted(self, provider: str) -> Sequence[Provisioning]:
        """Every row of a provider that is not RELEASED, by id, over all projects."""
        ...


class HostRows(Protocol):
    async def get(self, host_id: str) -> Host | None: ...

    async def lock(self, host_id: str) -> Host | None: ...

    async def add(self, host: Host) -> None: ...

    async def save(self, host: Host) -> None:
        """As VmRows.save. Never writes last_heartbeat_at back: `beat` alone moves it forward."""
        ...

    async def list(self, project_id: str, page: Page) -> Sequence[Host]:
        """Hosts of a project by id (they have no time of creation): of `page.after` the id alone counts."""
        ...

    async def watched(self) -> Sequence[Host]:
        """Every host that is ONLINE or STALE, by id, over all projects."""
        ...

    async def beat(self, host_ids: Sequence[str], at: datetime) -> None:
        """Moves last_heartbeat_at of these hosts forward to `at`, in one statement, keys sorted."""
        ...

    async def silent_among(self, host_ids: Sequence[str]) -> Sequence[str]:
        """Those of these hosts that are STALE or LOST, by id."""
        ...


class SessionRows(Protocol):
    async def get(self, session_id: str) -> Session | None: ...

    async def add(self, session: Session) -> None:
        """Raises AlreadyExists when (project, client_token) is taken; an empty token never is."""
        ...

    async def save(self, session: Session) -> None: ...

    async def by_client_token(self, project_id: str, client_token: str) -> Session | None: ...

    async def list(self, project_id: str, states: Sequence[SessionState], vm_id: str, page: Page) -> Sequence[Session]:
        """Sessions of a project; no states means all, "" any VM."""
        ...

    async def on_vm(self, vm_id: str) -> Sequence[Session]:
        """STARTING, RUNNING and STOPPING sessions of a VM, by id."""
        ...

    async def queue(self, limit: int) -> Sequence[Session]:
        """PENDING sessions over all projects, oldest first."""
        ...

    async def unreachable(self) -> Sequence[Session]:
        """Unfinished sessions whose unreachable_at is set, longest first."""
        ...


class PortRows(Protocol):
    async def taken(self, vm_id: str, protocol: str, now: datetime) -> frozenset[int]:
        """Host ports that are leased, or in quarantine at `now`."""
        ...

    async def lease(self, lease: PortLease, now: datetime) -> None:
        """Takes the port; one whose quarantine is over may be taken again. Raises Conflict when another holds it."""
        ...

    async def of_session(self, session_id: str) -> Sequence[PortLease]: ...

    async def of_sessions(self, session_ids: Sequence[str]) -> Mapping[str, Sequence[PortLease]]: ...

    async def release(self, session_id: str, free_at: datetime) -> None:
        """Starts the quarantine of all leases of a session."""
        ...


class BatchRows(Protocol):
    """Many rows in one statement each, whatever their number. Keys are sorted, so that batches wait for each other in
    one order; a refusal concerns the whole batch, whose transaction can then only be rolled back."""

    async def by_client_tokens(self, project_id: str, client_tokens: Sequence[str]) -> Mapping[str, Session]:
        """Sessions of a project by their client token."""
        ...

    async def lock_vms(self, vm_ids: Sequence[str], *, wait: bool) -> Sequence[Vm]:
        """As VmRows.lock, by id. Without `wait`, those that another transaction holds are left out."""
        ...

    async def save_vms(self, vms: Sequence[Vm]) -> None:
        """As VmRows.save. Raises Conflict when any of them has changed."""
        ...

    async def add_sessions(self, sessions: Sequence[Session]) -> None:
        """As SessionRows.add. Raises AlreadyExists when any of their keys is taken."""
        ...

    async def save_sessions(self, sessions: Sequence[Session]) -> None: ...

    async def ports_taken(self, vm_ids: Sequence[str], now: datetime) -> Mapping[tuple[str, str], frozenset[int]]:
        """As PortRows.taken, by (VM, protocol)."""
        ...

    async def lease_ports(self, leases: Sequence[PortLease], now: datetime) -> None:
        """As PortRows.lease. Raises Conflict when another holds any of them."""
        ...


@dataclass(frozen=True)
class Wanted:
    """What a waiting session asks for: those who ask for the same are served in the order they came."""

    project_id: str
    game_id: str
    preset_id: str
    region_id: str
    territory: str = ""
    located: bool = False


class QueueRows(Protocol):
    """PENDING sessions over all projects, oldest first by (created_at, id)."""

    async def after(self, last: tuple[datetime, str] | None, limit: int) -> Sequence[Session]:
        """Those behind (created_at, id) `last`."""
        ...

    async def places(self, session_ids: Sequence[str]) -> Mapping[str, int]:
        """How far from the front each is, from 1; those that do not wait are left out."""
        ...

    async def wanted(self) -> frozenset[Wanted]:
        """What is waited for."""
        ...


class CatalogueRows(Protocol):
    async def game(self, project_id: str, game_id: str) -> Game | None: ...

    async def games(self, project_id: str, page: Page) -> Sequence[Game]: ...

    async def add_game(self, game: Game) -> None: ...

    async def save_game(self, game: Game) -> None:
        """Writes what may change of it: names, default preset, law."""
        ...

    async def deployment(self, project_id: str, game_id: str, number: int) -> Deployment | None: ...

    async def add_deployment(self, deployment: Deployment) -> Deployment:
        """Gives it the next number of its game (whatever its own says) and makes it the current one."""
        ...


class ShapeRows(Protocol):
    """Templates, presets and regions: data, the first of it created by migration. Lists are by id."""

    async def template(self, template_id: str) -> Template | None: ...

    async def preset(self, preset_id: str) -> Preset | None: ...

    async def region(self, region_id: str) -> Region | None: ...

    async def templates(self) -> Sequence[Template]: ...

    async def presets(self) -> Sequence[Preset]: ...

    async def regions(self) -> Sequence[Region]: ...

    async def put(self, shape: Template | Preset | Region) -> None:
        """Adds it, or writes it over the one of its id."""
        ...

    async def delete(self, shape: Template | Preset | Region) -> None:
        """Raises WrongState while a VM, game or session refers to it; then the transaction can only be rolled back."""
        ...


class CredentialRows(Protocol):
    """Who may come in, and the projects they come into."""

    async def put_project(self, project_id: str) -> None:
        """Makes sure that there is such a project. "default" comes with the first migration."""
        ...

    async def add(self, credential: Credential) -> None:
        """Raises AlreadyExists when the id or (kind, secret) is taken."""
        ...

    async def by_secret(self, kind: CredentialKind, secret_sha256: str) -> Credential | None: ...

    async def use(self, credential_id: str, now: datetime) -> bool:
        """Marks a single-use credential used; False when it was used, revoked or expired before: exactly one wins."""
        ...

    async def revoke(self, credential_id: str, now: datetime) -> None: ...

    async def spend(self, jti: str, expires_at: datetime, now: datetime) -> bool:
        """Remembers a stream token's id until it expires; False when it was spent before. Forgets expired ids."""
        ...


class FeedRows(Protocol):
    async def get(self) -> Feed: ...

    async def save(self, feed: Feed) -> None: ...


@dataclass(frozen=True)
class AuditEntry:
    """One accepted mutation. `request_id` ties it to the log; no secret is ever part of it."""

    project_id: str
    subject: str
    action: str
    resource: str
    request_id: str


@dataclass(frozen=True)
class AuditRecord:
    """An entry in its project's chain: `sha256` covers `previous_sha256` and everything else here (I22)."""

    entry: AuditEntry
    at: datetime
    sequence: int
    previous_sha256: str
    sha256: str


class OutboxRows(Protocol):
    """Events wait here until a relay has published them; `inbox` remembers what a consumer has handled."""

    async def append(self, drafts: Sequence[EventDraft]) -> None: ...

    async def claim(self, limit: int, lease_s: float) -> Sequence[Event]:
        """Unpublished events, oldest first, leased to the caller so that relays share the work."""
        ...

    async def published(self, event_ids: Sequence[str]) -> None: ...

    async def first_time(self, consumer: str, event_id: str) -> bool:
        """Remembers (consumer, event_id) in this transaction; False when it was handled before (I5)."""
        ...

    async def bury(self, consumer: str, event_id: str, payload: bytes, error: str, subject: str = "") -> None:
        """A dead letter, after the last try; buried again it has the last error, and no replay is asked for."""
        ...

    async def audit(self, entry: AuditEntry) -> None:
        """Adds to the project's chain when the transaction commits."""
        ...

    async def trail(self, project_id: str, after_sequence: int, limit: int) -> Sequence[AuditRecord]:
        """A project's audit records in the order of their chain."""
        ...

    async def prune(self, published_before: datetime) -> int:
        """Deletes events published, inbox rows and spent ids older than that; returns how many rows went."""
        ...


class DeadLetterRows(Protocol):
    """Messages given up, over all projects; `key` is DeadLetter.key."""

    async def get(self, key: str) -> DeadLetter | None: ...

    async def list(self, consumer: str, page: Page) -> Sequence[DeadLetter]:
        """By (at, key), newest first; "" means of all consumers."""
        ...

    async def ask_replay(self, key: str) -> bool:
        """Marks it for one more try; False when there is none."""
        ...

    async def claim(self, limit: int, lease_s: float) -> Sequence[DeadLetter]:
        """Those that are marked, leased to the caller so that processors share them."""
        ...

    async def remove(self, key: str) -> bool: ...


@dataclass(frozen=True)
class Backlog:
    """Events that are committed and not published yet."""

    events: int = 0
    oldest_at: datetime | None = None


@dataclass(frozen=True)
class VmFigure:
    """The VMs of one region in one state, over all projects."""

    region_id: str
    state: VmState
    vms: int
    capacity_units: int
    used_units: int


@dataclass(frozen=True)
class RegionFigure:
    """The VMs of a project in one region and state whose hosts are online, or are not. `free_seats` counts whole
    ones, VM by VM: what is left over on two machines makes no seat."""

    region_id: str
    state: VmState
    online: bool
    vms: int
    active_sessions: int
    capacity_units: int
    used_units: int
    free_seats: int


@dataclass(frozen=True)
class Flow:
    """What sessions did in a region since a moment: how many gave a slot back, and how many wait for one now. A session
    that waits without a wish for a region is counted under ""."""

    region_id: str
    released: int
    waiting: int


class FigureRows(Protocol):
    """Counts, for metrics, the log, and answers that must say how things stand."""

    async def backlog(self) -> Backlog: ...

    async def born_at(self) -> datetime:
        """When this database was made."""
        ...

    async def regions(self, project_id: str) -> Sequence[RegionFigure]:
        """By region, state and whether online; TERMINATED VMs are left out."""
        ...

    async def flow(self, project_id: str, since: datetime) -> Sequence[Flow]:
        """By region; those where nothing moved are left out."""
        ...

    async def turn(self, project_id: str, region_id: str, low: bool) -> int:
        """Remembers that capacity is low, or no longer. 0 when that was known, else how often it has turned."""
        ...

    async def fleet(self) -> Sequence[VmFigure]:
        """By region and state over all projects; TERMINATED VMs are left out."""
        ...


class Tx(Protocol):
    """One transaction."""

    @property
    def vms(self) -> VmRows: ...
    @property
    def transitions(self) -> TransitionRows: ...
    @property
    def provisionings(self) -> ProvisioningRows: ...
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


@dataclass(frozen=True)
class Delivery:
    """One message of a durable consumer. `attempt` counts from 1."""

    message_id: str
    subject: str
    payload: bytes
    attempt: int


Handler = Callable[[Delivery], Awaitable[None]]
Bury = Callable[[Delivery, Exception], Awaitable[None]]


class Bus(Protocol):
    """News. The database is the truth: every user of the bus works, slower, while it is away.

    Durable messages (`publish`, `consume`) go through a JetStream stream. Hints are fire-and-forget: they also reach
    the subscribers of the own process at once, with or without a broker."""

    async def publish(self, subject: str, payload: bytes, message_id: str) -> None:
        """Durable: returns when the broker has stored it. Raises Unavailable. Duplicates by id are dropped."""
        ...

    async def publish_event(self, event: Event) -> None:
        """The event on its subject, in the documented encoding; its id is the message id. Raises Unavailable."""
        ...

    async def hint(self, subject: str, payload: bytes = b"") -> bool:
        """True when a broker took it; local subscribers have it either way."""
        ...

    def subscribe(
        self, subject: str, *, queue: str = ""
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, bytes]]]:
        """Hints on a subject (NATS wildcards allowed) as (subject, payload); a slow reader loses the oldest."""
        ...

    async def consume(self, durable: str, subject: str, handler: Handler, bury: Bury) -> None:
        """Handles durable messages for ever, several at a time, acknowledging after `handler` returns. After five
        failed tries, or at once when the error can never pass (InvalidRequest, NotFound, WrongState), `bury` gets the
        message with its last error; it stays until `bury` returns. Survives the broker's absence; cancelled, it
        finishes what it has begun."""
        ...

    def events(self, project_id: str, resume_token: str) -> AsyncIterator[tuple[Event, str]]:
        """A project's events from now on, or after `resume_token`, each with its own token. Raises NotFound
        (RESUME_TOKEN_EXPIRED) when the stream no longer goes back that far, Unavailable when the broker is away."""
        ...

    async def resume_token(self) -> str:
        """Where the events stand now: what happens after this call comes after this token. Raises Unavailable."""
        ...

    @property
    def connected(self) -> bool: ...


class CertificateAuthority(Protocol):
    def issue_host_certificate(self, host_id: str, certificate_request_der: bytes) -> tuple[str, str, datetime]:
        """PEM, serial (hex) and end of a client certificate for `spiffe://quarterdeck/host/<id>`. The request's own
        names are ignored. Raises InvalidRequest when it is not a valid PKCS #10 request."""
        ...

    @property
    def ca_pem(self) -> str: ...

    @property
    def ca_sha256(self) -> str:
        """SHA-256 of the CA certificate (DER), hex: what agents pin."""
        ...


class StreamTokens(Protocol):
    def sign(self, session_id: str, role: str, expires_at: datetime, jti: str) -> str: ...

    def verify(self, token: str, now: datetime) -> tuple[str, str, str, datetime]:
        """(session_id, role, jti, expires_at). Raises Unauthenticated (STREAM_TOKEN_INVALID or _EXPIRED)."""
        ...


class Ids(Protocol):
    """Randomness, as an argument."""

    def new(self, prefix: str) -> str:
        """Such as s-4k2j…: lower-case letters and digits, 80 random bits."""
        ...

    def secret(self) -> str:
        """256 random bits, URL-safe."""
        ...


class Provider(Protocol):
    """Who rents machines. Every call goes over the network, may be lost, and may have been done all the same: it is
    never made inside a transaction. Raises ProviderRefused when nothing was done; anything else means unknown."""

    @property
    def name(self) -> str: ...

    async def offers(self, region_ids: Sequence[str], template_id: str) -> Sequence[Offer]:
        """What can be had now in these regions for this template."""
        ...

    async def create(self, offer: Offer, tag: str, invitation: Invitation) -> Instance:
        """Rents one machine that carries `tag` from its first moment. With a tag that a machine has, that machine."""
        ...

    async def find(self, tag: str) -> Listing:
        """The machines with this tag."""
        ...

    async def list_owned(self, prefix: str) -> Listing:
        """All machines whose tag begins with `prefix`."""
        ...

    async def destroy(self, instance_id: str) -> None:
        """Ends it for good; one that is gone is fine. A listing confirms it."""
        ...

    async def start(self, instance_id: str) -> None: ...

    async def stop(self, instance_id: str) -> None:
        """Keeps the machine and its disks, switched off. Raises ProviderRefused where that cannot be had."""
        ...
