"""What the command line makes of words and files before it calls anybody."""

from __future__ import annotations

import io
import re
import signal
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import typer
from quarterdeck.v1 import sessions_pb2

from controlplane.commands.documents import pairs
from controlplane.commands.sessions import _rows


def test_a_parameter_may_stay_out_of_the_list_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3 = cret\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from\na pipe\n")))
    given = pairs([f"password=@{secret}", "motd=@-", "handle=@@alice", "difficulty=hard", "empty="])
    assert given == {
        "password": "s3 = cret",
        "motd": "from\na pipe",
        "handle": "@alice",
        "difficulty": "hard",
        "empty": "",
    }


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        pairs([f"password=@{tmp_path}/nothing"])
    assert "--parameter password: cannot read" in capsys.readouterr().err


@pytest.mark.parametrize(("streamed", "label"), [(True, "first frame"), (False, "ready")])
def test_a_game_without_a_picture_is_ready_and_has_no_first_frame(streamed: bool, label: str) -> None:
    session = sessions_pb2.Session(name="sessions/a", streamed=streamed)
    session.stages.first_frame_time.GetCurrentTime()
    shown = dict(_rows(session))
    assert shown[label]
    assert {"first frame", "ready"} & shown.keys() == {label}


@pytest.mark.parametrize(
    ("state", "code", "shown"),
    [
        (sessions_pb2.SESSION_STATE_STOPPED, -15, ""),
        (sessions_pb2.SESSION_STATE_STOPPED, 3, "with exit code 3"),
        (sessions_pb2.SESSION_STATE_COMPLETED, 0, ""),
        (sessions_pb2.SESSION_STATE_CRASHED, -11, "killed by SIGSEGV"),
        (sessions_pb2.SESSION_STATE_CRASHED, -35, "killed by signal 35"),
    ],
)
def test_how_a_game_exited_is_told_in_words_where_it_tells_something(state: Any, code: int, shown: str) -> None:
    assert dict(_rows(sessions_pb2.Session(state=state, exit_code=code)))["exited"] == shown


def test_the_pages_know_every_signal_by_the_name_that_a_wrapper_gives_it() -> None:
    source = files("controlplane").joinpath("web", "format.js").read_text(encoding="utf-8")
    told = {int(number): name for number, name in re.findall(r'(\d+): "(SIG[A-Z0-9]+)"', source)}
    assert told == {one.value: one.name for one in signal.Signals if one <= signal.SIGSYS}
