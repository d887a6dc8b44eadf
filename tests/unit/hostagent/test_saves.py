"""What an agent finds of saves when it begins: what is to be stored, and what only lies about."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO
from unittest.mock import AsyncMock, Mock

import pytest
from protovalidate import validate
from quarterdeck.v1 import wrapper_pb2

from hostagent import tree
from hostagent.archive import Contents
from hostagent.backoff import full_jitter_s
from hostagent.linkstream import LinkStream
from hostagent.plan import WorkloadKey
from hostagent.reporting import ReportSchedule
from hostagent.saves import Patience, SaveNotRestored, Saves
from hostagent.sessiondir import SessionDir, launch_now
from hostagent.transfer import ArchiveLink


async def test_what_is_kept_is_told_and_the_rest_goes_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, sessions = tmp_path / "unstored", tmp_path / "sessions"
    for name in ("s-kept.1", ".s-gone.1.gone", ".s-never.1", ".s-running.1"):
        (root / name).mkdir(parents=True)
        (root / name / "spec.binpb").write_bytes(wrapper_pb2.SessionSpec(save="saves/x").SerializeToString())
    (sessions / "s-running.1").mkdir(parents=True)
    changes: list[bool] = []
    told, begun, removed = asyncio.Event(), threading.Event(), asyncio.Event()
    loop, remove = asyncio.get_running_loop(), tree.remove

    def remove_in_time(top: Path) -> None:
        gone = top.name.endswith(".gone")
        assert not gone or begun.wait(5)
        remove(top)
        if gone:
            loop.call_soon_threadsafe(removed.set)

    monkeypatch.setattr(tree, "remove", remove_in_time)

    def changed(urgent: bool) -> None:
        changes.append(urgent)
        if any(one.detail for one in saves.unstored()[0]):
            told.set()

    saves = Saves(root, ArchiveLink(lambda: None), changed)
    saves.begin(sessions)
    begun.set()
    try:
        assert [(one.session_id, one.generation, one.detail) for one in saves.unstored()[0]] == [("s-kept", 1, "")]
        await asyncio.wait_for(told.wait(), 10)
        assert [one.detail for one in saves.unstored()[0]] == ["there is no link to the control plane"]
        await asyncio.wait_for(removed.wait(), 10)
    finally:
        await saves.close()
    assert changes[0]
    assert sorted(path.name for path in root.iterdir()) == [".s-running.1", "s-kept.1"]


async def test_what_nobody_foresaw_at_a_delivery_is_told_and_it_is_tried_again(tmp_path: Path) -> None:
    kept, told, gone = tmp_path / "unstored" / "s.1", list[str](), asyncio.Event()
    kept.mkdir(parents=True)
    (kept / "spec.binpb").write_bytes(wrapper_pb2.SessionSpec(save="saves/x").SerializeToString())
    link = Mock(store=AsyncMock(side_effect=[KeyError("as nobody foresaw"), None]))

    def changed(_: bool) -> None:
        unstored, _more = saves.unstored()
        told.extend(one.detail for one in unstored)
        if not unstored:
            gone.set()

    saves = Saves(tmp_path / "unstored", link, changed, Patience(hopeless_s=0))
    saves.begin(tmp_path)
    try:
        await asyncio.wait_for(gone.wait(), 10)
    finally:
        await saves.close()
    assert told == ["", "its agent failed: KeyError"]
    assert not kept.exists()


async def test_files_that_may_not_be_read_are_stored_once_they_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = tmp_path / "unstored" / "s.1", asyncio.Event()
    (kept / "world").mkdir(parents=True)
    (kept / "world" / "level").write_bytes(b"x")
    spec = wrapper_pb2.SessionSpec(save="saves/x")
    spec.deployment.saves.volumes.append("world")
    spec.deployment.saves.max_bytes = 100
    (kept / "spec.binpb").write_bytes(spec.SerializeToString())
    opened, refusals = tree.opened, [PermissionError(13, "Permission denied", "level")]

    def opened_at_last(name: str, folder: int, *how: int) -> int:
        if name == "level" and refusals:
            raise refusals.pop()
        return opened(name, folder, *how)

    async def store(_: object, pack: Callable[[BinaryIO], Contents]) -> None:
        assert pack(io.BytesIO()).files == 1

    monkeypatch.setattr(tree, "opened", opened_at_last)
    link = Mock(store=store, fail=AsyncMock())
    saves = Saves(tmp_path / "unstored", link, lambda _: saves.unstored()[0] or gone.set(), Patience(hopeless_s=0))
    saves.begin(tmp_path)
    try:
        await asyncio.wait_for(gone.wait(), 10)
    finally:
        await saves.close()
    link.fail.assert_not_awaited()


@pytest.mark.parametrize("pid", [0, 1], ids=["failed", "done"])
async def test_only_a_start_that_was_done_leaves_something_to_store(tmp_path: Path, pid: int) -> None:
    root = tmp_path / "unstored"
    directory = SessionDir.of(tmp_path, WorkloadKey("s", 1))
    directory.create()
    directory.record_launch(replace(launch_now(), pid=pid))
    (root / ".s.1").mkdir(parents=True)
    (root / ".s.1" / "spec.binpb").write_bytes(wrapper_pb2.SessionSpec(save="saves/x").SerializeToString())
    saves = Saves(root, ArchiveLink(lambda: None), lambda _: None)
    saves.set_aside(directory)
    await saves.close()
    assert len(saves.unstored()[0]) == pid


async def test_more_saves_than_a_report_holds_cost_no_link_and_no_session_with_a_save_begins(tmp_path: Path) -> None:
    for number in range(501):
        (tmp_path / "unstored" / f"s-{number}.1").mkdir(parents=True)
    saves = Saves(tmp_path / "unstored", ArchiveLink(lambda: None), lambda _: None)
    saves.begin(tmp_path)
    try:
        stream = LinkStream(Mock(), Mock(observed_plan_version=lambda: 0), Mock(report=list), ReportSchedule())
        stream._workloads.around.saves = saves
        report = stream._report(0.0)
        validate(report)
        assert (len(report.unstored_saves), report.unstored_saves_more) == (500, True)
        directory = SessionDir.of(tmp_path, WorkloadKey("next", 1))
        with pytest.raises(SaveNotRestored, match="501 of ended ones are not stored yet"):
            await saves.restore(directory, wrapper_pb2.SessionSpec(save="saves/x"), lambda _: None)
    finally:
        await saves.close()


async def test_a_note_that_a_game_has_made_a_directory_of_is_in_nobodys_way(tmp_path: Path) -> None:
    directory = SessionDir.of(tmp_path, WorkloadKey("game", 1))
    directory.create()
    (directory.path / "reading").mkdir()
    spec = wrapper_pb2.SessionSpec()
    spec.deployment.saves.after_lines.append("save-on")
    link = Mock(type=AsyncMock(return_value=1))
    saves = Saves(tmp_path / "unstored", ArchiveLink(lambda: None), lambda _: None)
    await saves.keep(directory, spec, link, lambda: True)
    link.type.assert_awaited_once_with(["save-on"])


async def test_a_backup_that_cannot_be_stored_now_disturbs_its_game_ever_less_and_without_a_link_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = SessionDir.of(tmp_path, WorkloadKey("game", 1))
    directory.create()
    spec = wrapper_pb2.SessionSpec()
    spec.deployment.saves.before_lines.append("save-off")
    link, pauses = Mock(type=AsyncMock(return_value=1)), list[float]()

    def pause_s(attempt: int, base_s: float, cap_s: float, _: object) -> float:
        pauses.append(full_jitter_s(attempt, base_s, cap_s, lambda low, high: high))
        if len(pauses) == 12:
            raise KeyError("enough")
        return 0.0

    monkeypatch.setattr("hostagent.saves.full_jitter_s", pause_s)
    saves = Saves(tmp_path / "unstored", ArchiveLink(lambda: None), lambda _: None)
    with pytest.raises(KeyError):
        await saves.back_up(directory, spec, link, "b-1")
    link.type.assert_not_awaited()
    assert sorted(pauses) == pauses
    assert (pauses[0], pauses[-1]) == (0.2, 60.0)
