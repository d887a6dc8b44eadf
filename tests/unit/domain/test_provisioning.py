"""Provisioning against a malicious provider: lost replies, lagging lists, crashes between any two steps (I10, I16).

The worker below is the use case in miniature: it commits the row, calls, and may die before it commits the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.attempt import Failure as ProvisioningFailure
from controlplane.domain.attempt import Offer, Outcome
from controlplane.domain.provisioning import (
    PROVISIONING_MACHINE,
    Patience,
    Phase,
    Provisioning,
    Step,
    bought,
    buying,
    failed,
    gone,
    joined,
    next_step,
    not_listed,
    released,
    running,
)
from controlplane.domain.retry import FailureKind, Remedy, Schedule

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE = Patience(listing_lag_s=30, poll_s=10)
OFFER = Offer("local", "local", "small", "local", 100_000)
ROW = Provisioning("v", "p", "local", "quarterdeck-x-v", Phase.WANTED, ("local",), "local", NOW)


@dataclass
class Provider:
    """Machines by id with their tag and birth; a listing does not show what is younger than `lag_s`."""

    lag_s: float
    machines: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    made: int = 0

    def create(self, tag: str, now: datetime) -> str:
        self.made += 1
        self.machines[f"i{self.made}"] = (tag, now)
        return f"i{self.made}"

    def find(self, tag: str, now: datetime) -> str | None:
        lag = timedelta(seconds=self.lag_s)
        return next((i for i, (t, born) in self.machines.items() if t == tag and now - born >= lag), None)


def work(row: Provisioning, provider: Provider, now: datetime, outcome: str, crash: bool) -> Provisioning:
    """One step of one worker; `crash` loses everything after the last commit."""
    step = next_step(row, now)
    if step is Step.CHOOSE_AND_BUY:
        row = buying(row, OFFER, now)  # committed: a crash from here on resumes in BUYING
        if outcome == "refused":
            refusal = ProvisioningFailure(FailureKind.PROVISIONING, "NO_STOCK", "sold out", Remedy.RETRY)
            return row if crash else failed(row, refusal, now, PATIENCE, 0.5)
        if outcome == "timeout_not_done":
            return row
        instance = provider.create(row.tag, now)
        lost = crash or outcome == "timeout_done"
        return row if lost else bought(row, instance, "127.0.0.1", now, PATIENCE)
    if step is Step.FIND:
        found = provider.find(row.tag, now)
        if found:
            return row if crash else bought(row, found, "127.0.0.1", now, PATIENCE)
        counted, certain = not_listed(row, now, PATIENCE)
        lost_call = ProvisioningFailure(FailureKind.PROVIDER_API, "NO_REPLY", "never arrived", Remedy.RETRY)
        return row if crash else failed(counted, lost_call, now, PATIENCE, 0.5) if certain else counted
    if crash:
        if step is Step.DESTROY:
            provider.machines.pop(row.instance_id, None)
        return row
    if step is Step.POLL:
        alive = row.instance_id in provider.machines
        return running(row, "", now, PATIENCE) if alive else gone(row)
    if step is Step.AWAIT_AGENT:
        return joined(row, now) if outcome == "ok" else row
    if step is Step.GIVE_UP_ON_MACHINE:
        slow = ProvisioningFailure(FailureKind.BOOT, "BOOT_TIMEOUT", "its agent never came", Remedy.RETRY)
        return failed(row, slow, now, PATIENCE, 0.5)
    if step is Step.DESTROY:
        # By id when known; a release out of BUYING has only the tag.
        instance = row.instance_id or provider.find(row.tag, now)
        if instance is None and row.buying_since and now - row.buying_since < timedelta(seconds=PATIENCE.listing_lag_s):
            return row
        provider.machines.pop(instance or "", None)
        return gone(row)
    return row


outcomes = st.sampled_from(["ok", "ok", "refused", "timeout_done", "timeout_not_done", "slow"])


@settings(max_examples=200)
@given(
    script=st.lists(st.tuples(outcomes, st.booleans()), max_size=40),
    lag_s=st.sampled_from([0.0, 5.0, 29.0]),
    release_at=st.none() | st.integers(0, 40),
)
def test_whatever_fails_no_machine_is_doubled_or_left_behind(script, lag_s, release_at):
    provider, row, now = Provider(lag_s), ROW, NOW
    for number in range(400):
        outcome, crash = script[number] if number < len(script) else ("ok", False)
        if number == release_at and row.phase not in (Phase.RELEASED, Phase.RELEASING):
            row = released(row, now)
        row = work(row, provider, now, outcome, crash)
        assert len(provider.machines) <= 1, "rented twice"
        if row.phase in (Phase.HELD, Phase.RELEASED) and number >= max(len(script), release_at or 0):
            break
        now += timedelta(seconds=20)
    assert row.phase in (Phase.HELD, Phase.RELEASED)
    assert len(provider.machines) == (1 if row.phase is Phase.HELD else 0), "left behind"
    if row.phase is Phase.HELD:
        assert row.instance_id in provider.machines


def test_a_machine_that_may_exist_is_looked_for_before_it_is_bought_again():
    row = buying(ROW, OFFER, NOW)
    assert next_step(row, NOW) is Step.FIND
    row, certain = not_listed(row, NOW, PATIENCE)
    assert (certain, next_step(row, NOW)) == (False, Step.WAIT)
    row, certain = not_listed(row, NOW + timedelta(seconds=10), PATIENCE)
    assert not certain, "two listings within the lag prove nothing"
    row, certain = not_listed(row, NOW + timedelta(seconds=31), PATIENCE)
    assert not certain, "the order may have been under way until a moment ago"
    _, certain = not_listed(row, NOW + timedelta(seconds=56), PATIENCE)
    assert certain
    known = bought(buying(ROW, OFFER, NOW), "i-1", "", NOW, PATIENCE)
    known, certain = not_listed(known, NOW + timedelta(seconds=21), PATIENCE)
    assert not certain
    _, certain = not_listed(known, NOW + timedelta(seconds=31), PATIENCE)
    assert certain


def test_an_offer_that_was_refused_for_good_is_not_tried_again():
    sold_out = ProvisioningFailure(FailureKind.PROVISIONING, "NO_STOCK", "sold out", Remedy.ANOTHER_OFFER)
    row = failed(buying(ROW, OFFER, NOW), sold_out, NOW, PATIENCE, 0)
    assert (row.phase, row.refused, row.attempt) == (Phase.WANTED, frozenset({OFFER.key}), 2)
    assert row.next_attempt_at == NOW + timedelta(seconds=5)


def test_some_errors_are_not_worth_a_second_try():
    denied = ProvisioningFailure(FailureKind.PROVIDER_API, "FORBIDDEN", "bad key", Remedy.GIVE_UP)
    row = failed(buying(ROW, OFFER, NOW), denied, NOW, PATIENCE, 0)
    assert (row.phase, row.release_for_good, row.failure) == (Phase.RELEASED, True, denied)


def test_what_the_house_wished_for_by_itself_is_given_up_at_once_and_comes_back_by_the_schedule_however_often():
    sold_out = ProvisioningFailure(FailureKind.PROVISIONING, "SOLD_OUT", "none left", Remedy.ANOTHER_OFFER)
    for attempt, wait_s in ((1, 5), (2, 10), (6, 160), (50, 300)):
        row = failed(buying(replace(ROW, mandate=OFFER, attempt=attempt), OFFER, NOW), sold_out, NOW, PATIENCE, 0)
        assert (row.phase, row.release_for_good, row.failure) == (Phase.RELEASED, True, sold_out)
        assert row.last is not None
        assert row.last.next_attempt_at == NOW + timedelta(seconds=wait_s)
    booted = running(
        bought(buying(replace(ROW, mandate=OFFER), OFFER, NOW), "i1", "", NOW, PATIENCE), "", NOW, PATIENCE
    )
    late = ProvisioningFailure(FailureKind.BOOT, "BOOT_TIMEOUT", "its agent never came", Remedy.RETRY)
    given_up = failed(booted, late, NOW, PATIENCE, 0)
    assert (given_up.phase, given_up.release_for_good, next_step(given_up, NOW)) == (
        Phase.RELEASING,
        True,
        Step.DESTROY,
    )


def test_a_failed_machine_is_destroyed_at_once_and_only_the_next_attempt_waits():
    late = ProvisioningFailure(FailureKind.BOOT, "BOOT_TIMEOUT", "its agent never came", Remedy.RETRY)
    row = failed(
        running(bought(buying(ROW, OFFER, NOW), "i1", "", NOW, PATIENCE), "", NOW, PATIENCE), late, NOW, PATIENCE, 0
    )
    assert next_step(row, NOW) is Step.DESTROY
    again = gone(row)
    assert (again.phase, next_step(again, NOW)) == (Phase.WANTED, Step.WAIT)
    assert next_step(again, NOW + timedelta(seconds=10)) is Step.CHOOSE_AND_BUY


@pytest.mark.parametrize("phase", [p for p in Phase if p not in (Phase.RELEASED, Phase.RELEASING)])
def test_every_phase_can_be_released(phase):
    assert (phase, "release") in PROVISIONING_MACHINE.table


schedules = st.builds(
    Schedule,
    attempts=st.integers(1, 6),
    first_delay_s=st.floats(0, 100),
    multiplier=st.floats(1, 3),
    cap_s=st.floats(0, 300),
    jitter=st.floats(0, 1),
    budget_s=st.floats(0, 2000),
)
remedies = st.sampled_from([Remedy.RETRY, Remedy.RETRY, Remedy.ANOTHER_OFFER, Remedy.GIVE_UP])


@given(
    each=st.fixed_dictionaries(dict.fromkeys(FailureKind, schedules)),
    script=st.lists(st.tuples(st.sampled_from(list(FailureKind)), remedies, st.booleans()), min_size=8, max_size=8),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_retries_are_as_many_as_their_schedules_allow_and_every_one_is_told(each, script, chance):
    patience, row, now = Patience(schedules=each), ROW, NOW
    for number, (kind, remedy, had_offer) in enumerate(script, 1):
        offer = replace(OFFER, machine_type=f"kind-{number}")
        row = buying(row, offer, now) if had_offer else row
        spent_s, schedule = (now - NOW).total_seconds(), each[kind]
        row = failed(row, ProvisioningFailure(kind, "WHY", "for a reason", remedy), now, patience, chance)
        wait_s = None if remedy is Remedy.GIVE_UP else schedule.another(number, spent_s, chance)
        assert row.last is not None
        assert (row.last.number, row.last.outcome, row.last.ended_at) == (number, Outcome.FAILED, now)
        assert row.last.offer == (offer if had_offer else None)
        if wait_s is None:
            assert (row.release_for_good, row.last.next_attempt_at) == (True, None)
            assert row.phase is Phase.RELEASED
            return
        assert number < schedule.attempts
        assert spent_s + wait_s <= schedule.budget_s
        assert row.last.next_attempt_at == row.next_attempt_at == now + timedelta(seconds=wait_s)
        assert (row.phase, row.attempt) == (Phase.WANTED, number + 1)
        assert (offer.key in row.refused) == (had_offer and remedy is Remedy.ANOTHER_OFFER)
        now = row.next_attempt_at
