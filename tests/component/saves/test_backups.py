"""Backups through a whole house: by hand and by schedule, between what the game is told, restored and fetched."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import tarfile
import urllib.error
import urllib.request
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from quarterdeck.v1 import backups_pb2, backups_pb2_grpc, saves_pb2, sessions_pb2

from tests.component.saves.conftest import COUNTING, Player, schedules_fall_due, session_dir, until
from tests.house import House

pytestmark = pytest.mark.timeout(300)
COMPLETED, FAILED = backups_pb2.BACKUP_STATE_COMPLETED, backups_pb2.BACKUP_STATE_FAILED
# Writes without a pause from the moment it is told "busy".
RESTLESS = (
    COUNTING
    + """
    if line == "busy\\n":
        import threading, itertools
        def write():
            for number in itertools.count():
                (world / "busy").write_text(str(number))
        for _ in range(4):
            threading.Thread(target=write, daemon=True).start()
"""
)


class Keeper:
    """The operator's backups."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.stub = backups_pb2_grpc.BackupServiceStub(player.channel)

    def create(self, session: sessions_pb2.Session, client_token: str = "") -> backups_pb2.Backup:
        request = backups_pb2.CreateBackupRequest(session=session.name, client_token=client_token)
        return self.player.call(self.stub.CreateBackup, request)

    def get(self, name: str) -> backups_pb2.Backup:
        return self.player.call(self.stub.GetBackup, backups_pb2.GetBackupRequest(name=name))

    def over(self, backup: backups_pb2.Backup, house: House) -> backups_pb2.Backup:
        until(lambda: self.get(backup.name).state in (COMPLETED, FAILED), house.logs)
        return self.get(backup.name)

    def all(self) -> list[backups_pb2.Backup]:
        return list(self.player.call(self.stub.ListBackups, backups_pb2.ListBackupsRequest()).backups)

    def restore(self, backup: backups_pb2.Backup, save_id: str) -> saves_pb2.Save:
        request = backups_pb2.RestoreBackupRequest(name=backup.name, save_id=save_id)
        return self.player.call(self.stub.RestoreBackup, request)

    def download(self, name: str) -> backups_pb2.Download:
        return self.player.call(self.stub.CreateDownload, backups_pb2.CreateDownloadRequest(name=name))


@pytest.fixture
def keeper(player: Player) -> Keeper:
    return Keeper(player)


