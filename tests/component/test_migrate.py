"""`quarterdeck migrate` as an operator runs it: up, check, down, and what is wrong said in words."""

from __future__ import annotations

import os
import subprocess
import sys

import sqlalchemy as sa

from controlplane.adapters.store import schema
from tests.contract.store.rows import synchronous


def migrate(url: str, directory, *words: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUARTERDECK_")}
    environment |= {"QUARTERDECK_DATABASE_URL": url, "QUARTERDECK_DATA_DIR": str(directory)}
    argv = [sys.executable, "-m", "controlplane", "migrate", *words]
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def test_up_check_down_and_the_differences_are_told(sqlite_url, tmp_path):
    code, said = migrate(sqlite_url, tmp_path, "check")
    assert (code, "run `quarterdeck migrate up`" in said) == (1, True), said
    assert migrate(sqlite_url, tmp_path)[0] == 0
    assert migrate(sqlite_url, tmp_path, "check") == (0, f"database {schema.head()}, this release {schema.head()}\n")
    with synchronous(sqlite_url).begin() as connection:
        connection.execute(sa.text("ALTER TABLE vms ADD COLUMN colour TEXT"))
    code, said = migrate(sqlite_url, tmp_path, "check")
    assert (code, "colour" in said) == (1, True), said
    code, said = migrate(sqlite_url, tmp_path, "down", "--to", "base")
    assert (code, "database base" in said) == (0, True), said
    code, said = migrate(sqlite_url, tmp_path, "down", "--to", "7777")
    assert (code, "Error: " in said) == (1, True), said
    assert migrate(sqlite_url, tmp_path, "down")[0] == 2
