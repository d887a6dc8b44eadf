"""The shared parts are what they say: tests on top of them may rely on it."""

from __future__ import annotations

import nats
import psycopg
import sqlalchemy
from nats.js.api import StreamConfig


async def test_a_killed_nats_server_comes_back_with_what_it_acknowledged(own_nats_server) -> None:
    connection = await nats.connect(own_nats_server.url)
    stream = connection.jetstream()
    await stream.add_stream(StreamConfig(name="KEPT", subjects=["kept"]))
    await stream.publish("kept", b"still here")
    await connection.close()

    own_nats_server.kill()
    own_nats_server.start()

    connection = await nats.connect(own_nats_server.url)
    message = await connection.jetstream().get_last_msg("KEPT", "kept")
    await connection.close()
    assert message.data == b"still here"


def test_each_test_has_a_database_of_its_own(database_url: str) -> None:
    engine = sqlalchemy.create_engine(database_url)
    with engine.begin() as tx:
        tx.execute(sqlalchemy.text("CREATE TABLE only_here (n integer)"))
        assert tx.execute(sqlalchemy.text("SELECT count(*) FROM only_here")).scalar() == 0
    engine.dispose()


def test_postgres_is_recent_enough_for_skip_locked_and_returning(postgres_cluster: str) -> None:
    with psycopg.connect(postgres_cluster) as connection:
        assert connection.info.server_version >= 140000


def test_ports_are_not_handed_out_twice(free_port) -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
