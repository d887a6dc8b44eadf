"""The systemd units, read by systemd itself: nothing is wrong in them, nothing is exposed without need."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane import settings
from tests.docker_engine import REPOSITORY

UNITS = REPOSITORY / "deploy" / "systemd"
# As `systemd-analyze security` weighs it, in tenths: 0 exposes nothing, 100 everything. Games need devices and memory
# that is written and run, which the agent's unit therefore leaves them.
MOST_EXPOSED = {"quarterdeck-agent": 50, "quarterdeck@api": 15, "quarterdeck-migrate": 25, "quarterdeck-nats": 15}


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as if this environment were the installed one."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    home = tmp_path_factory.mktemp("units")
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/quarterdeck/.venv/bin", str(Path(sys.executable).parent))
        (home / unit.name.replace("@.", "@api.")).write_text(text)
        (home / unit.name).write_text(text)
    return home


@pytest.mark.parametrize("unit", MOST_EXPOSED)
def test_systemd_finds_nothing_wrong_and_little_exposed(units: Path, unit: str) -> None:
    verified = analyze("verify", str(units / f"{unit}.service"))
    assert (verified.returncode, verified.stderr) == (0, "")
    weighed = analyze(
        "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED[unit]}", str(units / f"{unit}.service")
    )
    assert weighed.returncode == 0, weighed.stdout


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=60)


def test_sessions_outlive_their_agent() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNITS / "quarterdeck-agent.service")
    assert (unit["Service"]["KillMode"], unit["Service"]["OOMPolicy"]) == ("process", "continue")
    assert "stop-sessions" not in unit["Service"]["ExecStart"]


def test_units_name_settings_that_there_are() -> None:
    text = "".join(unit.read_text() for unit in UNITS.iterdir())
    named = {name.lower() for name in re.findall(r"\bQUARTERDECK_(?!AGENT_)([A-Z_]+)=", text)}
    assert named
    assert {
        name.removesuffix("_file") if name not in settings.FIELDS else name for name in named
    } <= settings.FIELDS.keys()
