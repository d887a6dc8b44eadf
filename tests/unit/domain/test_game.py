"""Deployments that no host could run are refused when they are made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from controlplane.domain.container import Container
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.game import Deployment, Picture, Readiness, checked

SERVER = Deployment("demo", "default", 0, ("server",), Picture.NONE, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("pattern", ["(a", "(?=ready)", "(ready)\\1", "a{2000}"])
def test_a_readiness_pattern_that_is_not_re2_is_refused_and_named(pattern: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked(replace(SERVER, readiness=Readiness(log_pattern=pattern)))
    assert (refused.value.reason, refused.value.field) == ("PATTERN_INVALID", "deployment.readiness.log_pattern")


@pytest.mark.parametrize("name", ["LD_PRELOAD", "NVIDIA_VISIBLE_DEVICES", "BASH_ENV", "ENV", "GCONV_PATH", "DYLD_X"])
@pytest.mark.parametrize("container", [None, Container("game:1")], ids=["process", "container"])
def test_a_variable_that_reaches_beyond_the_game_is_refused(name: str, container: Container | None) -> None:
    game = replace(SERVER, readiness=Readiness(stays_up_s=1.0), container=container, environment={name: "x"})
    with pytest.raises(InvalidRequest) as refused:
        checked(game)
    assert (refused.value.reason, refused.value.field) == ("VARIABLE_DENIED", "deployment.environment")
    checked(replace(game, environment={"ENVIRONMENT": "x", "OLD_LD": "x"}))


def test_a_bound_on_the_disk_and_what_it_does_not_count_are_refused_together() -> None:
    game = replace(SERVER, readiness=Readiness(stays_up_s=1.0), container=Container("game:1", writable_root=True))
    checked(game)
    with pytest.raises(InvalidRequest, match=r"disk_bytes.*writable_root") as refused:
        checked(replace(game, disk_bytes=1 << 30))
    assert refused.value.field == "deployment.container.writable_root"


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(?i)server (ready|up) on port \\d+"])
def test_one_that_is_re2_is_taken(pattern: str) -> None:
    checked(replace(SERVER, readiness=Readiness(log_pattern=pattern)))
