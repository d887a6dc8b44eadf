"""An agent that is not root, among files and processes of others."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hostagent import procfs
from hostagent.disk import Gauge
from hostagent.runtime.process import kill_all
from tests.nobody import as_nobody

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files and processes of others are made by root alone")


def test_a_process_of_another_user_is_left_and_ends_nothing() -> None:
    word = os.urandom(16).hex()
    command = (sys.executable, "-c", "import time; print(flush=True); time.sleep(600)", word)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as foreign:
        assert foreign.stdout is not None
        foreign.stdout.readline()
        # The modules that it needs, which nobody may not be able to read.
        assert asyncio.run(kill_all(Path("/nowhere"), None, {word[::-1]})) == 0
        try:
            as_nobody(lambda: _kill(word))
            assert foreign.poll() is None
        finally:
            foreign.kill()


def _kill(word: str) -> None:
    own = os.fork()
    if own == 0:
        os.execv("/bin/sh", ("sh", "-c", "sleep 600; :", word))
    process = procfs.identify(own)
    assert process is not None
    while word not in Path(f"/proc/{own}/cmdline").read_text():
        os.sched_yield()
    assert asyncio.run(kill_all(Path("/nowhere"), None, {word})) >= 1
    assert not procfs.is_alive(process)


def test_a_directory_of_another_user_that_may_not_be_read_is_told() -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        (Path(place) / "home").mkdir(mode=0o755)
        (Path(place) / "home" / "hidden").mkdir(mode=0o700)

        def measure() -> None:
            gauge = Gauge(Path(place), 1 << 20)
            assert [gauge.go_on().unmeasured for _ in range(3)] == ["", "", "hidden: Permission denied"]

        as_nobody(measure)
