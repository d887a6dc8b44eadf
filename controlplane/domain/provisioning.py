"""Getting a rented machine and giving it back: a state table, and what to do next as a pure function of the row.

Intent before purchase: the row says BUYING, with a tag that the provider will carry, before the provider is called.
Whoever finds a row in BUYING, after a crash or a time-out, looks for the tag before it buys again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from controlplane.domain.attempt import Attempt, Failure, Offer, Outcome, Purpose
from controlplane.domain.machine import Machine
from controlplane.domain.retry import DEFAULT_SCHEDULES, FailureKind, Remedy, Schedule


class Phase(StrEnum):
    WANTED = "WANTED"
    BUYING = "BUYING"
    BOUGHT = "BOUGHT"
    BOOTING = "BOOTING"
    HELD = "HELD"
    PARKING = "PARKING"
    PARKED = "PARKED"
    STARTING = "STARTING"
    RELEASING = "RELEASING"
    RELEASED = "RELEASED"


class Trigger(StrEnum):
    BUY = "buy"
    FOUND = "found"
    NOT_BOUGHT = "not_bought"
    RUNNING = "running"
    JOINED = "joined"
    STOP = "stop"
    STOPPED = "stopped"
    START = "start"
    STARTED = "started"
    REFUSED = "refused"
    RELEASE = "release"
    GONE = "gone"
    AGAIN = "again"


P, T = Phase, Trigger

PROVISIONING_MACHINE: Machine[Phase, Trigger] = Machine(
    name="provisioning",
    initial=frozenset({P.WANTED}),
    final=frozenset({P.RELEASED}),
    table={
        (P.WANTED, T.BUY): P.BUYING,
        (P.WANTED, T.RELEASE): P.RELEASED,
        (P.BUYING, T.FOUND): P.BOUGHT,
        (P.BUYING, T.NOT_BOUGHT): P.WANTED,
        (P.BUYING, T.RELEASE): P.RELEASING,
        (P.BOUGHT, T.RUNNING): P.BOOTING,
        (P.BOUGHT, T.GONE): P.WANTED,
        (P.BOUGHT, T.RELEASE): P.RELEASING,
        (P.BOOTING, T.JOINED): P.HELD,
        (P.BOOTING, T.GONE): P.WANTED,
        (P.BOOTING, T.RELEASE): P.RELEASING,
        (P.HELD, T.STOP): P.PARKING,
        (P.HELD, T.GONE): P.RELEASED,
        (P.HELD, T.RELEASE): P.RELEASING,
        (P.PARKING, T.STOPPED): P.PARKED,
        (P.PARKING, T.REFUSED): P.HELD,
        (P.PARKING, T.RELEASE): P.RELEASING,
        (P.PARKED, T.START): P.STARTING,
        (P.PARKED, T.GONE): P.RELEASED,
        (P.PARKED, T.RELEASE): P.RELEASING,
        (P.STARTING, T.STARTED): P.BOUGHT,
        (P.STARTING, T.REFUSED): P.PARKED,
        (P.STARTING, T.RELEASE): P.RELEASING,
        (P.RELEASING, T.GONE): P.RELEASED,
        (P.RELEASING, T.AGAIN): P.WANTED,
    },
)


# Its machine, if there is one, has not joined yet.
BEING_RENTED = frozenset({P.WANTED, P.BUYING, P.BOUGHT, P.BOOTING})
# Phases that go on by themselves; the others wait for somebody's wish.
SELF_MOVING = frozenset(Phase) - {P.HELD, P.PARKED, P.RELEASED}


@dataclass(frozen=True)
class Provisioning:
    """The progress of one rented VM; `id` is the VM's. `tag` is deterministic and carried by the provider's machine
    from its first moment; `absences` counts complete listings that did not show it while BUYING; `refused` holds the
    offers that are not to be tried again. `next_attempt_at` delays the next step, `again_at` only the next attempt,
    once a failed machine is gone. `release_for_good` says that RELEASING ends in RELEASED, not in another attempt.
    `attempt` counts within the series that began at `trying_since` (None: with the VM); `last` is its last attempt.
    `mandate` is what the house decided by itself to rent, at that price at most; None: an operator wished for it. The
    house tries a mandate once and then another VM: there `attempt` counts over all VMs in a row that were at it."""

    id: str
    project_id: str
    provider: str
    tag: str
    phase: Phase
    region_ids: tuple[str, ...]
    template_id: str
    created_at: datetime
    offer: Offer | None = None
    instance_id: str = ""
    address: str = ""
    attempt: int = 1
    next_attempt_at: datetime | None = None
    again_at: datetime | None = None
    deadline_at: datetime | None = None
    buying_since: datetime | None = None
    absences: int = 0
    refused: frozenset[str] = frozenset()
    failure: Failure | None = None
    release_for_good: bool = False
    trying_since: datetime | None = None
    last: Attempt | None = None
    version: int = 1
    mandate: Offer | None = None

    @property
    def name(self) -> str:
        return f"vms/{self.id}"

    def on(self, trigger: Trigger) -> Provisioning:
        """Raises WrongState."""
        return replace(self, phase=PROVISIONING_MACHINE.next(self.phase, trigger), version=self.version + 1)


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds. A provider's listing may lag behind its own creations by `listing_lag_s`; an order
    that nobody has answered may have been under way for `call_timeout_s` before."""

    running_s: float = 600.0
    boot_s: float = 600.0
    poll_s: float = 10.0
    call_timeout_s: float = 25.0
    listing_lag_s: float = 30.0
    absences: int = 2
    schedules: Mapping[FailureKind, Schedule] = field(default_factory=lambda: DEFAULT_SCHEDULES)

    @property
    def remembered_s(self) -> float:
        """A failure counts for so long: beyond every delay that may follow it."""
        return 2 * max(schedule.cap_s for schedule in self.schedules.values())


