"""Gets rented machines and gives them back, one committed step after another.

Each step is chosen by the domain from the row alone: load under a lease, call the provider outside any transaction,
apply under the lease. A crash at any await leaves a row from which the next worker goes on.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from controlplane.domain import provisioning as domain
from controlplane.domain import rental
from controlplane.domain.attempt import Failure, Offer, Purpose
from controlplane.domain.errors import Conflict, Unavailable, as_one
from controlplane.domain.instance import Instance, InstanceState, Invitation, ProviderRefused
from controlplane.domain.provisioning import Provisioning, Step
from controlplane.domain.retry import FailureKind, Remedy
from controlplane.domain.vm import Vm
from controlplane.interfaces import Page, Provider, Tx
from controlplane.usecases.vms import join_token
from controlplane.usecases.world import World

# Rows of one provider that one replica works on at the same time; and how many of all it takes up in one turn.
AT_ONCE, BATCH = 20, 200
# While some are worked on, how often others are looked for.
LOOK_S = 1.0
STEPS_AT_ONCE = 6
# What a call over a network may end in that leaves unknown whether it was done.
UNKNOWN = (TimeoutError, OSError, Unavailable)

T = TypeVar("T")
Decision = Callable[[Provisioning, Vm, datetime], tuple[Provisioning, Vm]]


async def advance(world: World) -> int:
    """Carries every row that is due as far as it goes now, and what falls due meanwhile: a provider that takes its time
    holds up its own rows, once AT_ONCE wait for it, and no others. Returns how many there were. Any number of replicas
    may.

    Raises Conflict, Unavailable; an ExceptionGroup where some was not foreseen, of rows that are put off and say so."""
    carried, broken = list[str](), list[Exception]()
    running = dict[asyncio.Task[None], str]()
    try:
        while True:
            busy = {provider for provider, count in Counter(running.values()).items() if count >= AT_ONCE}
            try:
                claim = await _claim(world, busy) if len(carried) < BATCH else None
            except (Conflict, Unavailable) as error:  # what runs has leases of its own, and goes on
                claim = None
                if not running:
                    broken.append(error)
            if claim is not None:
                running[asyncio.create_task(_work(world, claim))] = claim.row.provider
                carried.append(claim.row.id)
            elif running:
                done, _ = await asyncio.wait(running, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
                    try:
                        task.result()
                    except Exception as error:  # noqa: BLE001 - raised below
                        broken.append(error)
            else:
                break
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if broken:
        raise as_one("provisioning", broken)
    return len(set(carried))


@dataclass(frozen=True)
class _Claim:
    """A row under a lease of its own; `at` by our own clock, read before the database's."""

    row: Provisioning
    token: str
    at: float


async def _claim(world: World, busy: Collection[str]) -> _Claim | None:
    """The row that has waited longest, but for these providers; None when there is none."""
    token, claimed_at = world.ids.new("lease"), asyncio.get_running_loop().time()
    async with world.store.tx() as tx:
        rows = await tx.provisionings.claim(1, world.policy.renting.lease_s, token, busy)
    return _Claim(rows[0], token, claimed_at) if rows else None


async def _work(world: World, claim: _Claim) -> None:
    try:
        async with _leased(world, claim.token, claim.at):
            (outcome,) = await asyncio.gather(_carry(world, claim.row, claim.token), return_exceptions=True)
    finally:
        async with world.store.tx() as tx:
            await tx.provisionings.lease(claim.token, 0)
    if outcome is not None:
        raise outcome


@asynccontextmanager
async def _leased(world: World, token: str, claimed_at: float) -> AsyncIterator[None]:
    """Renews the lease while work lasts. By our own clock, which began before the database's did, what could not be
    renewed is cut off before anybody else may take over. Raises Unavailable then."""
    lease_s, loop = world.policy.renting.lease_s, asyncio.get_running_loop()

    async def renew(limit: asyncio.Timeout) -> None:
        while True:
            await asyncio.sleep(lease_s / 3)
            asked_at = loop.time()
            with suppress(Conflict, Unavailable):  # there is time to try again
                async with world.store.tx() as tx:
                    await tx.provisionings.lease(token, lease_s)
                limit.reschedule(asked_at + lease_s)

    try:
        async with asyncio.timeout_at(claimed_at + lease_s) as limit, asyncio.TaskGroup() as group:
            renewing = group.create_task(renew(limit))
            yield
            renewing.cancel()
    except TimeoutError:
        raise Unavailable("LEASE_LOST", "the database was away for longer than a lease: work was cut off") from None


