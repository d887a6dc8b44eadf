"""What is run once more after a failure: the whole files, each once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "failed_files.py"
REPORT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_skips" name="test_ran"/>
<testcase classname="tests.unit.test_logs" name="test_a[x.y]"><failure message="no"/></testcase>
<testcase classname="tests.unit.test_logs" name="test_b"><error message="no"/></testcase>
<testcase classname="tests.unit.test_settings.TestAll" name="test_c"><failure message="no"/></testcase>
<testcase classname="" name="tests.unit.test_metrics"><error message="collection failure"/></testcase>
</testsuite></testsuites>"""


def test_files_with_failures_are_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("failed_files", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    (tmp_path / "report.xml").write_text(REPORT)
    monkeypatch.chdir(SCRIPT.parents[1])
    assert script.main(str(tmp_path / "report.xml"), str(tmp_path / "report.xml")) == 0
    assert capsys.readouterr().out.split() == [
        f"tests/unit/{name}.py" for name in ("test_logs", "test_metrics", "test_settings")
    ]
