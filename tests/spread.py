"""How the tests are spread over the workers of pytest-xdist: by file, and what takes longest first."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# All in one worker, which begins with them: an engine that starts rewrites the machine's packet filter under another.
ENGINES = ("tests/component/docker/", "tests/contract/runtime/")
# Else the end would be waiting for one of them.
LONG = (
    "tests/component/processor/test_renting.py",
    "tests/component/test_logs.py",
    "tests/component/saves/",
    "tests/component/test_silence.py",
)
_FIRST = (*ENGINES, *LONG)
# An engine that starts and images that are made count as the time of whichever test is first.
_WITH_ENGINE_S = 900


class Spread(LoadFileScheduling):
    """Files in the order in which they were collected; those with an engine are one."""

    def __init__(self, config: pytest.Config, log: Producer | None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return "an engine" if nodeid.startswith(ENGINES) else super()._split_scope(nodeid)


def arrange(items: list[pytest.Item]) -> None:
    """Puts them in the order in which they begin. Raises UsageError for one that would start a second engine."""
    items.sort(key=lambda item: next((n for n, path in enumerate(_FIRST) if item.nodeid.startswith(path)), len(_FIRST)))
    for item in items:
        needs_engine = "docker_engine" in getattr(item, "fixturenames", ())
        if needs_engine and not item.nodeid.startswith(ENGINES) and item.get_closest_marker("alone") is None:
            raise pytest.UsageError(
                f"{item.nodeid} needs an engine: mark it as alone, or name its folder in ENGINES of tests/spread.py"
            )
        if needs_engine or item.nodeid.startswith(ENGINES):
            item.add_marker(pytest.mark.timeout(_WITH_ENGINE_S))