class Step(StrEnum):
    """What to do next with a row that is due."""

    WAIT = "WAIT"
    CHOOSE_AND_BUY = "CHOOSE_AND_BUY"
    FIND = "FIND"
    POLL = "POLL"
    AWAIT_AGENT = "AWAIT_AGENT"
    GIVE_UP_ON_MACHINE = "GIVE_UP_ON_MACHINE"
    STOP = "STOP"
    START = "START"
    DESTROY = "DESTROY"
    NOTHING = "NOTHING"


def next_step(row: Provisioning, now: datetime) -> Step:
    """What a worker that holds the row's lease does now. Two rows alike always give the same step."""
    if row.next_attempt_at is not None and now < row.next_attempt_at:
        return Step.WAIT
    late = row.deadline_at is not None and now >= row.deadline_at
    match row.phase:
        case Phase.WANTED:
            return Step.CHOOSE_AND_BUY
        case Phase.BUYING:
            return Step.FIND
        case Phase.BOUGHT:
            return Step.GIVE_UP_ON_MACHINE if late else Step.POLL
        case Phase.BOOTING:
            return Step.GIVE_UP_ON_MACHINE if late else Step.AWAIT_AGENT
        case Phase.PARKING:
            return Step.STOP
        case Phase.STARTING:
            return Step.START
        case Phase.RELEASING:
            return Step.DESTROY
        case _:
            return Step.NOTHING


def begun(row: Provisioning, purpose: Purpose, offer: Offer | None, at: datetime) -> Provisioning:
    """The row with one more attempt; to be changed further."""
    number = row.last.number + 1 if row.last else 1
    return replace(
        row, last=Attempt(number, purpose, at, offer, row.instance_id if purpose is not Purpose.RENT else "")
    )


def _ended(
    row: Provisioning,
    outcome: Outcome,
    now: datetime,
    failure: Failure | None = None,
    next_at: datetime | None = None,
) -> Provisioning:
    if row.last is None or row.last.outcome is not Outcome.OPEN:
        return row
    ended = replace(row.last, outcome=outcome, ended_at=now, failure=failure, next_attempt_at=next_at)
    return replace(row, last=ended)


