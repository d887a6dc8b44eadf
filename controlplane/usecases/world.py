"""What every use case is handed: the world outside as interfaces, and the policy as numbers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from controlplane.domain import subjects
from controlplane.domain.errors import Forbidden
from controlplane.domain.identity import Principal, Role
from controlplane.domain.provisioning import Patience
from controlplane.domain.queueing import Bounds
from controlplane.domain.session import Limits
from controlplane.domain.silence import Silence
from controlplane.interfaces import Bus, CertificateAuthority, Ids, Objects, Provider, Store, StreamTokens
from controlplane.usecases.combining import Combiner
from controlplane.usecases.offers import OfferBook


@dataclass(frozen=True)
class Renting:
    """`enrolment_target` is HOST:PORT, as rented machines dial it. A worker renews its lease while it works, and what
    it could not renew is cut off: whoever takes over knows that no call is still under way."""

    enrolment_target: str = ""
    patience: Patience = field(default_factory=Patience)
    lease_s: float = 15.0
    orphan_age_s: float = 30.0
    # A machine that the house rented by itself goes when it has been empty for so long, where no pool says otherwise.
    idle_after_s: float = 600.0


@dataclass(frozen=True)
class Policy:
    """Defaults and limits, in seconds unless the name says otherwise."""

    silence: Silence = field(default_factory=Silence)
    limits: Limits = field(default_factory=Limits)
    session_lost_after_s: float = 900.0
    session_lease_s: float = 600.0
    queue_timeout_s: float = 30.0
    # Since its creation, for a session that a machine is being rented for.
    rented_queue_timeout_s: float = 900.0
    queue_bounds: Bounds = field(default_factory=Bounds)
    port_quarantine_s: float = 60.0
    lost_port_quarantine_s: float = 3600.0
    port_attempts: int = 5
    stream_token_ttl_s: float = 60.0
    sign_in_ttl_s: float = 900.0
    join_token_ttl_s: float = 2700.0
    token_ttl_s: float = 30 * 86400.0
    # Valid at once, of one subject.
    tokens_each: int = 1000
    sign_in_codes_each: int = 50
    vanish_after_s: float = 15.0
    start_deadline_s: float = 120.0
    media_ports: tuple[int, int] = (28000, 28999)
    default_preset_id: str = "software-720p30"
    poll_s: float = 1.0
    # How often the place of a watched session in its queue is counted anew.
    place_s: float = 5.0
    log_retention_s: float = 14 * 86400.0
    log_session_bytes: int = 256 << 20
    # Of one player.
    saves_each: int = 100
    renting: Renting = field(default_factory=Renting)

    @property
    def remembered_s(self) -> float:
        """How much of what was heard decides of anybody's silence."""
        return max(self.silence.lost_after_s, self.start_deadline_s) + self.silence.restart_grace_s


@dataclass(frozen=True)
class World:
    store: Store
    bus: Bus
    ids: Ids
    authority: CertificateAuthority
    stream_tokens: StreamTokens
    objects: Objects
    policy: Policy = field(default_factory=Policy)
    creating: Combiner = field(default_factory=Combiner)
    providers: Mapping[str, Provider] = field(default_factory=dict)
    offers: OfferBook = field(default_factory=OfferBook)

    async def tell(self, *hints: str) -> None:
        """After a commit: wakes whoever waits for these subjects, and the relay. Only hints: losing them costs time."""
        for subject in (*dict.fromkeys(hints), subjects.OUTBOX):
            await self.bus.hint(subject)

    def wakes(self, subject: str) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, bytes]]]:
        return self.bus.subscribe(subject)


async def woken(hints: AsyncIterator[tuple[str, bytes]], timeout_s: float) -> None:
    """Returns at the next hint, or after `timeout_s`: hints may be lost, so nobody waits for one alone."""
    try:
        async with asyncio.timeout(timeout_s):
            await anext(hints)
    except (TimeoutError, StopAsyncIteration):
        return


def operators_only(who: Principal) -> None:
    """Raises Forbidden for anyone else. The API's access table says the same; this is the second lock on the door."""
    if who.role is not Role.OPERATOR:
        raise Forbidden("OPERATOR_REQUIRED", "only an operator of the project may do this")
