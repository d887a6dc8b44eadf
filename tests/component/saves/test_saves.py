"""Saves through a whole house: play, stop, play on; restore, refuse, retain."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from quarterdeck.v1 import saves_pb2, sessions_pb2

from tests.component.saves.conftest import Player, kept_dir, objects, session_dir, until
from tests.house import House

pytestmark = pytest.mark.timeout(300)
RUNNING = sessions_pb2.SESSION_STATE_RUNNING


def starts(house: House, session: sessions_pb2.Session) -> str:
    return (session_dir(house, session) / "home" / "world" / "starts").read_text()


def refusal(call, *arguments) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        call(*arguments)
    return refused.value.code(), refused.value.details()


def test_play_stop_and_the_next_session_plays_on(house: House, player: Player) -> None:
    player.add_game()
    first = player.play()
    assert (first.state, first.save) == (RUNNING, "saves/mine")
    assert starts(house, first) == "1"
    player.say(first, "hello")
    until(lambda: (session_dir(house, first) / "home" / "world" / "said").exists())
    player.stop(first)
    save = player.until_free()
    assert (save.current_version, save.detail) == ("saves/mine/versions/1", "")

    second = player.play()
    assert starts(house, second) == "2"
    assert (session_dir(house, second) / "home" / "world" / "said").read_text() == "hello\n"
    player.stop(second)
    assert player.until_free().current_version == "saves/mine/versions/2"
    newest, oldest = player.versions()
    assert (oldest.session, newest.session, newest.final) == (first.name, second.name, True)
    assert newest.files == 2
    assert len(newest.sha256) == 64
    assert len(objects(house)) == 2
    assert list(kept_dir(house).iterdir()) == []
    assert house.json("saves", "get", "mine")["currentVersion"] == "saves/mine/versions/2"


def test_two_live_sessions_cannot_write_the_same_save(house: House, player: Player) -> None:
    player.add_game()
    first = player.play()
    code, why = refusal(player.play)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert f"{first.name} plays with saves/mine" in why
    other = player.play("other")
    assert starts(house, other) == "1"
    for verb in (saves_pb2.RestoreSaveRequest(name="saves/mine", version=1),):
        assert refusal(player.call, player.saves.RestoreSave, verb)[0] is grpc.StatusCode.NOT_FOUND
    deleting = saves_pb2.DeleteSaveRequest(name="saves/mine")
    assert refusal(player.call, player.saves.DeleteSave, deleting)[0] is grpc.StatusCode.FAILED_PRECONDITION
    player.stop(first)
    player.stop(other)
    player.until_free()
    again = player.play()
    assert starts(house, again) == "2"


def test_an_earlier_version_is_restored_and_old_ones_go(house: House, player: Player) -> None:
    player.add_game(keep_versions=2)
    for count in ("1", "2"):
        session = player.play()
        assert starts(house, session) == count
        player.stop(session)
        player.until_free()
    assert house.json("saves", "restore", "mine", "1")["currentVersion"] == "saves/mine/versions/1"
    back = player.play()
    assert starts(house, back) == "2"
    player.say(back, "another way")
    until(lambda: (session_dir(house, back) / "home" / "world" / "said").exists())
    player.stop(back)
    assert player.until_free().current_version == "saves/mine/versions/3"
    assert [version.name for version in player.versions()] == ["saves/mine/versions/3", "saves/mine/versions/2"]
    current = saves_pb2.DeleteSaveVersionRequest(name="saves/mine/versions/3")
    assert refusal(player.call, player.saves.DeleteSaveVersion, current)[0] is grpc.StatusCode.FAILED_PRECONDITION
    assert house.run("saves", "delete", "mine").returncode == 0
    assert house.json("saves", "list")["saves"] == []


def test_a_game_of_none_takes_none_and_a_save_stays_with_its_game(house: House, player: Player) -> None:
    assert refusal(player.play, "mine", "broadside")[0] is grpc.StatusCode.INVALID_ARGUMENT
    player.add_game()
    player.add_game("other")
    player.stop(player.play())
    player.until_free()
    code, why = refusal(player.play, "mine", "other")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "belongs to games/counter" in why


def test_a_running_game_is_stored_at_intervals_between_what_it_is_told(house: House, player: Player) -> None:
    player.add_game(
        interval=Duration(seconds=1),
        before_lines=["save-off"],
        settled_text="heard save-off",
        settled_within=Duration(seconds=30),
        after_lines=["save-on"],
    )
    session = player.play()
    until(lambda: player.save().current_version, house.logs)
    said = (session_dir(house, session) / "home" / "world" / "said").read_text().split()
    assert said[:1] == ["save-off"]
    first = player.versions()[-1]
    assert (first.final, first.files, first.session) == (False, 2, session.name)
    until(lambda: "save-on" in (session_dir(house, session) / "home" / "world" / "said").read_text())
    assert player.save().session == session.name
    player.stop(session)
    assert player.until_free().current_version == player.versions()[0].name
    assert player.versions()[0].final


def test_a_session_that_never_had_a_host_lets_go(house: House, player: Player) -> None:
    player.add_game()
    until(lambda: house.json("vms", "list")["vms"][0]["state"] == "VM_STATE_READY")
    assert house.run("vms", "drain", "local").returncode == 0
    request = sessions_pb2.CreateSessionRequest(game="games/counter", save_id="mine", queue_timeout=Duration(seconds=5))
    waiting = player.call(player.sessions.CreateSession, request)
    assert player.save().session == waiting.name
    until(lambda: not house.json("saves", "list")["saves"])
