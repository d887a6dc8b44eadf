"""The Helm chart, rendered by Helm's own library for each of its environments and held against Kubernetes' schemas."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from controlplane import settings
from controlplane.adapters.ca import FileCertificateAuthority, stream_token_key
from tests.component.deploy.test_compose_file import client_seen
from tests.docker_engine import REPOSITORY

CHART = REPOSITORY / "deploy" / "helm" / "quarterdeck"
ENVIRONMENTS = ("dev", "staging", "prod")
INFO = 1
OLDEST, NEWEST = "1.25.0", kubernetes_validate.latest_version()
GIVEN = {"secrets": {"existing": "quarterdeck"}}
Manifest = dict[str, Any]


def values(environment: str) -> dict[str, Any]:
    given: dict[str, Any] = yaml.safe_load((CHART / f"values-{environment}.yaml").read_text())
    return given | GIVEN


@cache
def rendered(environment: str) -> tuple[Manifest, ...]:
    return tuple(render(values(environment)))


def render(given: dict[str, Any]) -> list[Manifest]:
    with helm.Chart.load(str(CHART)) as chart:
        files = chart.render(given, name="qd", namespace="games", is_install=True)
    return [document for text in files.values() for document in yaml.safe_load_all(text) if document]


def of_kind(environment: str, *kinds: str) -> Iterator[Manifest]:
    return (manifest for manifest in rendered(environment) if manifest["kind"] in kinds)


def pods(environment: str) -> Iterator[tuple[str, Manifest]]:
    """(component, template) of all that runs."""
    for manifest in of_kind(environment, "Deployment", "StatefulSet", "Job"):
        template = manifest["spec"]["template"]
        yield template["metadata"]["labels"]["app.kubernetes.io/component"], template


def containers(template: Manifest) -> list[Manifest]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def matches(selector: dict[str, Any], template: Manifest) -> bool:
    return selector.items() <= template["metadata"]["labels"].items()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_helm_finds_nothing_and_every_manifest_is_of_its_schema(environment: str) -> None:
    found = helm.lint(str(CHART), values(environment), strict=True)
    assert [message for message in found["messages"] if message["severity"] > INFO] == []
    for manifest in rendered(environment):
        for version in (OLDEST, NEWEST):
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_pod_is_nobody_and_writes_nowhere_and_has_its_limit(environment: str) -> None:
    for component, template in pods(environment):
        security = template["spec"]["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001), component
        assert template["spec"]["automountServiceAccountToken"] is False
        for container in containers(template):
            confined = container["securityContext"]
            assert confined["readOnlyRootFilesystem"]
            assert confined["capabilities"] == {"drop": ["ALL"]}
            assert not confined["allowPrivilegeEscalation"]
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_role_takes_its_settings(environment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of each container is what the control plane itself reads."""
    maps = {m["metadata"]["name"]: m["data"] for m in of_kind(environment, "ConfigMap")}
    (secret := tmp_path / "secret").write_text("postgresql+psycopg://quarterdeck@db/quarterdeck\n")
    seen = {}
    for component, template in pods(environment):
        for container in containers(template):
            if component in ("nats", "postgres"):
                continue
            given = [maps[source["configMapRef"]["name"]] for source in container.get("envFrom", [])]
            given += [{entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}]
            with monkeypatch.context() as patched:
                for name in settings.FIELDS:
                    patched.delenv(f"QUARTERDECK_{name.upper()}", raising=False)
                for name, value in ((name, value) for part in given for name, value in part.items()):
                    patched.setenv(name, str(secret) if name.endswith("_URL_FILE") else str(value))
                    known = name.removeprefix("QUARTERDECK_").lower()
                    assert known in settings.FIELDS or known.removesuffix("_file") in settings.FIELDS or "IPS" in name
                seen[container["name"]] = settings.load()
    assert seen.keys() == {"api", "gateway", "processor", "migrate", "operator"}
    assert seen["gateway"].target == seen["api"].own_target
    assert {seen[role].database_url for role in ("api", "processor", "migrate", "operator")} == {
        secret.read_text().strip()
    }
    assert seen["api"].advertised_host == values(environment)["agents"]["host"]
    assert not seen["gateway"].uses_sqlite or "database" not in maps["qd-settings"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_selects_finds_and_what_names_exists(environment: str) -> None:
    templates = [template for _, template in pods(environment)]
    for manifest in of_kind(environment, "Service", "PodDisruptionBudget"):
        selector = manifest["spec"]["selector"]
        chosen = [t for t in templates if matches(selector.get("matchLabels", selector), t)]
        assert len(chosen) == 1, manifest["metadata"]["name"]
        named = {port["name"] for container in containers(chosen[0]) for port in container.get("ports", [])}
        for port in manifest["spec"].get("ports", []):
            assert port.get("targetPort", port["name"]) in named
    for template in templates:
        for container in containers(template):
            named = {port["name"] for port in container.get("ports", [])}
            probes = [
                container[kind] for kind in ("startupProbe", "readinessProbe", "livenessProbe") if kind in container
            ]
            assert {probe["httpGet"]["port"] for probe in probes if "httpGet" in probe} <= named
    deployments = {manifest["metadata"]["name"] for manifest in of_kind(environment, "Deployment")}
    scaled = {m["spec"]["scaleTargetRef"]["name"] for m in of_kind(environment, "HorizontalPodAutoscaler")}
    assert scaled == ({"dev": set(), "staging": {"qd"}, "prod": deployments}[environment])
    for manifest in of_kind(environment, "Deployment"):
        assert ("replicas" in manifest["spec"]) == (manifest["metadata"]["name"] not in scaled)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_bus_and_database_are_reached_by_who_must_alone(environment: str) -> None:
    templates = list(pods(environment))
    policies = list(of_kind(environment, "NetworkPolicy"))
    everybody = next(p for p in policies if p["metadata"]["name"] == "qd")
    assert all(matches(everybody["spec"]["podSelector"]["matchLabels"], template) for _, template in templates)
    assert not everybody["spec"].keys() & {"ingress", "egress"}

    def may_call(target: str, port: int) -> set[str]:
        reached = next(t for component, t in templates if component == target)
        rules = [r for p in policies if matches(p["spec"]["podSelector"]["matchLabels"], reached)
                 for r in p["spec"].get("ingress", []) if port in [entry["port"] for entry in r["ports"]]]  # fmt: skip
        selectors = [source["podSelector"]["matchLabels"] for rule in rules for source in rule["from"]]
        admitted = {c for c, t in templates if any(matches(selector, t) for selector in selectors)}
        return {c for c in admitted if goes_out(c, target, port)}

    def goes_out(source: str, target: str, port: int) -> bool:
        leaving = next(t for component, t in templates if component == source)
        reached = next(t for component, t in templates if component == target)
        rules = [r for p in policies if matches(p["spec"]["podSelector"]["matchLabels"], leaving)
                 for r in p["spec"].get("egress", []) if port in [entry["port"] for entry in r["ports"]]]  # fmt: skip
        return any(
            matches(to["podSelector"]["matchLabels"], reached) for r in rules for to in r["to"] if "podSelector" in to
        )

    assert may_call("nats", 4222) == {"front", "processor"}
    if environment == "dev":
        assert may_call("postgres", 5432) == {"front", "processor", "migrate"}


def test_the_database_is_migrated_before_new_pods_and_the_secrets_are_there_before() -> None:
    job = next(of_kind("prod", "Job"))
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]
    with_postgres = next(of_kind("dev", "Job"))
    assert with_postgres["metadata"]["annotations"]["helm.sh/hook"] == "post-install,pre-upgrade"
    made = render(values("prod") | {"secrets": {"values": dict.fromkeys(KEYS, "x")}})
    secret = next(manifest for manifest in made if manifest["kind"] == "Secret")
    weights = [int(m["metadata"]["annotations"]["helm.sh/hook-weight"]) for m in (secret, job)]
    assert weights == sorted(weights)
    used = {v["secret"]["secretName"] for v in job["spec"]["template"]["spec"]["volumes"] if "secret" in v}
    assert (used, secret["metadata"]["name"]) == ({"quarterdeck"}, "qd-secrets")


