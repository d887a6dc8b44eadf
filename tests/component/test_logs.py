"""Logs from a real game to the store and back, while parts of the way are killed: each line once, in order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import psutil
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from quarterdeck.v1 import (
    console_pb2,
    games_pb2,
    games_pb2_grpc,
    logs_pb2,
    logs_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
)

from tests.house import House
from tests.s3 import BUCKET, CREDENTIALS, s3_server
from tests.small_disk import small_disk

PATIENCE_S = 120.0
# Numbered lines on both streams for as long as it lives; ends when it is asked to.
TALKER = """
import itertools, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("ready", flush=True)
for number in itertools.count(1):
    stream = sys.stderr if number % 10 == 0 else sys.stdout
    print("line", number, "x" * int(os.environ.get("WIDTH", "20")), file=stream, flush=True)
    time.sleep(float(os.environ.get("PAUSE", "0.005")))
"""

pytestmark = pytest.mark.timeout(400)


class Talk:
    """A house with one talking session, and a follower that hangs on through everything."""

    def __init__(self, house: House) -> None:
        self.house = house
        token = (house.data_dir / "operator.token").read_text().strip()
        self.metadata = (("authorization", f"Bearer {token}"),)
        options = [("grpc.max_reconnect_backoff_ms", 500), ("grpc.initial_reconnect_backoff_ms", 100)]
        self._channel = grpc.insecure_channel(f"127.0.0.1:{house.grpc_port}", options=options)
        self.logs = logs_pb2_grpc.LogServiceStub(self._channel)
        self.sessions = sessions_pb2_grpc.SessionServiceStub(self._channel)
        self.name = ""
        self.followed: list[logs_pb2.LogLine] = []
        self.missed = 0
        self._closing = False
        self._following = threading.Thread(target=self._follow)

    def call(self, method, request, timeout_s: float = 120.0):
        """Again when a killed part was in its way: what is called here may be called twice."""
        while True:
            try:
                return method(request, metadata=self.metadata, timeout=timeout_s, wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                time.sleep(0.2)

    def start(self, **environment: str) -> None:
        games = games_pb2_grpc.GameServiceStub(self._channel)
        game = games_pb2.Game(display_name="Talker")
        self.call(games.CreateGame, games_pb2.CreateGameRequest(game_id="talker", game=game))
        deployment = games_pb2.Deployment(
            command=["python", "-c", TALKER],
            environment=environment,
            picture=games_pb2.PICTURE_NONE,
            readiness=games_pb2.Readiness(log_pattern="^ready$"),
        )
        self.call(
            games.CreateDeployment, games_pb2.CreateDeploymentRequest(parent="games/talker", deployment=deployment)
        )
        wish = sessions_pb2.CreateSessionRequest(game="games/talker")
        self.name = self.call(self.sessions.CreateSession, wish).name
        self.until(lambda: self.session().state == sessions_pb2.SESSION_STATE_RUNNING)
        self._following.start()

    def session(self) -> sessions_pb2.Session:
        return self.call(self.sessions.GetSession, sessions_pb2.GetSessionRequest(name=self.name))

    def log(self) -> logs_pb2.Log:
        return self.call(self.logs.GetLog, logs_pb2.GetLogRequest(name=f"{self.name}/log"))

    def lines(self, **filters) -> list[logs_pb2.LogLine]:
        found: list[logs_pb2.LogLine] = []
        request = logs_pb2.ListLogLinesRequest(session=self.name, page_size=700, **filters)
        while True:
            page = self.call(self.logs.ListLogLines, request)
            found += page.lines
            request.page_token = page.next_page_token
            if not request.page_token:
                return found

    def stop(self) -> None:
        self.call(self.sessions.StopSession, sessions_pb2.StopSessionRequest(name=self.name, wait=True), 90)
        self.until(lambda: self.log().complete)
        self._following.join(PATIENCE_S)
        assert not self._following.is_alive()

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.house.logs()
            time.sleep(0.2)

    def grows(self, lines: int = 300) -> None:
        """So many more are stored."""
        before = self.log().lines
        self.until(lambda: self.log().lines >= before + lines)

    def session_dir(self) -> Path:
        return self.house.data_dir / "agent" / "sessions" / f"{self.name.removeprefix('sessions/')}.1"

    def close(self) -> None:
        self._closing = True
        self._channel.close()

    def _follow(self) -> None:
        while not self._closing:
            last = self.followed[-1] if self.followed else logs_pb2.LogLine()
            request = logs_pb2.FollowLogsRequest(
                session=self.name, after_generation=last.generation, after_sequence=last.sequence
            )
            try:
                for output in self.logs.FollowLogs(request, metadata=self.metadata):
                    self.missed += output.missed
                    self.followed += output.lines
                return
            except (grpc.RpcError, ValueError):
                time.sleep(0.2)


@contextlib.contextmanager
def talking(house: House) -> Iterator[Talk]:
    with house:
        talk = Talk(house)
        try:
            yield talk
        finally:
            talk.close()


def numbers(lines: list[logs_pb2.LogLine]) -> list[int]:
    return [int(line.text.split()[1]) for line in lines if line.text.startswith("line ")]


def whole(lines: list[logs_pb2.LogLine]) -> None:
    """Every line that was printed, once, in order, up to the wrapper's last note."""
    assert [line.sequence for line in lines] == list(range(1, len(lines) + 1))
    assert sorted(numbers(lines)) == list(range(1, max(numbers(lines)) + 1))
    assert lines[-1].stream == console_pb2.LOG_STREAM_WRAPPER
    assert lines[-1].text.startswith("over: stop_requested")


