"""A wrapper begins only with a start that its agent has on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from wrapper.directory import LAUNCH, DirectoryError, SessionDirectory


@pytest.mark.parametrize("record", [None, "", '{"pid": 0}', '{"boot_id": "b"}', "[]"])
async def test_a_start_without_its_process_on_record_is_none(tmp_path: Path, record: str | None) -> None:
    if record is not None:
        (tmp_path / LAUNCH).write_text(record)
    with pytest.raises(DirectoryError, match="nobody has recorded"):
        await SessionDirectory(tmp_path).launched(within_s=0)


async def test_a_start_with_its_process_on_record_begins(tmp_path: Path) -> None:
    directory = SessionDirectory(tmp_path)
    (tmp_path / LAUNCH).write_text('{"pid": 7}')
    await directory.launched(within_s=0)
    assert not (tmp_path / "status.binpb").exists()
