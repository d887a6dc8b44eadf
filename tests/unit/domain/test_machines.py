"""One parametrised test for all state machines: the tables are total over their words, final states absorb (I6)."""

from __future__ import annotations

import pytest

from controlplane.commands import machines
from controlplane.domain.backup import BACKUP_MACHINE
from controlplane.domain.errors import WrongState
from controlplane.domain.host import HOST_MACHINE
from controlplane.domain.provisioning import PROVISIONING_MACHINE
from controlplane.domain.session import SESSION_MACHINE
from controlplane.domain.succession import REPLACEMENT_MACHINE
from controlplane.domain.vm import VM_MACHINE, VmState, VmTrigger

MACHINES = [
    VM_MACHINE,
    HOST_MACHINE,
    SESSION_MACHINE,
    PROVISIONING_MACHINE,
    REPLACEMENT_MACHINE,
    BACKUP_MACHINE,
]
words = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)


@words
def test_final_states_absorb(machine):
    assert [entry for entry in machine.table if entry[0] in machine.final] == []


@words
def test_every_state_is_reachable(machine):
    reached = set(machine.initial)
    while grown := {to for (state, _), to in machine.table.items() if state in reached} - reached:
        reached |= grown
    states = type(next(iter(machine.initial)))
    assert reached == set(states)


@words
def test_every_trigger_does_something(machine):
    triggers = type(next(iter(machine.table))[1])
    assert {trigger for _, trigger in machine.table} == set(triggers)


@pytest.mark.parametrize("machine", [m for m in MACHINES if m.final], ids=lambda machine: machine.name)
def test_every_state_can_end(machine):
    ends = set(machine.final)
    while grown := {s for (s, _), to in machine.table.items() if to in ends} - ends:
        ends |= grown
    assert ends == set(type(next(iter(machine.initial))))


@words
def test_what_the_table_lacks_is_refused(machine):
    states, triggers = type(next(iter(machine.initial))), type(next(iter(machine.table))[1])
    for state in states:
        for trigger in triggers:
            if machine.allows(state, trigger):
                assert machine.next(state, trigger) is machine.table[state, trigger]
            else:
                with pytest.raises(WrongState, match=str(state)):
                    machine.next(state, trigger)


def test_a_refusal_names_what_a_caller_may_do_in_the_callers_words():
    verbs = {command.name for command in machines.app.registered_commands}
    told = {}
    for state in VmState:
        for trigger in VmTrigger:
            if not VM_MACHINE.allows(state, trigger):
                with pytest.raises(WrongState) as refusal:
                    VM_MACHINE.next(state, trigger)
                told[state] = refusal.value.message.partition("only: ")[2].split(", ")
    assert told[VmState.ERROR] == ["ready", "terminate"]
    assert told[VmState.TERMINATED] == ["nothing"]
    assert {word for words in told.values() for word in words} <= verbs | {"nothing"}
