"""Everything beside the store: the bus, certificates, tokens, randomness, providers of machines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from controlplane.domain.attempt import Offer
from controlplane.domain.events import Event
from controlplane.domain.instance import Instance, Invitation, Listing


@dataclass(frozen=True)
class Delivery:
    """One message of a durable consumer. `attempt` counts from 1; `waited_s` is since it came into the broker, by the
    broker's clock and ours: good for a figure, not for a decision (I15)."""

    message_id: str
    subject: str
    payload: bytes
    attempt: int
    waited_s: float = 0.0


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

    def events(self, project_id: str, resume_token: str) -> AsyncGenerator[tuple[Event, str], None]:
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

    def secret_of(self, *words: str) -> str:
        """256 bits, URL-safe, that follow from these words: the same each time, and known to nobody without the key."""
        ...

    def sign_download(self, name: str, project_id: str, expires_at: datetime) -> str:
        """A token that opens the content of this name, as often as one likes until then."""
        ...

    def verify_download(self, token: str, now: datetime) -> tuple[str, str]:
        """(name, project_id). Raises Unauthenticated (DOWNLOAD_TOKEN_INVALID or _EXPIRED)."""
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
