"""deploy/compose.yaml and what makes its secrets, as far as no engine is needed to read them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tests.docker_engine import REPOSITORY


def test_who_reads_and_deletes_objects_has_a_way_to_their_bucket() -> None:
    house = yaml.safe_load((REPOSITORY / "deploy" / "compose.yaml").read_text())
    ways_out = {name for name, network in house["networks"].items() if not (network or {}).get("internal")}
    keepers = {name: service for name, service in house["services"].items() if "objects.env" in str(service)}
    assert set(keepers) == {"api", "processor"}
    assert all(ways_out & set(service["networks"]) for service in keepers.values())


def test_every_role_takes_every_setting(tmp_path: Path) -> None:
    shutil.copytree(
        REPOSITORY / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("*.env", ".env", "secrets")
    )
    assert "QUARTERDECK_IDLE_TIMEOUT_S" not in environment(tmp_path)["api"]
    (tmp_path / "deploy" / "settings.env").write_text("QUARTERDECK_IDLE_TIMEOUT_S=60\nQUARTERDECK_LINK_PORT=1\n")
    given = environment(tmp_path)
    told = {name for name, variables in given.items() if variables.get("QUARTERDECK_IDLE_TIMEOUT_S") == "60"}
    assert told == {"api", "processor", "gateway"}
    assert given["api"]["QUARTERDECK_LINK_PORT"] == "50052"  # as the port that is published


def environment(directory: Path) -> dict[str, dict[str, str]]:
    """What Compose gives the containers of each service."""
    argv = [str(Path(sys.executable).parent / "docker-compose"), "-f", "deploy/compose.yaml", "config"]
    read = subprocess.run(
        [*argv, "--format", "json"], cwd=directory, env={"QUARTERDECK_ADVERTISED_HOST": "127.0.0.1"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return {name: service.get("environment") or {} for name, service in json.loads(read.stdout)["services"].items()}


def test_a_second_making_of_secrets_changes_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    make = [str(REPOSITORY / "deploy" / "secrets.sh"), str(directory)]
    subprocess.run(make, check=True)
    assert directory.stat().st_mode & 0o777 == 0o700
    made = {file.name: file.read_text() for file in directory.iterdir()}
    directory.chmod(0o710)  # as docs/deployment.md has it for systemd
    (directory / "nats-token").unlink()
    subprocess.run(make, check=True)
    assert directory.stat().st_mode & 0o777 == 0o710
    kept = {file.name: file.read_text() for file in directory.iterdir() if file.name != "nats-token"}
    assert kept == {name: text for name, text in made.items() if name != "nats-token"}


async def test_no_client_says_himself_where_he_comes_from() -> None:
    house = yaml.safe_load((REPOSITORY / "deploy" / "compose.yaml").read_text())
    given = house["services"]["gateway"]["environment"]["FORWARDED_ALLOW_IPS"]
    assert await client_seen(given.removeprefix("${QUARTERDECK_PROXIES:-").removesuffix("}")) == "203.0.113.9"


async def client_seen(proxies: str) -> str:
    """Whom a server with such proxies sees, behind one that appends to what it is told."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    told = [(b"x-forwarded-for", b"198.51.100.1, 203.0.113.9")]
    asked: Any = {"type": "http", "client": ("172.18.0.1", 4711), "headers": told}
    nobody: Any = None
    await ProxyHeadersMiddleware(app, proxies)(asked, nobody, nobody)
    return seen[0]