def test_every_line_is_stored_once_whatever_is_killed(tmp_path: Path, postgres_url: str) -> None:
    with talking(House(tmp_path, "--separate", database_url=postgres_url)) as talk:
        talk.start()
        talk.grows()
        for part in ("agent", "api", "agent", "nats-server", "api"):
            os.kill(talk.house.pid(part), signal.SIGKILL)
            talk.grows()
        # A store that is dead in mid-stream: what should be a directory is a file.
        objects, aside = talk.house.data_dir / "objects", tmp_path / "aside"
        objects.rename(aside)
        objects.write_text("not a directory")
        stored = talk.log().lines
        seen = talk.followed[-1].sequence
        talk.until(lambda: talk.followed[-1].sequence > seen + 1000)
        os.kill(talk.house.pid("agent"), signal.SIGKILL)
        assert talk.log().lines == stored
        objects.unlink()
        aside.rename(objects)
        talk.grows(1000)
        talk.stop()

        lines = talk.lines()
        whole(lines)
        whole(talk.followed)
        assert talk.missed == 0
        assert [line.SerializeToString() for line in talk.followed] == [line.SerializeToString() for line in lines]
        log = talk.log()
        assert (log.lines, log.dropped_lines) == (len(lines), 0)
        assert {line.stream for line in lines} == {1, 2, 3}
        # Nothing of it is left on the host.
        assert not talk.session_dir().exists()
        talk.until(lambda: not list((talk.house.data_dir / "agent" / "logs").glob("*")))


def test_lines_are_found_and_counted(tmp_path: Path) -> None:
    with talking(House(tmp_path)) as talk:
        began = Timestamp()
        began.GetCurrentTime()
        talk.start()
        talk.grows(500)
        talk.stop()
        lines = talk.lines()
        whole(lines)
        errors = talk.lines(streams=[console_pb2.LOG_STREAM_STDERR])
        assert numbers(errors) == [number for number in sorted(numbers(lines)) if number % 10 == 0]
        assert [line.text.split()[1] for line in talk.lines(pattern=r"^line 1?7 ")] == ["7", "17"]
        assert [line.text.split()[1] for line in talk.lines(contains="line 33 ")] == ["33"]
        assert talk.lines(newest_first=True) == lines[::-1]
        middle = lines[len(lines) // 2].time
        earlier, later = talk.lines(end_time=middle), talk.lines(start_time=middle)
        assert earlier + later == lines
        ended = Timestamp()
        ended.GetCurrentTime()
        request = logs_pb2.GetLogHistogramRequest(
            session=talk.name, start_time=began, end_time=ended, bucket=Duration(seconds=1)
        )
        histogram = talk.call(talk.logs.GetLogHistogram, request)
        assert sum(bucket.stderr_lines for bucket in histogram.buckets) == len(errors)
        assert sum(bucket.stdout_lines for bucket in histogram.buckets) == len(lines) - len(errors) - 2
        assert sum(bucket.wrapper_lines for bucket in histogram.buckets) == 2
        tailing = (["--tail", "3"], ["--follow", "--tail", "3"])
        for verb in (
            *tailing,
            ["--grep", "^over: "],
            ["--follow", "--grep", "^over: "],
            ["--since", "9d", "--tail", "3"],
        ):
            printed = talk.house.run("sessions", "logs", talk.name, *verb).stdout.splitlines()
            assert printed[-1].endswith("wrapper over: stop_requested"), verb
            assert len(printed) == (3 if "--tail" in verb else 1)
        told = talk.house.run("sessions", "logs", talk.name, "--since", "999999999d").stderr
        assert told.startswith("Error: --since: '999999999d'")
        rest = httpx.Client(base_url=talk.house.url, headers=dict(talk.metadata))
        two = rest.get(f"/v1/{talk.name}/logLines", params={"pageSize": 2, "streams": "LOG_STREAM_STDERR"}).json()
        assert [line["text"].split()[1] for line in two["lines"]] == ["10", "20"]
        assert two["nextPageToken"]
        assert rest.get(f"/v1/{talk.name}/log").json()["complete"] is True
        followed = rest.get(f"/v1/{talk.name}:followLogs", headers={"accept": "application/x-ndjson"}).text
        assert followed.count('"text"') == len(lines)
        with pytest.raises(grpc.RpcError) as refused:
            talk.lines(pattern="(")
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_full_disk_of_the_store_keeps_the_log_on_the_host(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 64) as disk,
        talking(House(tmp_path, objects_url=disk.as_uri())) as talk,
    ):
        (disk / "ballast").write_bytes(b"x" * 60_000)
        talk.start()
        agent = talk.house.data_dir / "log" / "agent.log"
        talk.until(lambda: "is full: make room on its disk" in agent.read_text())
        (disk / "ballast").unlink()
        talk.grows()
        talk.stop()
        whole(talk.lines())