async def _carry(world: World, row: Provisioning, token: str) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + world.policy.renting.lease_s / 2
    for _ in range(STEPS_AT_ONCE):
        try:
            after = await Worker(world, row, token).step()
        except Conflict:
            return  # somebody has changed the row: it is claimed anew, and looked at again
        except Exception as error:
            if not isinstance(error, Unavailable):
                await _put_off(world, row.id, token, error)
            raise
        if after is None or loop.time() > until:
            return
        row = after


async def _put_off(world: World, vm_id: str, token: str, error: Exception) -> None:
    """A fault of ours, or of a provider's adapter, in one row's step is for people to mend. Meanwhile it is not tried
    at every turn, before all other rows; its VM says so."""
    why = f"an unforeseen {type(error).__name__}: the processor's log says where"
    unforeseen = Failure(FailureKind.PROVIDER_API, "UNFORESEEN", why, Remedy.RETRY)
    with suppress(Conflict, Unavailable):  # the fault itself is what is to be told
        async with world.store.tx() as tx:
            if (row := await tx.provisionings.get(vm_id)) is not None:
                after = domain.postponed(row, await tx.now(), world.policy.renting.patience.poll_s, unforeseen)
                await tx.provisionings.apply(after, token, keep=True)


@dataclass(frozen=True)
class Worker:
    """One step on one row, under a lease."""

    world: World
    row: Provisioning
    token: str

    async def step(self) -> Provisioning | None:
        """The row after one step; None when there is nothing to do now. Raises Conflict."""
        async with self.world.store.reading() as tx:
            vm, now = await tx.vms.get(self.row.id), await tx.now()
        if vm is not None and rental.ends(self.row, vm):
            return await self._apply(self._ends)
        match domain.next_step(self.row, now):
            case Step.CHOOSE_AND_BUY:
                return await self._buy()
            case Step.FIND:
                return await self._find()
            case Step.AWAIT_AGENT if vm is not None and vm.state in rental.JOINED:
                return await self._apply(self._awaited)
            case Step.POLL | Step.AWAIT_AGENT:
                return await self._poll()
            case Step.GIVE_UP_ON_MACHINE:
                return await self._apply(self._awaited)
            case Step.STOP | Step.START as power:
                return await self._power(power, now)
            case Step.DESTROY:
                return await self._destroy()
            case _:
                return None

    def _ends(self, row: Provisioning, vm: Vm, now: datetime) -> tuple[Provisioning, Vm]:
        if not rental.ends(row, vm):  # put into service again since it was looked at: somebody may play on it (I14)
            raise Conflict("PROVISIONING_CHANGED", f"{row.name} is to be terminated no more")
        return domain.released(row, now), vm

    async def _buy(self) -> Provisioning:
        try:
            offers = await self._call(self._provider.offers(self.row.region_ids, self.row.template_id))
        except ProviderRefused as refusal:
            return await self._fail(refusal.failure)
        except UNKNOWN as error:
            return await self._fail(_failure(FailureKind.PROVIDER_API, "PROVIDER_AWAY", error))
        offer = rental.choose(offers, self.row)
        if offer is None:
            why = rental.without_offer(offers, self.row)
            nothing = Failure(FailureKind.PROVISIONING, "NO_OFFER", why, Remedy.RETRY)
            return await self._fail(nothing, forget_refusals=True)
        secret = self.world.ids.secret()
        intent = await self._apply(lambda row, vm, now: (domain.buying(row, offer, now), vm), self._invite(secret))
        return await replace(self, row=intent)._create(offer, secret)

    async def _create(self, offer: Offer, secret: str) -> Provisioning:
        world = self.world
        target = world.policy.renting.enrolment_target
        invitation = Invitation(self.row.id, target, world.authority.ca_sha256, secret)
        try:
            instance = await self._call(self._provider.create(offer, self.row.tag, invitation))
        except ProviderRefused as refusal:
            return await self._fail(refusal.failure)
        except UNKNOWN:
            return await self._later()  # it may have been bought: the row says BUYING, so it will be looked for
        return await self._have(instance)

    async def _find(self) -> Provisioning:
        try:
            listing = await self._call(self._provider.find(self.row.tag))
        except (ProviderRefused, *UNKNOWN) as error:
            return await self._later(_unanswered(error))
        if listing.instances:
            return await self._have(max(listing.instances, key=lambda instance: (instance.created_at, instance.id)))
        if not listing.complete:
            return await self._later()
        lost = Failure(FailureKind.NETWORK, "NO_REPLY", "the provider never got or never did the order", Remedy.RETRY)
        return await self._apply(lambda row, vm, now: (self._missing(row, vm, now, lost), vm))

    async def _have(self, instance: Instance) -> Provisioning:
        def decide(row: Provisioning, vm: Vm, now: datetime) -> tuple[Provisioning, Vm]:
            after = domain.bought(row, instance.id, instance.address, now, self._patience)
            furnished = rental.furnished(vm, instance, now)
            if vm.state not in rental.JOINED and domain.of_an_earlier_order(row, instance.created_at, self._patience):
                late = Failure(FailureKind.NETWORK, "EARLIER_ORDER", "an order given up came late", Remedy.RETRY)
                return self._failed(after, late, now), furnished
            return after, furnished

        return await self._apply(decide)

    async def _poll(self) -> Provisioning:
        """Looks for the machine that was bought, and goes on looking until its agent has come."""
        try:
            listing = await self._call(self._provider.find(self.row.tag))
        except (ProviderRefused, *UNKNOWN) as error:
            return await self._later(_unanswered(error))
        found = next((i for i in listing.instances if i.id == self.row.instance_id), None)
        if found is None and not listing.complete:
            return await self._later()
        return await self._apply(lambda row, vm, now: (self._seen(row, vm, now, found), vm))

    def _seen(self, row: Provisioning, vm: Vm, now: datetime, found: Instance | None) -> Provisioning:
        """What a complete listing says, unless its agent says otherwise."""
        if vm.state in rental.JOINED and row.phase is domain.Phase.BOOTING:
            return domain.joined(row, now)
        if found is None:
            why = "the machine is gone before its agent came"
            return self._missing(row, vm, now, Failure(FailureKind.BOOT, "INSTANCE_GONE", why, Remedy.RETRY))
        if found.state is InstanceState.FAILED and vm.state not in rental.JOINED:
            broken = Failure(FailureKind.BOOT, "INSTANCE_FAILED", "the provider reports a failed machine", Remedy.RETRY)
            return self._failed(row, broken, now)
        if found.state is InstanceState.RUNNING and row.phase is domain.Phase.BOUGHT:
            return domain.running(row, found.address, now, self._patience)
        return domain.there(row, now, self._patience)

    def _awaited(self, row: Provisioning, vm: Vm, now: datetime) -> tuple[Provisioning, Vm]:
        """Its agent has come, or its time is over."""
        if vm.state in rental.JOINED:  # it may have been quicker than the provider's own word
            booting = row if row.phase is domain.Phase.BOOTING else domain.running(row, "", now, self._patience)
            return domain.joined(booting, now), vm
        never = Failure(FailureKind.BOOT, "BOOT_TIMEOUT", "its agent never came", Remedy.RETRY)
        return self._failed(row, never, now), vm

    async def _power(self, step: Step, began_at: datetime) -> Provisioning:
        stops = step is Step.STOP
        purpose = Purpose.STOP if stops else Purpose.START
        failure = None
        try:
            call = self._provider.stop if stops else self._provider.start
            await self._call(call(self.row.instance_id))
        except (ProviderRefused, *UNKNOWN) as error:
            failure = _failure(FailureKind.NETWORK, "NO_REPLY", error)

        def decide(row: Provisioning, vm: Vm, now: datetime) -> tuple[Provisioning, Vm]:
            row = domain.begun(row, purpose, row.offer, began_at)
            if failure is not None:
                return self._failed(row, failure, now), vm
            return (domain.stopped(row, now) if stops else domain.started(row, now, self._patience)), vm

        return await self._apply(decide)

    async def _destroy(self) -> Provisioning:
        try:
            listing = await self._call(self._provider.find(self.row.tag))
            known = {self.row.instance_id} - {""}
            for instance_id in sorted(known | {instance.id for instance in listing.instances}):
                await self._call(self._provider.destroy(instance_id))
            listing = await self._call(self._provider.find(self.row.tag))
        except (ProviderRefused, *UNKNOWN) as error:
            return await self._later(_failure(FailureKind.PROVIDER_API, "DESTROY_FAILED", error))
        if listing.instances or not listing.complete:
            return await self._later()
        return await self._apply(lambda row, vm, now: (self._confirmed(row, now), vm))

    def _confirmed(self, row: Provisioning, now: datetime) -> Provisioning:
        # What was never seen may still come: it takes as many listings as a lost order does.
        if row.instance_id:
            return domain.gone(row)
        counted, certain = domain.not_listed(row, now, self._patience)
        return domain.gone(counted) if certain else counted

    def _missing(self, row: Provisioning, vm: Vm, now: datetime, failure: Failure) -> Provisioning:
        if vm.state in rental.JOINED:  # its agent speaks: the listing is behind
            return domain.postponed(row, now, self._patience.poll_s)
        counted, certain = domain.not_listed(row, now, self._patience)
        return self._failed(counted, failure, now) if certain else counted

    def _failed(self, row: Provisioning, failure: Failure, now: datetime) -> Provisioning:
        return domain.failed(row, failure, now, self._patience, random.random())  # noqa: S311 - spreads retries

    async def _fail(self, failure: Failure, *, forget_refusals: bool = False) -> Provisioning:
        def decide(row: Provisioning, vm: Vm, now: datetime) -> tuple[Provisioning, Vm]:
            after = self._failed(row, failure, now)
            return (replace(after, refused=frozenset()) if forget_refusals else after), vm

        return await self._apply(decide)

    async def _later(self, failure: Failure | None = None) -> Provisioning:
        wait_s = self._patience.poll_s
        return await self._apply(lambda row, vm, now: (domain.postponed(row, now, wait_s, failure), vm))

    async def _apply(
        self, decide: Decision, beside: Callable[[Tx, Vm, datetime], Awaitable[None]] | None = None
    ) -> Provisioning:
        """Commits what follows from the step: the row, its VM, its events. Raises Conflict when the row has changed."""
        async with self.world.store.tx() as tx:
            vm, row = await tx.vms.lock(self.row.id), await tx.provisionings.get(self.row.id)
            if vm is None or row is None or row.version != self.row.version:
                raise Conflict("PROVISIONING_CHANGED", f"{self.row.name} has changed meanwhile")
            now = await tx.now()
            after, changed = decide(row, vm, now)
            changed, events = rental.follow(changed, row, after, now)
            if changed != vm:
                await tx.vms.save(changed)
                await tx.outbox.append(events)
            if beside is not None:
                await beside(tx, changed, now)
            await tx.provisionings.apply(after, self.token, keep=True)
        if changed != vm:
            await self.world.tell()
        return after

    def _invite(self, secret: str) -> Callable[[Tx, Vm, datetime], Awaitable[None]]:
        async def add(tx: Tx, vm: Vm, now: datetime) -> None:
            token = join_token(self.world, vm, secret, now)
            # A machine of an earlier order that comes late after all must not join in the place of this one.
            for earlier in await tx.credentials.valid(vm.project_id, token.subject, token.kind, now, Page()):
                await tx.credentials.revoke(earlier.id, now)
            await tx.credentials.add(token)

        return add

    async def _call(self, call: Awaitable[T]) -> T:
        async with asyncio.timeout(self._patience.call_timeout_s):
            return await call

    @property
    def _provider(self) -> Provider:
        try:
            return self.world.providers[self.row.provider]
        except KeyError:
            raise Unavailable("PROVIDER_NOT_SET_UP", f"the provider '{self.row.provider}' is not set up here") from None

    @property
    def _patience(self) -> domain.Patience:
        return self.world.policy.renting.patience


def _failure(kind: FailureKind, code: str, error: Exception) -> Failure:
    if isinstance(error, ProviderRefused):
        return error.failure
    return Failure(kind, code, str(error) or "the provider does not answer", Remedy.RETRY)


def _unanswered(error: Exception) -> Failure:
    return _failure(FailureKind.PROVIDER_API, "PROVIDER_AWAY", error)
