"""Which events other systems see, in which words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from controlplane.domain.events import Event, EventDraft
from controlplane.domain.external import FACTS, WORDS, public_copy
from controlplane.domain.host import HostState
from controlplane.domain.session import FINISHED, SessionState

AT = datetime(2026, 11, 21, 3, 20, 0, 125_000, UTC)


def event(event_type: str, **data: str | int) -> Event:
    return Event("e-1", AT, EventDraft(event_type, "p-1", "hosts/h-1", 7, data))


def test_the_document_is_a_cloud_event_with_allowed_facts_alone():
    subject, document = public_copy(event("quarterdeck.host.lost", state="LOST", epoch=3, secret="x")) or ("", {})
    assert subject == "quarterdeck.ext.p-1.host.offline"
    assert document == {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/projects/p-1",
        "type": "quarterdeck.host.offline",
        "subject": "hosts/h-1",
        "time": "2026-11-21T03:20:00.125Z",
        "datacontenttype": "application/json",
        "subjectversion": 7,
        "data": {"state": "LOST"},
    }


@pytest.mark.parametrize("state", HostState)
def test_every_state_of_a_host_is_told(state):
    assert public_copy(event(f"quarterdeck.host.{state.lower()}"))


def test_a_session_that_ran_is_told_and_so_is_how_it_ended():
    told = {s for s in SessionState if public_copy(event(f"quarterdeck.session.{s.lower()}"))}
    assert told == {SessionState.RUNNING, *FINISHED} - {SessionState.REJECTED}


@pytest.mark.parametrize(
    "event_type", ["quarterdeck.session.unreachable", "quarterdeck.vm.ready", "quarterdeck.host.x"]
)
def test_the_rest_stays_inside(event_type):
    assert public_copy(event(event_type)) is None


def test_the_page_for_other_systems_names_every_type_and_fact():
    page = (Path(__file__).parents[3] / "docs/external-events.md").read_text()
    for word in (*WORDS.values(), *FACTS):
        assert word in page