def test_an_s3_that_freezes_costs_no_line_and_no_secret_leaves_the_control_plane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3_server(tmp_path) as s3:
        house = House(tmp_path / "house", objects_url=f"s3://{BUCKET}/house", objects_endpoint=s3.endpoint)
        with talking(house) as talk:
            talk.start()
            talk.grows()
            assert s3.process is not None
            s3.process.send_signal(signal.SIGSTOP)
            seen = talk.followed[-1].sequence
            talk.until(lambda: talk.followed[-1].sequence > seen + 1000)
            s3.process.send_signal(signal.SIGCONT)
            talk.grows(1000)
            wrapper = psutil.Process(house.pid("wrapper"))
            for process in (wrapper, *wrapper.children(recursive=True)):
                assert not [name for name in process.environ() if name.startswith("AWS_")]
            talk.stop()
            whole(talk.lines())
            whole(talk.followed)
            for log in (house.data_dir / "log").iterdir():
                assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in log.read_text(errors="replace")


def bytes_in(folder: Path) -> int:
    """Its files come and go meanwhile."""
    total = 0
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def test_a_game_that_floods_its_log_plays_on_and_the_log_says_what_is_lost(tmp_path: Path) -> None:
    """Must-show 6: bounded on the disk, the loss counted, the newest lines there."""
    with talking(House(tmp_path)) as talk:
        talk.start(PAUSE="0", WIDTH="2000")
        spool = talk.session_dir() / "log"
        talk.until(lambda: max(int(name) for name in os.listdir(spool) if name.isdigit()) > 12_000)  # 24 MB
        assert bytes_in(spool) <= 16 << 20
        assert talk.session().state == sessions_pb2.SESSION_STATE_RUNNING
        talk.until(lambda: talk.log().dropped_lines > 0)
        talk.stop()
        log, lines = talk.log(), talk.lines()
        assert len(lines) == log.lines
        assert log.lines + log.dropped_lines == lines[-1].sequence
        assert lines[-1].text == "over: stop_requested"
        sequences = [line.sequence for line in lines]
        assert sequences == sorted(set(sequences))


def test_a_full_disk_of_the_host_ends_no_session_and_the_log_says_why_lines_are_lost(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 300 * 1024) as disk, talking(House(tmp_path)) as talk:
        talk.start()
        talk.grows()
        with (disk / "ballast").open("wb") as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(b"x" * (1 << 20))
                ballast.flush()
        subprocess.run(["dd", "if=/dev/zero", f"of={disk}/rest", "bs=1"], capture_output=True, check=False)
        talk.until(lambda: any("log lines are lost: No space left" in line.text for line in talk.followed))
        assert os.path.exists(f"/proc/{talk.house.pid('wrapper')}")
        (disk / "ballast").unlink()
        (disk / "rest").unlink()
        talk.until(lambda: any("were lost: No space left on device" in line.text for line in talk.lines()))
        assert talk.session().state == sessions_pb2.SESSION_STATE_RUNNING
        talk.stop()
        log = talk.log()
        assert log.dropped_lines > 0
        assert log.lines + log.dropped_lines == talk.lines()[-1].sequence
