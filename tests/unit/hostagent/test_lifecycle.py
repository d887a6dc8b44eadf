"""The workload's table."""

from __future__ import annotations

import itertools

import pytest

from hostagent.lifecycle import TRANSITIONS, Phase, Trigger, after

ORDER = list(Phase)


@pytest.mark.parametrize(("phase", "trigger"), list(itertools.product(Phase, Trigger)))
def test_a_transition_is_in_the_table_or_changes_nothing(phase: Phase, trigger: Trigger) -> None:
    assert after(phase, trigger) is TRANSITIONS.get((phase, trigger), phase)


def test_no_transition_leads_back_and_exited_absorbs() -> None:
    assert all(ORDER.index(there) > ORDER.index(here) for (here, _), there in TRANSITIONS.items())
    assert all(after(Phase.EXITED, trigger) is Phase.EXITED for trigger in Trigger)


def test_every_phase_can_end() -> None:
    assert all(after(phase, Trigger.ENDED) is Phase.EXITED for phase in Phase)
