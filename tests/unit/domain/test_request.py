"""Two requests are the same when everything that was said is, in whatever process and order."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime

import pytest

from controlplane.domain.region import Law
from controlplane.domain.request import digest
from tests.contract.store.rows import a_deployment, a_game


def test_every_field_counts() -> None:
    assert digest(a_deployment()) == digest(a_deployment())
    assert digest(a_deployment()) != digest(a_deployment(environment={"LEVEL": "4"}))
    assert digest(a_game()) != digest(a_game(law=Law()))
    assert digest(("a", None)) != digest(("a", 0))
    assert digest(datetime(2026, 1, 1, tzinfo=UTC)) != digest(datetime(2026, 1, 2, tzinfo=UTC))
    assert digest(b"a") != digest(b"b")


def test_a_field_that_a_later_release_adds_counts_where_it_is_given() -> None:
    earlier = make_dataclass("Request", [("vm_id", str)], frozen=True)
    later = make_dataclass(
        "Request", [("vm_id", str), ("zone", str, ""), ("tags", tuple, field(default_factory=tuple))], frozen=True
    )
    assert digest(earlier("a")) == digest(later("a"))
    assert digest(later("a")) != digest(later("a", zone="b"))


def test_sets_are_told_alike_in_every_process() -> None:
    script = (
        "from controlplane.domain.region import Law; from controlplane.domain.request import digest;"
        "print(digest(Law(frozenset(['DE', 'US', 'FR', 'CU', 'JP']))))"
    )
    told = {
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env).stdout
        for env in ({"PYTHONHASHSEED": str(seed)} for seed in range(4))
    }
    assert len(told) == 1


def test_what_cannot_be_told_apart_is_no_request() -> None:
    @dataclass(frozen=True)
    class Odd:
        what: object

    with pytest.raises(TypeError):
        digest(Odd(object()))