def said(house: House, session: sessions_pb2.Session) -> list[str]:
    path = session_dir(house, session) / "home" / "world" / "said"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def fetch(house: House, url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    asked = urllib.request.Request(house.url + url, headers={name.replace("_", "-"): v for name, v in headers.items()})
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


def test_a_running_game_is_backed_up_restored_elsewhere_and_fetched(
    house: House, player: Player, keeper: Keeper
) -> None:
    player.add_game(
        before_lines=["save-off", "save-all"],
        settled_text="heard save-all",
        settled_within=Duration(seconds=30),
        after_lines=["save-on"],
    )
    session = player.play("")
    backup = keeper.create(session, "once")
    assert keeper.create(session, "once").name == backup.name
    done = keeper.over(backup, house)
    assert (done.state, done.files, done.session, done.reason) == (COMPLETED, 2, session.name, "")
    until(lambda: said(house, session) == ["save-off", "save-all", "save-on"], lambda: said(house, session))
    player.say(session, "what comes later")

    assert keeper.restore(done, "copy").current_version == "saves/copy/versions/1"
    assert keeper.restore(done, "copy").current_version == "saves/copy/versions/1"
    player.stop(session)
    other = player.play("copy")
    assert (session_dir(house, other) / "home" / "world" / "starts").read_text() == "2"
    assert said(house, other) == ["save-off", "save-all"]
    with pytest.raises(grpc.RpcError) as refused:
        keeper.restore(done, "copy")
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION

    found = keeper.download(done.name)
    status, headers, whole = fetch(house, found.url)
    assert (status, len(whole), hashlib.sha256(whole).hexdigest()) == (200, done.size_bytes, done.sha256)
    assert headers["content-disposition"].endswith('.tar.gz"')
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        assert tar.getnames() == ["world", "world/deep", "world/said", "world/starts"]
    assert fetch(house, found.url, range="bytes=3-9")[::2] == (206, whole[3:10])
    assert fetch(house, found.url, range=f"bytes={done.size_bytes - 4}-")[::2] == (206, whole[-4:])
    status, headers, end = fetch(house, found.url, range="bytes=-5")
    assert (status, end) == (206, whole[-5:])
    assert headers["content-range"] == f"bytes {done.size_bytes - 5}-{done.size_bytes - 1}/{done.size_bytes}"
    assert fetch(house, found.url, range=f"bytes={done.size_bytes}-")[0] == 416
    assert fetch(house, found.url, range="bytes=0-1", if_range='"another"')[::2] == (200, whole)
    assert fetch(house, found.url[:-3] + "xyz")[0] == 401
    secret = found.url.rpartition("/")[2]
    assert all(secret not in log.read_text() for log in (house.data_dir / "log").glob("*.log"))

    assert house.run("backups", "delete", done.name).returncode == 0
    assert fetch(house, found.url)[0] == 404
    player.stop(other)
    player.until_free("copy")
    third = player.play("copy")  # its version outlives the backup that it came from
    assert (session_dir(house, third) / "home" / "world" / "starts").read_text() == "3"


def test_of_an_ended_session_its_save_is_backed_up(house: House, player: Player, keeper: Keeper) -> None:
    player.add_game()
    first = player.play()
    player.stop(first)
    player.until_free()
    backup = keeper.create(first)
    assert (backup.state, backup.save) == (COMPLETED, "saves/mine")
    assert backup.sha256 == player.versions()[0].sha256
    without = player.play("")
    player.stop(without)
    with pytest.raises(grpc.RpcError) as refused:
        keeper.create(without)
    assert "its files are gone" in refused.value.details()
    assert [b["name"] for b in house.json("backups", "list")["backups"]] == [backup.name]


def test_files_that_never_keep_still_are_no_backup_and_the_game_is_told_that_it_is_over(
    house: House, player: Player, keeper: Keeper
) -> None:
    player.add_game(program=RESTLESS, after_lines=["go on"])
    session = player.play("")
    player.say(session, "busy")
    until(lambda: (session_dir(house, session) / "home" / "world" / "busy").exists())
    done = keeper.over(keeper.create(session), house)
    assert (done.state, done.reason) == (FAILED, "FILES_CHANGING")
    until(lambda: said(house, session).count("go on") == 3, lambda: said(house, session))
    assert house.json("backups", "get", done.name)["reason"] == "FILES_CHANGING"


def test_a_backup_survives_its_agent_and_is_over_with_its_session(house: House, player: Player, keeper: Keeper) -> None:
    player.add_game(
        before_lines=["save-off"], settled_text="never", settled_within=Duration(seconds=600), after_lines=["save-on"]
    )
    session = player.play("")
    backup = keeper.create(session)
    with pytest.raises(grpc.RpcError) as refused:
        keeper.create(session)
    assert "another backup" in refused.value.details()
    until(lambda: said(house, session) == ["save-off"])
    os.kill(house.pid("agent"), signal.SIGKILL)
    # The next agent tells the game that the first reading is over, and reads again.
    until(lambda: said(house, session) == ["save-off", "save-on", "save-off"], lambda: said(house, session))
    player.stop(session)
    done = keeper.over(backup, house)
    # Whichever is first: the reading of what the game has left, or its end.
    assert (done.state, done.reason) in ((COMPLETED, ""), (FAILED, "SESSION_ENDED"))


def test_a_schedule_backs_up_what_runs_and_keeps_the_newest(house: House, player: Player, keeper: Keeper) -> None:
    player.add_game()
    player.add_game("other")
    one, two, foreign = player.play("one"), player.play("two"), player.play("three", "other")
    made = house.json("backups", "schedule", "counter", "0 0 1 1 *", "--keep-count", "1", "--time-zone", "Asia/Tokyo")
    schedules_fall_due(house)
    until(lambda: len(keeper.all()) == 2, house.logs)
    until(lambda: all(backup.state == COMPLETED for backup in keeper.all()), lambda: f"{keeper.all()}{house.logs()}")
    assert {backup.session for backup in keeper.all()} == {one.name, two.name}
    assert foreign.name not in {backup.session for backup in keeper.all()}
    assert {backup.backup_schedule for backup in keeper.all()} == {made["name"]}
    assert house.run("backups", "unschedule", made["name"]).returncode == 0
    assert house.json("backups", "schedules")["backupSchedules"] == []


def test_all_of_it_over_rest(house: House, player: Player) -> None:
    player.add_game()
    session = player.play("mine")

    def rest(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        token = (house.data_dir / "operator.token").read_text().strip()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{house.url}/v1/{path}", data, headers, method=method)
        with urllib.request.urlopen(asked) as answer:
            told: dict[str, Any] = json.loads(answer.read())
        return told

    backup = rest("POST", "backups", {"session": session.name, "clientToken": "once"})
    until(lambda: rest("GET", backup["name"])["state"] == "BACKUP_STATE_COMPLETED", house.logs)
    assert [one["name"] for one in rest("GET", "backups?game=games/counter")["backups"]] == [backup["name"]]
    assert rest("POST", f"{backup['name']}:restore", {"saveId": "copy"})["currentVersion"] == "saves/copy/versions/1"
    assert rest("POST", "downloads", {"name": "saves/copy/versions/1"})["url"].startswith("/v1/downloads/")
    wanted = {"game": "games/counter", "cron": "0 4 * * *", "timeZone": "Europe/Berlin", "keepFor": "86400s"}
    made = rest("POST", "backupSchedules", {"backupSchedule": wanted, "clientToken": "once"})
    paused = rest("PUT", made["name"], {"cron": "0 5 * * *", "paused": True})
    assert (paused["paused"], paused["cron"], paused.get("nextTime")) == (True, "0 5 * * *", None)
    assert rest("DELETE", made["name"]) == rest("DELETE", backup["name"]) == {}
    player.stop(session)
    player.until_free()
    assert rest("GET", "saves/mine")["currentVersion"] == "saves/mine/versions/1"
    (version,) = rest("GET", "saves/mine/versions")["versions"]
    assert (version["name"], version["final"]) == ("saves/mine/versions/1", True)
    assert rest("POST", "saves/mine:restore", {"version": 1})["session"] == ""
    assert rest("DELETE", "saves/mine") == {}
