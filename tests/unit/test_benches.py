"""`make bench` runs seldom: what its parts import from the tests must be there all the same."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"


@pytest.mark.parametrize("module", sorted(set(re.findall(r"-m (tests\.bench\.\w+)", MAKEFILE.read_text()))))
def test_each_part_can_be_imported(module: str) -> None:
    assert hasattr(importlib.import_module(module), "main")