def buying(row: Provisioning, offer: Offer, now: datetime) -> Provisioning:
    """The intent, to be committed before the provider is called."""
    return replace(
        begun(row.on(Trigger.BUY), Purpose.RENT, offer, now),
        offer=offer,
        buying_since=now,
        absences=0,
        next_attempt_at=None,
        deadline_at=None,
        instance_id="",
    )


def bought(row: Provisioning, instance_id: str, address: str, now: datetime, patience: Patience) -> Provisioning:
    """The provider has the machine: it answered, or a listing shows the tag."""
    return replace(
        row.on(Trigger.FOUND),
        instance_id=instance_id,
        address=address,
        absences=0,
        deadline_at=now + timedelta(seconds=patience.running_s),
        next_attempt_at=None,
        last=replace(row.last, instance_id=instance_id) if row.last else None,
    )


def of_an_earlier_order(row: Provisioning, created_at: datetime, patience: Patience) -> bool:
    """Whether the machine that has the row's tag was made for an order before this one, whose join token is revoked:
    its agent can never join. By the provider's clock, which may be off by `call_timeout_s`: orders are further apart.
    """
    if row.buying_since is None or row.last is None or row.last.number == 1:
        return False
    return created_at < row.buying_since - timedelta(seconds=patience.call_timeout_s)


def not_listed(row: Provisioning, now: datetime, patience: Patience) -> tuple[Provisioning, bool]:
    """One complete listing did not show the tag. True when that is certain by now: enough listings, past the lag and,
    where the order was never answered, past any call."""
    row = replace(row, absences=row.absences + 1, version=row.version + 1)
    wait_s = patience.listing_lag_s + (0.0 if row.instance_id else patience.call_timeout_s)
    settled = row.buying_since is not None and now - row.buying_since >= timedelta(seconds=wait_s)
    if row.absences >= patience.absences and settled:
        return row, True
    return replace(row, next_attempt_at=now + timedelta(seconds=patience.poll_s)), False


def there(row: Provisioning, now: datetime, patience: Patience) -> Provisioning:
    """The provider has the machine, as before: what listings have not shown of it is forgotten."""
    return replace(postponed(row, now, patience.poll_s), absences=0)


def running(row: Provisioning, address: str, now: datetime, patience: Patience) -> Provisioning:
    """The machine runs; from now on its agent has `boot_s` to join."""
    return replace(
        row.on(Trigger.RUNNING),
        address=address or row.address,
        absences=0,
        deadline_at=now + timedelta(seconds=patience.boot_s),
        next_attempt_at=now + timedelta(seconds=patience.poll_s),
    )


def joined(row: Provisioning, now: datetime) -> Provisioning:
    """Its agent has enrolled and is healthy: the VM is READY, the retries are forgotten."""
    return replace(
        _ended(row.on(Trigger.JOINED), Outcome.SUCCEEDED, now),
        deadline_at=None,
        next_attempt_at=None,
        failure=None,
        attempt=1,
        refused=frozenset(),
    )


def released(row: Provisioning, now: datetime) -> Provisioning:
    """Somebody wants it gone. What was never bought is gone at once; what may exist is destroyed first."""
    row = _ended(row, Outcome.CALLED_OFF, now)
    if row.phase is Phase.RELEASING:
        return replace(row, release_for_good=True, next_attempt_at=None, version=row.version + 1)
    return replace(row.on(Trigger.RELEASE), release_for_good=True, next_attempt_at=None, deadline_at=None, absences=0)


def powering(row: Provisioning, trigger: Trigger, now: datetime) -> Provisioning:
    """Somebody wants a held machine stopped (STOP) or a kept one started (START): a new series of attempts."""
    return replace(row.on(trigger), attempt=1, trying_since=now, next_attempt_at=None, failure=None)


def stopped(row: Provisioning, now: datetime) -> Provisioning:
    """The provider keeps the machine, switched off."""
    return replace(
        _ended(row.on(Trigger.STOPPED), Outcome.SUCCEEDED, now), next_attempt_at=None, failure=None, attempt=1
    )


