"""A backup whose control plane is killed in the midst of it: it is completed, whole, and there is one of it."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import urllib.request

import pytest
from quarterdeck.v1 import backups_pb2

from controlplane.adapters.store.audit import violations
from tests.component.saves.conftest import Player, until
from tests.component.saves.test_backups import COMPLETED, Keeper
from tests.component.saves.test_faults import FILLING, SIZE, far_house, far_player, frozen, s3, world
from tests.house import House
from tests.s3 import S3Server

__all__ = ["far_house", "far_player", "s3"]
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("deaths", [1, 3])
def test_killed_while_a_backup_is_stored_the_control_plane_has_it_made_all_the_same(
    far_house: House, far_player: Player, s3: S3Server, deaths: int
) -> None:
    far_player.add_game(program=FILLING)
    keeper = Keeper(far_player)
    session = far_player.play("")
    freeze = frozen(s3)
    backup = keeper.create(session, "once")
    for _ in range(deaths):
        until(lambda: keeper.get(backup.name).state == backups_pb2.BACKUP_STATE_RUNNING, far_house.logs)
        killed = far_house.pid("all")
        os.kill(killed, signal.SIGKILL)
        until(lambda killed=killed: {*far_house.pids("all")} - {killed}, far_house.logs)
    freeze.resume()
    done = keeper.over(backup, far_house)
    assert (done.state, done.reason, done.content_bytes) == (COMPLETED, "", SIZE + 1)
    assert keeper.create(session, "once").name == done.name
    assert [one.name for one in keeper.all()] == [done.name]
    url = keeper.download(done.name).url
    assert url.startswith(f"{s3.endpoint}/")  # the object store's own, signed for a while
    with urllib.request.urlopen(url) as answer:
        assert hashlib.sha256(answer.read()).hexdigest() == done.sha256
    far_player.stop(session)
    keeper.restore(done, "copy")
    again = far_player.play("copy")
    assert (world(far_house, again) / "starts").read_text() == "2"
    assert (world(far_house, again) / "map").read_bytes() == random.Random(2).randbytes(SIZE)
    assert violations(f"sqlite:///{far_house.data_dir / 'quarterdeck.db'}") == []
