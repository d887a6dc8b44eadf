"""deploy/compose.yaml as an operator runs it: by Docker Compose on a real engine, from images that deploy/Dockerfile
makes, up to a session on a machine whose agent joins from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.component.deploy import test_chart as helm_chart
from tests.docker_engine import REPOSITORY, Engine
from tests.ports import free_port, free_ports

pytestmark = pytest.mark.alone

DEPLOY = REPOSITORY / "deploy"
ROLES = ("api", "gateway", "processor")
# The agent may still be on its way: until then the session waits.
CREATE = ("sessions", "create", "broadside", "--wait", "--queue-timeout", "90", "--output", "json")
READS = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}{path}', timeout=5).read().decode())"
SPEAKS_TO_THE_BUS = "import socket; socket.create_connection(('nats', 4222), timeout=5)"


class Composed:
    """The house of deploy/compose.yaml, with images of this checkout, on ports of its own."""

    def __init__(self, engine: Engine, directory: Path, images: dict[str, str]) -> None:
        self.engine, self.secrets = engine, directory / "secrets"
        self.project = f"qd-{uuid.uuid4().hex[:8]}"
        self.ports = {name: free_port() for name in ("HTTP", "GRPC", "LINK", "ENROLMENT")}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("QUARTERDECK_")}
        self.environment = clean | images | {
            "DOCKER_HOST": engine.socket,
            "QUARTERDECK_SECRETS": str(self.secrets),
            "QUARTERDECK_ADVERTISED_HOST": "127.0.0.1",
            "QUARTERDECK_AGENTS_ADDRESS": "127.0.0.1",
            **{f"QUARTERDECK_{name}_PORT": str(port) for name, port in self.ports.items()},
        }  # fmt: skip

    def compose(self, *words: str, said: str = "", timeout_s: float = 240) -> str:
        argv = [str(Path(sys.executable).parent / "docker-compose"), "-f", str(DEPLOY / "compose.yaml")]
        ran = subprocess.run(
            [*argv, "-p", self.project, *words],
            env=self.environment, input=said, capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"{words}\n{ran.stdout}\n{ran.stderr}\n{self.logs()}"
        return ran.stdout

    def cli(self, *words: str, said: str = "") -> str:
        return self.compose("run", "--rm", "-T", "cli", *words, said=said)

    def logs(self) -> str:
        found = self.engine.client.containers(all=True, filters={"label": f"com.docker.compose.project={self.project}"})
        return "".join(f"--- {c['Names']}\n{self.engine.client.logs(c['Id'], tail=20).decode()}" for c in found)

    def container(self, service: str) -> str:
        labels = [f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}"]
        return str(self.engine.client.containers(all=True, filters={"label": labels})[0]["Id"])

    def says(self, service: str) -> list[dict[str, Any]]:
        """The lines that a service has logged."""
        return [json.loads(line) for line in self.engine.client.logs(self.container(service)).decode().splitlines()]

    def runs(self, service: str, *argv: str) -> tuple[int, str]:
        made = self.engine.client.exec_create(self.container(service), argv)
        said = self.engine.client.exec_start(made["Id"]).decode()
        return self.engine.client.exec_inspect(made["Id"])["ExitCode"], said


@pytest.fixture(scope="module")
def composed(
    docker_engine: Engine,
    controlplane_image: str,
    postgres_image: str,
    nats_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Composed]:
    images = {"QUARTERDECK_IMAGE": controlplane_image, "POSTGRES_IMAGE": postgres_image, "NATS_IMAGE": nats_image}
    house = Composed(docker_engine, tmp_path_factory.mktemp("compose"), images)
    subprocess.run([DEPLOY / "secrets.sh", house.secrets], check=True, capture_output=True)
    try:
        house.compose("up", "-d", "--wait", "--pull", "never")
        yield house
    finally:
        house.compose("down", "--volumes", "--timeout", "0")


@pytest.fixture
def agent(composed: Composed, spawn: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> str:
    """The id of a machine whose agent has joined with the lines that `vms invite` prints."""
    composed.cli("vms", "create", "den-1", "--ports", free_ports(20))
    invited = dict(line.split("=", 1) for line in composed.cli("vms", "invite", "den-1").splitlines())
    argv = [sys.executable, "-m", "hostagent", "run", "--data-dir", str(tmp_path / "agent"), "--runtime", "process"]
    argv += ["--stop-sessions-on-exit"]
    spawn(argv, env={name: value for name, value in os.environ.items() if "QUARTERDECK" not in name} | invited)
    return "den-1"


def test_every_role_is_ready_unprivileged_and_logs_json(composed: Composed) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{composed.ports['HTTP']}/readyz", timeout=10) as answer:
        assert json.load(answer) == {"status": "ready"}
    for role in ROLES:
        inspected = composed.engine.client.inspect_container(composed.container(role))
        assert inspected["State"]["Health"]["Status"] == "healthy"
        assert inspected["Config"]["User"] == "10001:10001"
        assert inspected["HostConfig"]["ReadonlyRootfs"]
        assert inspected["HostConfig"]["CapDrop"] == ["ALL"]
        lines = composed.says(role)
        assert any(line["event"] == "role.ready" for line in lines)
        for line in lines:
            assert {"timestamp", "level", "event", "logger", "role", "replica"} <= line.keys()
            assert line["role"] == role


def test_no_secret_is_in_an_environment_or_a_log(composed: Composed) -> None:
    secrets = [file.read_text().strip() for file in composed.secrets.iterdir()]
    assert len(secrets) == 5
    for service in (*ROLES, "migrate", "operator", "nats", "postgres"):
        inspected = json.dumps(composed.engine.client.inspect_container(composed.container(service)))
        said = composed.engine.client.logs(composed.container(service)).decode()
        assert [secret for secret in secrets if secret in inspected + said] == []


def test_the_gateway_does_not_reach_what_the_others_do(composed: Composed) -> None:
    assert composed.runs("api", "python3", "-c", SPEAKS_TO_THE_BUS) == (0, "")
    code, said = composed.runs("gateway", "python3", "-c", SPEAKS_TO_THE_BUS)
    assert code != 0
    assert "gaierror" in said


def test_behind_a_proxy_that_ends_tls_a_browser_is_signed_in_by_a_secure_cookie(composed: Composed) -> None:
    link = composed.cli("signin", "--url", "https://play.example.org").split()[0]
    asked = urllib.request.Request(
        f"http://127.0.0.1:{composed.ports['HTTP']}/signin",
        json.dumps({"code": link.rpartition("/")[2]}).encode(),
        {
            "Host": "play.example.org",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "192.0.2.1",
            "Origin": "https://play.example.org",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert "; Secure" in answer.headers["Set-Cookie"]


@pytest.fixture
def pod(composed: Composed, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Starts containers of the chart's front pod as a kubelet would: one network, secrets mounted, a read-only root.
    There is no Kubernetes here; the containers, their settings and their files are those of the rendered chart."""
    chart = helm_chart.rendered("prod")
    template = next(m for m in chart if m["kind"] == "Deployment" and m["metadata"]["name"] == "qd")["spec"]["template"]
    settings = next(m for m in chart if m["metadata"]["name"] == "qd-settings")["data"]
    mounts = {"secrets": tmp_path / "secrets", "keys": tmp_path / "keys"}
    shutil.copytree(composed.secrets, mounts["secrets"])
    subprocess.run(
        [sys.executable, "-m", "controlplane", "keys"], check=True, capture_output=True,
        env=os.environ | {"QUARTERDECK_CA_DIR": str(mounts["keys"])},
    )  # fmt: skip
    for mount in mounts.values():  # as fsGroup lets the pod's user read them
        mount.chmod(0o755)
        for file in mount.iterdir():
            file.chmod(0o444)
    client, started = composed.engine.client, []

    def start(name: str) -> str:
        spec = next(container for container in template["spec"]["containers"] if container["name"] == name)
        given = {entry["name"]: entry["value"] for entry in spec["env"] if "value" in entry}
        binds = [f"{mounts[m['name']]}:{m['mountPath']}:ro" for m in spec["volumeMounts"] if m["name"] in mounts]
        made = client.create_container(
            composed.environment["QUARTERDECK_IMAGE"],
            spec["args"],
            environment=settings | given | {"QUARTERDECK_NATS_URL": "nats://nats:4222"},
            host_config=client.create_host_config(
                network_mode=f"container:{started[0]}" if started else f"{composed.project}_state",
                read_only=spec["securityContext"]["readOnlyRootFilesystem"],
                cap_drop=spec["securityContext"]["capabilities"]["drop"],
                tmpfs={"/tmp": ""},
                binds=binds,
            ),
        )["Id"]
        started.append(made)
        client.start(made)
        return str(made)

    yield start
    for container in reversed(started):
        client.remove_container(container, force=True)


