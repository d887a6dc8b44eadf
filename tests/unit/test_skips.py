"""The gate on skipped tests: expected ones pass, others fail by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "skips.py"
REPORT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="test_ran"/>
<testcase classname="tests.contract.test_enc" name="test_frame[nvenc]">
  <skipped type="pytest.skip" message="no NVENC on this machine"/></testcase>
<testcase classname="tests.e2e.test_play" name="test_known_bug"><skipped type="pytest.xfail" message="bug"/></testcase>
{more}</testsuite></testsuites>"""
BROWSER = """<testcase classname="tests.e2e.test_play" name="test_keys">
  <skipped type="pytest.skip" message="no Chromium"/></testcase>"""


def run(tmp_path: Path, more: str) -> int:
    spec = importlib.util.spec_from_file_location("skips", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    skips = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(skips)
    (tmp_path / "report.xml").write_text(REPORT.format(more=more))
    (tmp_path / "expected.txt").write_text("# what this machine lacks\n*[nvenc] | *NVENC*\n*windows* | *\n")
    status: int = skips.main(str(tmp_path / "expected.txt"), str(tmp_path / "report.xml"), str(tmp_path / "report.xml"))
    return status


def test_expected_skips_pass_and_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "") == 0
    printed = capsys.readouterr().out
    assert "expected skip: tests.contract.test_enc::test_frame[nvenc] | no NVENC" in printed
    assert printed.endswith("2 passed, 0 failed, 4 skipped\n"), "the sum over both reports"


def test_any_other_skip_fails_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, BROWSER) == 1
    printed = capsys.readouterr().out
    assert "unexpected skip: tests.e2e.test_play::test_keys | no Chromium" in printed
    assert "test_known_bug" not in printed