KEYS = ("database-url", "nats-token", "nats-auth.conf", "operator-token")


def test_the_keys_of_the_secrets_are_files_that_the_tools_make(tmp_path: Path) -> None:
    subprocess.run([REPOSITORY / "deploy" / "secrets.sh", tmp_path / "made"], check=True, capture_output=True)
    FileCertificateAuthority(tmp_path / "keys", 60)
    stream_token_key(tmp_path / "keys")
    made = {file.name for file in (tmp_path / "made").iterdir()}
    wanted = set()
    for _, template in pods("dev"):
        for volume in template["spec"]["volumes"]:
            parts = [volume, *volume.get("projected", {}).get("sources", [])]
            wanted |= {item["key"] for part in parts for item in part.get("secret", {}).get("items", [])}
    assert wanted == made
    assert set(KEYS) <= made
    assert {"ca.key", "ca.crt", "stream-token.key"} <= {file.name for file in (tmp_path / "keys").iterdir()}


def test_the_broker_has_the_configuration_that_compose_gives_it() -> None:
    shown = next(m for m in of_kind("prod", "ConfigMap") if m["metadata"]["name"] == "qd-nats")
    assert shown["data"]["nats.conf"].strip() == (REPOSITORY / "deploy" / "nats.conf").read_text().strip()


