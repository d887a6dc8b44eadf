"""What the documents say of the code is what the code says."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from controlplane import __version__, settings, values
from controlplane.domain.retry import DEFAULT_SCHEDULES

ROOT = Path(__file__).resolve().parents[2]
ROOT_DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "DECISIONS.md", "NOTICE")


@pytest.fixture(scope="module")
def diagrams() -> ModuleType:
    return script("diagrams")


def script(name: str) -> ModuleType:
    """A program of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_diagrams_are_drawn_from_the_tables(diagrams: ModuleType) -> None:
    document = (ROOT / "ARCHITECTURE.md").read_text()
    assert diagrams.drawn(document) == document, "run `python scripts/diagrams.py` and commit ARCHITECTURE.md"


def test_a_diagram_shows_every_transition(diagrams: ModuleType) -> None:
    for machine in diagrams.MACHINES:
        arrows = re.findall(r"^    (\w+) --> (\w+): (.+)$", diagrams.diagram(machine), re.MULTILINE)
        shown = {(source, trigger): target for source, target, told in arrows for trigger in told.split(" / ")}
        assert shown == {(str(s), str(t)): str(target) for (s, t), target in machine.table.items()}


def test_the_page_of_settings_is_made_of_them() -> None:
    document = (ROOT / "docs" / "settings.md").read_text()
    assert script("settings_page").page() == document, (
        "run `python scripts/settings_page.py` and commit docs/settings.md"
    )
    told = re.findall(r"^\| `([A-Z_]+)` \| [^|]+ \| (.*) \|$", document, re.MULTILINE)
    assert [name.lower() for name, what in told if what] == list(settings.FIELDS)


@pytest.mark.parametrize("name", [*ROOT_DOCUMENTS, "docs/deployment.md", "docs/runbook.md"])
def test_the_files_that_a_document_names_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    linked = {target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target}
    quoted = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|proto|txt|js|md|sql))`", text))
    home = (ROOT / name).parent
    missing = [path for path in sorted(linked) if not (home / path).exists()]
    missing += [path for path in sorted(quoted) if not (ROOT / path).exists()]
    assert missing == []


def test_a_release_has_one_version_and_a_heading_of_its_own() -> None:
    assert re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0].rstrip(",") == __version__
    chart = (ROOT / "deploy" / "helm" / "quarterdeck" / "Chart.yaml").read_text()
    assert set(re.findall(r'^(?:version|appVersion): "?([^"\n]+)"?$', chart, re.MULTILINE)) == {__version__}


@pytest.mark.parametrize("program", ["controlplane", "hostagent"])
def test_each_program_tells_which_release_it_is(program: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", program, "--version"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert told.split() == [{"controlplane": "quarterdeck", "hostagent": "quarterdeck-agent"}[program], __version__]


def test_make_help_lists_every_target_that_is_for_people() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split())
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[1] for line in listed.splitlines()} == phony


def test_contributing_is_four_checklists() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert headings == ["Add an RPC", "Add a state", "Add a provider", "Add an event"]


def test_the_retry_schedules_are_told_as_they_are() -> None:
    told = re.findall(
        r"^\| (\w+) \| [^|]+ \| [^|]+ \| (\d+) \| (\S+) s, (\S+) s \| (\S+) (h|min) \|$", renting(), re.MULTILINE
    )
    seconds = {"h": 3600, "min": 60}
    assert {
        (kind, int(n), float(first), float(cap), float(b) * seconds[unit]) for kind, n, first, cap, b, unit in told
    } == {
        (str(kind), each.attempts, each.first_delay_s, each.cap_s, each.budget_s)
        for kind, each in DEFAULT_SCHEDULES.items()
    }


def test_every_setting_and_fault_of_the_provider_local_is_told() -> None:
    told = set(re.findall(r"`QUARTERDECK_(\w+)`", renting()))
    assert {name.upper() for name in settings.FIELDS if name.startswith(("local_vm", "retry_"))} <= told
    assert set(re.findall(r"^\| `([a-z_]+)` \|", renting(), re.MULTILINE)) == set(values.FAULTS)


def renting() -> str:
    return (ROOT / "docs" / "renting.md").read_text()
