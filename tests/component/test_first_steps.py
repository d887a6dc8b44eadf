"""What an operator does before a house of separate roles runs: the first operator's token, the keys that agents pin."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.bus.memory import MemoryBus
from controlplane.adapters.ca import FileCertificateAuthority
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store import open_store, schema
from controlplane.domain.errors import Unauthenticated
from controlplane.domain.identity import Role
from controlplane.usecases import accounts
from controlplane.usecases.world import World


def run(directory: Path, *words: str, **given: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUARTERDECK_")}
    environment |= {"QUARTERDECK_DATA_DIR": str(directory)} | given
    argv = [sys.executable, "-m", "controlplane", *words]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def role_of(url: str, token: str) -> Role:
    store = open_store(url)
    world: Any = World(store, MemoryBus(), RandomIds(), *[None] * 3)  # type: ignore[arg-type]
    try:
        return (await accounts.authenticate(world, token)).role
    finally:
        await store.close()


async def test_a_token_that_the_operator_keeps_opens_the_house_and_a_later_one_too(sqlite_url, tmp_path):
    given = {"QUARTERDECK_DATABASE_URL": sqlite_url, "QUARTERDECK_TOKEN_FILE": str(tmp_path / "token")}
    assert "Error: " in run(tmp_path, "operator", **given).stderr  # nothing to write to yet
    schema.migrate(sqlite_url)
    for secret in ("first-secret-of-32-characters-000", "second-secret-of-32-characters-00"):
        (tmp_path / "token").write_text(f"{secret}\n")
        ran = run(tmp_path, "operator", **given)
        assert (ran.returncode, secret in ran.stdout + ran.stderr) == (0, False), ran.stderr
        assert await role_of(sqlite_url, secret) is Role.OPERATOR
    with pytest.raises(Unauthenticated):
        await role_of(sqlite_url, "another")


async def test_a_token_file_is_made_where_there_is_none(sqlite_url, tmp_path):
    schema.migrate(sqlite_url)
    assert run(tmp_path, "operator", QUARTERDECK_DATABASE_URL=sqlite_url).returncode == 0
    token = tmp_path / "operator.token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert await role_of(sqlite_url, token.read_text().strip()) is Role.OPERATOR


def test_keys_are_made_once_and_told_by_what_agents_pin(tmp_path):
    said = [run(tmp_path, "keys").stdout for _ in range(2)]
    assert said == [f"{FileCertificateAuthority(tmp_path / 'ca', 60).ca_sha256}\n"] * 2
    assert {"ca.key", "ca.crt", "stream-token.key"} <= {file.name for file in (tmp_path / "ca").iterdir()}
    refused = run(tmp_path, "keys", QUARTERDECK_CA_DIR="/proc/nowhere")
    assert (refused.returncode, refused.stderr.startswith("Error: ")) == (1, True)
