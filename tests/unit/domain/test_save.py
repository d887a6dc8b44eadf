"""Who may write a save, which versions go, and what a host's report frees."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.errors import InvalidRequest, WrongState
from controlplane.domain.host import HostState
from controlplane.domain.save import (
    Holding,
    Save,
    SaveSpec,
    SaveVersion,
    after_report,
    check_free,
    check_saves,
    surplus,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def a_save(session_id: str = "", detail: str = "", current: int = 0, newest: int = 0) -> Save:
    return Save("mine", "p", "g", NOW, NOW, session_id, detail, current, newest)


def a_version(number: int) -> SaveVersion:
    return SaveVersion("mine", "p", number, NOW, "s", 1, f"a{number}", f"k{number}", 1, "", 1, 1)


@pytest.mark.parametrize(
    "holding",
    [
        None,
        Holding("s", finished=True),
        Holding("s", finished=True, host=HostState.LOST),
        Holding("s", finished=True, host=HostState.ONLINE, host_gone=True),
    ],
)
def test_a_save_is_free_when_nobody_will_bring_anything_more(holding: Holding | None) -> None:
    check_free(a_save("s" if holding else ""), holding)


@pytest.mark.parametrize(
    ("holding", "reason", "told"),
    [
        (Holding("s", finished=False), "SAVE_IN_USE", "sessions/s plays with saves/mine"),
        (Holding("s", finished=False, host=HostState.LOST), "SAVE_IN_USE", "stop it first"),
        (Holding("s", finished=True, host=HostState.ONLINE), "SAVE_NOT_STORED", "the store is away"),
        (Holding("s", finished=True, host=HostState.STALE), "SAVE_NOT_STORED", "release"),
        (Holding("s", finished=True, host=HostState.OFFLINE), "SAVE_NOT_STORED", "release"),
    ],
)
def test_a_held_save_is_refused_with_who_and_why(holding: Holding, reason: str, told: str) -> None:
    with pytest.raises(WrongState, match=told) as refused:
        check_free(a_save("s", "the store is away"), holding)
    assert (refused.value.reason, refused.value.field) == (reason, "save_id")


def test_only_the_session_that_holds_it_moves_what_is_current() -> None:
    mine, number = a_save("s", current=3, newest=5).stored("s", NOW)
    assert (number, mine.current, mine.newest, mine.version) == (6, 6, 6, 2)
    late, number = a_save("another", current=3, newest=5).stored("s", NOW)
    assert (number, late.current, late.newest) == (6, 3, 6)
    assert late.session_id == "another"


@given(st.sets(st.integers(1, 50)), st.integers(0, 50), st.integers(0, 60))
def test_the_newest_and_the_current_are_kept(numbers: set[int], current: int, keep: int) -> None:
    gone = {version.number for version in surplus([a_version(n) for n in numbers], current, keep)}
    kept = numbers - gone
    assert current not in gone
    assert set(sorted(numbers)[-max(1, keep) :]) <= kept
    assert len(kept) <= max(1, keep) + 1


def test_a_report_frees_what_its_host_no_longer_has_and_tells_why_the_rest_is_not_stored() -> None:
    playing, waiting, gone, done = (a_save(name) for name in ("playing", "waiting", "gone", "done"))
    other = a_save("other", detail="old news")
    held = [(playing, False, 1), (waiting, True, 1), (gone, True, 1), (done, True, 1), (other, True, 2)]
    changed = after_report(held, {"playing": 1, "done": 1}, {"waiting": (1, "no link"), "other": (1, "")}, NOW)
    assert [(save.session_id, save.detail, save.version) for save in changed] == [
        ("waiting", "no link", 2),
        ("", "", 2),
        ("", "", 2),
    ]
    assert not after_report([(changed[0], True, 1)], {}, {"waiting": (1, "no link")}, NOW)


def test_a_host_that_has_more_than_it_can_tell_frees_nothing() -> None:
    told, left_out = a_save("told"), a_save("left-out")
    changed = after_report([(told, True, 1), (left_out, True, 1)], {}, {"told": (1, "no link")}, NOW, more=True)
    assert [(save.session_id, save.detail) for save in changed] == [("told", "no link")]


def test_a_deployment_saves_only_what_it_has() -> None:
    check_saves(None, ())
    check_saves(SaveSpec(("a", "b")), ("b", "a", "c"))
    with pytest.raises(InvalidRequest, match="no volume 'z'"):
        check_saves(SaveSpec(("a", "z")), ("a",))