def started(row: Provisioning, now: datetime, patience: Patience) -> Provisioning:
    """The provider has been told to start a stopped machine again: the attempt goes on until its agent is back."""
    return replace(
        row.on(Trigger.STARTED), deadline_at=now + timedelta(seconds=patience.running_s), next_attempt_at=None
    )


def postponed(row: Provisioning, now: datetime, wait_s: float, failure: Failure | None = None) -> Provisioning:
    """The same step again, later: nothing has been learnt, but perhaps why."""
    return replace(
        row,
        next_attempt_at=now + timedelta(seconds=wait_s),
        failure=failure or row.failure,
        version=row.version + 1,
    )


def gone(row: Provisioning) -> Provisioning:
    """The provider confirms that the machine does not exist (any more)."""
    if row.phase is Phase.RELEASING and not row.release_for_good:
        again = row.on(Trigger.AGAIN)
        return replace(again, instance_id="", address="", next_attempt_at=row.again_at, again_at=None)
    return replace(row.on(Trigger.GONE), instance_id="", address="", deadline_at=None, next_attempt_at=None)


def failed(row: Provisioning, failure: Failure, now: datetime, patience: Patience, chance: float) -> Provisioning:
    """The row waiting for its next attempt, or at its end: attempts or budget are spent, the class of the error says
    so, or it was the house's own wish, which goes on elsewhere at once and comes back to this one by the schedule. A
    machine that may exist is given back before the next attempt, one that refuses to be stopped or started is kept;
    `chance` is uniform in [0, 1)."""
    if row.last is None or row.last.outcome is not Outcome.OPEN:  # there was not even an offer
        row = begun(row, Purpose.RENT, None, now)
    schedule = patience.schedules[failure.kind]
    if row.mandate is not None and row.phase in BEING_RENTED:
        again_at = now + timedelta(seconds=schedule.delay_s(row.attempt, chance))
        return _given_up(_ended(row, Outcome.FAILED, now, failure, again_at), failure, now)
    spent_s = (now - (row.trying_since or row.created_at)).total_seconds()
    wait_s = schedule.another(row.attempt, spent_s, chance)
    if failure.remedy is Remedy.GIVE_UP or wait_s is None:
        return _given_up(_ended(row, Outcome.FAILED, now, failure), failure, now)
    refused = row.refused | {row.offer.key} if failure.remedy is Remedy.ANOTHER_OFFER and row.offer else row.refused
    next_at = now + timedelta(seconds=wait_s)
    row = _ended(row, Outcome.FAILED, now, failure, next_at)
    counted = replace(row, attempt=row.attempt + 1, failure=failure, refused=refused)
    match row.phase:
        case Phase.BUYING:
            return replace(counted.on(Trigger.NOT_BOUGHT), next_attempt_at=next_at)
        case Phase.BOUGHT | Phase.BOOTING:
            return replace(
                counted.on(Trigger.RELEASE), next_attempt_at=None, again_at=next_at, deadline_at=None, absences=0
            )
        case _:
            return replace(counted, next_attempt_at=next_at, version=row.version + 1)


def _given_up(row: Provisioning, failure: Failure, now: datetime) -> Provisioning:
    row = replace(row, failure=failure)
    if row.phase in (Phase.PARKING, Phase.STARTING):
        return replace(row.on(Trigger.REFUSED), next_attempt_at=None, attempt=1)
    # Nothing was bought, that is certain: there is nothing to look for and to give back.
    return released(row.on(Trigger.NOT_BOUGHT) if row.phase is Phase.BUYING else row, now)


def vanished(row: Provisioning) -> Provisioning:
    """The machine that was held or kept is gone, and nobody had asked for it."""
    lost = Failure(FailureKind.PROVISIONING, "MACHINE_GONE", "its provider has the machine no more", Remedy.GIVE_UP)
    return replace(gone(row), failure=lost, release_for_good=True)


def broken_down(row: Provisioning, told: str) -> Provisioning:
    """The machine that was held is there and does not run, and nobody had asked for it: kept, for somebody to look."""
    down = Failure(FailureKind.BOOT, "MACHINE_DOWN", f"its provider says that it is {told}", Remedy.GIVE_UP)
    return replace(row, failure=down, version=row.version + 1)
