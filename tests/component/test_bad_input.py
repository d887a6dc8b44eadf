"""Bad input over the gateway of a whole house: refused by field or reason, and the database is as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.contract.store.rows import synchronous
from tests.house import House

pytestmark = pytest.mark.timeout(300)

# What moves by itself: heartbeats, and events and jobs on their way.
ALIVE = {"hosts": ("last_heartbeat_at", "version", "report_sequence"), "outbox": ("lease_until", "published_at")}
MOVING = ("feed", "inbox", "alembic_version", "tides", "log_heads", "log_chunks")
TOLD_BY_A_JOB = "quarterdeck.region.low_capacity"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        house.json("sessions", "create", "broadside", "--wait")
        yield house


def token(house: House) -> str:
    return (house.data_dir / "operator.token").read_text().strip()


def rows(house: House) -> dict[str, Any]:
    """Everything that is written by request."""
    found = {}
    engine = synchronous(f"sqlite:///{house.data_dir / 'quarterdeck.db'}")
    with engine.connect() as connection:
        for table in sa.inspect(engine).get_table_names():
            if table not in MOVING:
                read = connection.execute(sa.text(f"SELECT * FROM {table}")).mappings()
                found[table] = sorted(
                    json.dumps({k: str(v) for k, v in row.items() if k not in ALIVE.get(table, ())})
                    for row in read
                    if row.get("type") != TOLD_BY_A_JOB
                )
    return found


def ask(house: House, method: str, path: str, body: object = None, bearer: str | None = None) -> httpx.Response:
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if bearer != "":
        headers["Authorization"] = f"Bearer {bearer or token(house)}"
    return httpx.request(method, f"{house.url}{path}", content=content, headers=headers, timeout=30)


GAME = "games/broadside"
PORT = {"portName": "query", "protocol": "udp", "gamePort": -1}
REFUSED = {
    "unknown field": ("POST", "/v1/sessions", {"game": GAME, "colour": "red"}, 400, "colour"),
    "unknown field in the query": ("GET", "/v1/sessions?colour=red", None, 400, "colour"),
    "wrong enum": ("GET", "/v1/sessions?states=NAPPING", None, 400, "states"),
    "wrong type": ("POST", "/v1/sessions", {"game": 7}, 400, "game"),
    "negative time": ("POST", "/v1/sessions", {"game": GAME, "lostAfter": "-1s"}, 400, "lostAfter"),
    "negative port": (
        "POST",
        f"/v1/{GAME}/deployments",
        {"command": ["x"], "picture": "PICTURE_NONE", "ports": [PORT]},
        400,
        "gamePort",
    ),
    "a name that climbs": ("GET", "/v1/sessions/..%2F..%2Fetc", None, 400, "name"),
    "no such game": ("POST", "/v1/sessions", {"game": "games/none-such"}, 404, "GAME_NOT_FOUND"),
    "no such preset": ("POST", "/v1/sessions", {"game": GAME, "preset": "none-such"}, 400, "PRESET_UNKNOWN"),
    "ten megabytes": ("POST", "/v1/sessions", b'{"game": "' + b"x" * 10_000_000 + b'"}', 413, "bytes"),
    "no JSON": ("POST", "/v1/sessions", b"{", 400, "JSON"),
    "another method": ("PUT", "/v1/sessions", {}, 405, "PUT"),
}


@pytest.mark.parametrize(("method", "path", "body", "status", "word"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused_by_name_and_changes_nothing(
    house: House, method: str, path: str, body: object, status: int, word: str
) -> None:
    before = rows(house)
    answer = ask(house, method, path, body)
    assert answer.status_code == status, answer.text
    assert word in answer.text
    assert set(answer.json()) == {"code", "message", "details"}
    assert rows(house) == before


def test_tokens_that_are_wrong_or_used_up_open_nothing(house: House) -> None:
    code = ask(house, "POST", "/v1/account:createSignInCode", {}).json()["code"]
    assert ask(house, "POST", "/v1/account:signIn", {"code": code}, bearer="").status_code == 200
    before = rows(house)
    for bearer, reason in (("", "TOKEN_MISSING"), ("nonsense", "TOKEN_INVALID"), (code, "TOKEN_INVALID")):
        answer = ask(house, "POST", "/v1/sessions", {"game": GAME}, bearer=bearer)
        assert (answer.status_code, reason in answer.text) == (401, True), answer.text
    again = ask(house, "POST", "/v1/account:signIn", {"code": code}, bearer="")
    assert (again.status_code, "SIGN_IN_CODE_INVALID" in again.text) == (401, True), again.text
    assert rows(house) == before


def test_a_stream_token_opens_its_own_session_once(house: House) -> None:
    """The token alone says which session it is for: there is no way to name another beside it."""
    session = ask(house, "GET", "/v1/sessions?states=SESSION_STATE_RUNNING").json()["sessions"][0]["name"]
    made = ask(house, "POST", f"/v1/{session}:createStreamToken", {}).json()["token"]
    head, _, signature = made.rpartition(".")
    forged = f"{head}.{signature[::-1]}"
    with connect(signalling(house), origin=house.url) as first:
        first.send(json.dumps({"streamToken": made}))
        assert "offer" in first.recv(timeout=30).lower()
    before = rows(house)
    for first_message, reason in (
        ({"streamToken": made}, "used"),
        ({"streamToken": forged}, "not"),
        ({"streamToken": token(house)}, "not"),
        ({"streamToken": made, "session": session}, "streamToken"),
    ):
        with connect(signalling(house), origin=house.url) as socket:
            socket.send(json.dumps(first_message))
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code in (1008, 4016)
        assert reason in closed.value.rcvd.reason, closed.value.rcvd
    assert rows(house) == before


def signalling(house: House) -> str:
    return f"ws://127.0.0.1:{house.http_port}/v1/signalling"
