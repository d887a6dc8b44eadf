"""deploy/compose.yaml and what makes its secrets, as far as no engine is needed to read them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from tests.docker_engine import REPOSITORY


def test_who_reads_and_deletes_objects_has_a_way_to_their_bucket() -> None:
    house = yaml.safe_load((REPOSITORY / "deploy" / "compose.yaml").read_text())
    ways_out = {name for name, network in house["networks"].items() if not (network or {}).get("internal")}
    keepers = {name: service for name, service in house["services"].items() if "objects.env" in str(service)}
    assert set(keepers) == {"api", "processor"}
    assert all(ways_out & set(service["networks"]) for service in keepers.values())


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
