"""What operators are told of a VM on its way: the time of the next attempt, never that of the next look at this one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from controlplane.api.mapping.fleet import vm_message
from controlplane.domain.attempt import Failure, Offer
from controlplane.domain.provisioning import Patience, Phase, Provisioning, bought, buying, failed, gone, postponed
from controlplane.domain.retry import FailureKind, Remedy
from controlplane.domain.vm import Vm, VmState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OFFER = Offer("cloud", "eu-west-1", "m", "L4-90", 100)
VM = Vm("v", "default", "cloud", "eu-west-1", "L4-90", VmState.BOOTING, 24, NOW, NOW)
WISH = Provisioning("v", "default", "cloud", "t", Phase.WANTED, ("eu-west-1",), "L4-90", NOW)
LATE = Failure(FailureKind.BOOT, "BOOT_TIMEOUT", "its agent never came", Remedy.RETRY)


def told(row: Provisioning) -> str:
    provisioning = vm_message(VM, row).provisioning
    return provisioning.next_attempt_time.ToJsonString() if provisioning.HasField("next_attempt_time") else ""


def test_the_next_attempt_is_told_from_its_failure_until_it_begins_and_polls_are_not():
    patience = Patience()
    first = bought(buying(WISH, OFFER, NOW), "i-1", "", NOW, patience)
    assert told(postponed(first, NOW, 5)) == ""
    over = failed(first, LATE, NOW, patience, 0)
    assert told(over) == told(gone(over)) == (NOW + timedelta(seconds=10)).isoformat().replace("+00:00", "Z")
    second = postponed(bought(buying(gone(over), OFFER, NOW), "i-2", "", NOW, patience), NOW, 5)
    assert (told(second), vm_message(VM, second).provisioning.error_code) == ("", "BOOT_TIMEOUT")
    last = failed(replace(second, attempt=3), LATE, NOW, patience, 0)
    assert told(last) == ""
