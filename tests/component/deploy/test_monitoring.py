"""Dashboards and alerts rest on figures that there are, by name and label; Prometheus reads and tries them itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.domain.host import HostState
from controlplane.domain.session import SessionState
from controlplane.domain.vm import VmState
from tests.docker_engine import REPOSITORY
from tests.unit.test_metrics import documented

DEPLOY = REPOSITORY / "deploy"
RULES = DEPLOY / "alerts" / "quarterdeck.yaml"
TRIED = Path(__file__).with_name("alerts_test.yaml")
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
SCRAPING = {"job", "instance", "role"}  # labels that deploy/prometheus.yml puts on everything
SERIES = re.compile(r"\b(?P<name>quarterdeck_\w+|up)\b(?:\{(?P<selector>[^}]*)\})?")
SELECTED = re.compile(r"(\w+)\s*(?:=~|!=|=)\s*\"([^\"]*)\"")
STATES = {str(state) for machine in (HostState, SessionState, VmState) for state in machine}


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in DASHBOARDS:
        yield from ((file.name, panel) for panel in json.loads(file.read_text())["panels"])


def expressions() -> Iterator[tuple[str, str, str]]:
    """(where, PromQL, what its words show of it)."""
    for rule in alerts():
        yield rule["alert"], rule["expr"], " ".join(rule["annotations"].values())
    for name, panel in panels():
        for target in panel["targets"]:
            yield f"{name}: {panel['title']}", target["expr"], target["legendFormat"]


EXPRESSIONS = tuple(expressions())


@cache
def figure(name: str) -> tuple[str, frozenset[str]]:
    """(type, labels) of a series as docs/metrics.md has them. Raises KeyError where there is none of that name."""
    told = documented()
    for suffix, kind in (
        ("_total", "counter"),
        ("_bucket", "histogram"),
        ("_count", "histogram"),
        ("_sum", "histogram"),
    ):
        base = name.removesuffix(suffix)
        if base != name and told.get(base, ("",))[0] == kind:
            return kind, told[base][1] | ({"le"} if suffix == "_bucket" else set())
    kind, labels = told[name]
    assert kind == "gauge", f"{name} is a {kind}, which appears with a suffix"
    return kind, labels


@pytest.mark.parametrize("where", sorted({where for where, _, _ in EXPRESSIONS}))
def test_every_series_and_label_is_one_of_the_document(where: str) -> None:
    for _, expr, shown in (found for found in EXPRESSIONS if found[0] == where):
        check_labels(where, expr, shown)


def check_labels(where: str, expr: str, shown: str) -> None:
    labels: set[str] = set()
    assert SERIES.search(expr), where
    for series in SERIES.finditer(expr):
        own = SCRAPING if series["name"] == "up" else figure(series["name"])[1]
        for label, value in SELECTED.findall(series["selector"] or ""):
            assert label in own, (where, series["name"], label)
            assert label != "state" or set(value.split("|")) <= STATES, (where, value)
        labels |= own
    grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", expr) for label in by.split(",")}
    assert grouped <= labels, where
    assert set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", shown)) <= (grouped or labels) | SCRAPING, where


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed")
    return found


def run(promtool: str, directory: Path, *words: str) -> str:
    ran = subprocess.run([promtool, *words], cwd=directory, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_each_alert_fires_when_it_should_and_keeps_quiet_otherwise(promtool: str, tmp_path: Path) -> None:
    for file in (RULES, TRIED):
        shutil.copy(file, tmp_path)
    assert "SUCCESS" in run(promtool, tmp_path, "test", "rules", TRIED.name)
    tried = [check for case in yaml.safe_load(TRIED.read_text())["tests"] for check in case["alert_rule_test"]]
    names = {rule["alert"] for rule in alerts()}
    assert {check["alertname"] for check in tried if check["exp_alerts"]} == names
    assert {check["alertname"] for check in tried if not check["exp_alerts"]} == names


def test_prometheus_reads_what_dashboards_ask(promtool: str, tmp_path: Path) -> None:
    asked = [expr.replace("$__rate_interval", "5m").replace("$region", ".*") for _, expr, _ in EXPRESSIONS]
    rules = [{"record": f"asked:{number}", "expr": expr} for number, expr in enumerate(asked)]
    (tmp_path / "asked.yaml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    assert f"{len(asked)} rules found" in run(promtool, tmp_path, "check", "rules", "asked.yaml")


def test_prometheus_reads_its_configurations(promtool: str, tmp_path: Path) -> None:
    run(promtool, DEPLOY, "check", "config", "prometheus.yml")
    # Debian's Prometheus is built without Kubernetes: everything but the finding of pods is read.
    scraping = yaml.safe_load((DEPLOY / "prometheus-kubernetes.yml").read_text())
    (job,) = scraping["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(scraping))
    run(promtool, tmp_path, "check", "config", "prometheus.yml")


def test_every_alert_leads_to_a_chapter_of_the_runbook() -> None:
    text = (REPOSITORY / "docs" / "runbook.md").read_text()
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    for rule in alerts():
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (file, anchor in anchors) == ("docs/runbook.md", True), rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_is_whole(file: Path) -> None:
    board = json.loads(file.read_text())
    assert board["uid"] == file.stem
    assert "id" not in board
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    named = set(re.findall(r"\$(?!__)\{?(\w+)", json.dumps(board["panels"])))
    assert named <= {variable["name"] for variable in board["templating"]["list"]}
