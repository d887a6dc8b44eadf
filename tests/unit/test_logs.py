"""Logs: no value under a secret's key reaches a line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from controlplane import logs


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize("style", ["json", "console"])
def test_secrets_are_struck_out_at_any_depth_and_in_urls(capsys: pytest.CaptureFixture[str], style: str) -> None:
    logs.configure(style, "info", role="api")
    structlog.get_logger("test").info(
        "hello",
        token="S3CRET",
        nested={"headers": [{"Authorization": "Bearer S3CRET"}], "sign_in_code": "S3CRET"},
        url="nats://user:S3CRET@127.0.0.1:4222",
        session="sessions/abc",
        exit_code=3,
    )
    logging.getLogger("library").warning("from elsewhere", extra={"password": "S3CRET"})

    printed = capsys.readouterr().err
    assert "S3CRET" not in printed
    assert "sessions/abc" in printed
    assert "from elsewhere" in printed
    if style == "json":
        line = json.loads(printed.splitlines()[0])
        assert (line["role"], line["exit_code"], line["level"]) == ("api", 3, "info")


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "warning")
    structlog.get_logger("test").info("quiet")
    assert capsys.readouterr().err == ""