def test_the_charts_front_pod_serves_with_nothing_but_its_secrets(
    composed: Composed, pod: Callable[[str], str]
) -> None:
    api, gateway = pod("api"), pod("gateway")
    deadline = time.monotonic() + 60
    while composed.engine.client.inspect_container(gateway)["State"]["Health"]["Status"] != "healthy":
        assert time.monotonic() < deadline, composed.engine.client.logs(api) + composed.engine.client.logs(gateway)
        time.sleep(0.2)  # the engine tells of health in no better way
    made = composed.engine.client.exec_create(api, ["python3", "-c", READS.format(port=8081, path="/readyz")])
    assert json.loads(composed.engine.client.exec_start(made["Id"]))["checks"] == {"database": "ok", "bus": "ok"}
    assert composed.engine.client.inspect_container(gateway)["HostConfig"]["Binds"] == []


def test_an_agent_joins_from_outside_and_a_session_runs(composed: Composed, agent: str) -> None:
    composed.cli("games", "create", "broadside", "-", said="displayName: Broadside\n")
    command = json.dumps([sys.executable, "-m", "examples.broadside"])
    composed.cli("games", "deploy", "broadside", "-", said=f"command: {command}\npicture: PICTURE_FRAMES\n")
    session = json.loads(composed.cli(*CREATE))
    assert (session["state"], session["vm"]) == ("SESSION_STATE_RUNNING", f"vms/{agent}"), composed.logs()
    composed.cli("sessions", "stop", session["name"])