def test_what_an_operator_adds_may_be_reached_by_roles_and_not_by_migrations() -> None:
    collector = {"to": [{"ipBlock": {"cidr": "10.9.0.0/24"}}], "ports": [{"protocol": "TCP", "port": 4317}]}
    given = values("prod")
    given["networkPolicy"] = given["networkPolicy"] | {"egress": [collector]}
    rules = {
        manifest["metadata"]["name"]: manifest["spec"]["egress"]
        for manifest in render(given)
        if manifest["kind"] == "NetworkPolicy" and "egress" in manifest["spec"]
    }
    assert {name for name, egress in rules.items() if collector in egress} == {"qd-from-front", "qd-from-processor"}


async def test_no_client_says_himself_where_he_comes_from() -> None:
    front = next(template for component, template in pods("prod") if component == "front")
    (gateway,) = (each for each in containers(front) if each["name"] == "gateway")
    (proxies,) = (each["value"] for each in gateway["env"] if each["name"] == "FORWARDED_ALLOW_IPS")
    assert await client_seen(proxies) == "203.0.113.9"


def test_figures_of_settings_arrive_as_they_were_written() -> None:
    given = values("prod") | {"settings": {"objects_url": "s3://b", "log_retention_s": 1209600, "stale_after_s": 10.5}}
    shown = next(m for m in render(given) if m["metadata"]["name"] == "qd-settings")["data"]
    assert (shown["QUARTERDECK_LOG_RETENTION_S"], shown["QUARTERDECK_STALE_AFTER_S"]) == ("1209600", "10.5")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"settings": {"objects_url": ""}}, "objects_url"),
        ({"settings": {"objects_url": "s3://b", "token": "x"}}, "token"),
        ({"secrets": {"existing": "", "values": {}}}, "secrets"),
        ({"agents": {"host": ""}}, "agents"),
        ({"gateway": {"host": ""}}, "gateway"),
        ({"gateway": {"host": "play.example.org", "proxies": ["*"]}}, "proxies"),
        ({"nats": {"enabled": False}}, "nats"),
    ],
    ids=json.dumps,
)
def test_values_that_cannot_work_are_refused_by_name(change: dict[str, Any], named: str) -> None:
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmError, match=named):
        chart.validate_schema(values("prod") | change)
