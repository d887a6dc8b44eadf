"""Every refusal is a google.rpc.Status that names the field or the reason, and reaches no server."""

import asyncio

import httpx
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def gateway(shared_gateway):
    shared_gateway.library.requests.clear()
    return shared_gateway


REFUSED_BODIES = [
    ({"strng": "x"}, "strng"),
    ({"nested": {"deeper": {"txt": 1}}}, "nested.deeper.txt"),
    ({"nesteds": [{}, {"nope": 1}]}, "nesteds[1].nope"),
    ({"string": 5}, "string"),
    ({"bool": "true"}, "bool"),
    ({"int32": 1.5}, "int32"),
    ({"int32": 2147483648}, "int32"),
    ({"int64": "9223372036854775808"}, "int64"),
    ({"uint32": -1}, "uint32"),
    ({"int64": "1_0"}, "int64"),
    ({"int64": True}, "int64"),
    ({"float": 1e39}, "float"),
    ({"double": "many"}, "double"),
    ({"color": "COLOR_PINK"}, "color"),
    ({"color": []}, "color"),
    ({"bytes": "***"}, "bytes"),
    ({"nested": []}, "nested"),
    ({"strings": "a"}, "strings"),
    ({"strings": [None]}, "strings[0]"),
    ({"counts": {"a": "x"}}, "counts['a']"),
    ({"byNumber": {"seven": {}}}, "byNumber['seven']"),
    ({"timestamp": "yesterday"}, "timestamp"),
    ({"timestamp": 5}, "timestamp"),
    ({"duration": "5"}, "duration"),
    ({"int64Value": "x"}, "int64Value"),
    ({"struct": []}, "struct"),
    ({"any": {"@type": "type.googleapis.com/nobody.Knows"}}, "any"),
    ({"left": "a", "right": {}}, "right"),
    ({"anotherName": "a", "renamed": "b"}, "renamed"),
]


@pytest.mark.parametrize(("body", "field"), REFUSED_BODIES)
async def test_a_bad_body_is_refused_by_the_name_of_its_field(gateway, body, field):
    answer = await gateway.client.post("/v1/everything", json=body)
    shown = answer.json()
    assert answer.status_code == 400
    assert shown["code"] == 3
    assert shown["message"].startswith(f"{field}: ")
    info, detail = shown["details"]
    assert (info["reason"], info["domain"]) == ("INVALID_FIELDS", "quarterdeck")
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert detail["fieldViolations"][0]["field"] == field
    assert gateway.library.requests == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not valid JSON"),
        (b'{"string": "a",}', "not valid JSON"),
        (b'{"double": NaN}', "NaN"),
        (b'{"string": "a", "string": "b"}', "string: given twice"),
        (b'"text"', "expected an object"),
        (b"\xff", "not UTF-8, at byte 0"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"int64": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"nested":' + b'{"deeper":' * 100 + b"{}" + b"}" * 101, "nested deeper"),
        (b'{"string": "\\ud800"}', "string: "),
    ],
)
async def test_bad_json_names_the_problem(gateway, body, words):
    answer = await gateway.client.post("/v1/everything", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert words in answer.json()["message"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("nope=1", "nope"),
        ("nested.nope=1", "nested.nope"),
        ("string.x=1", "string.x"),
        ("nested=1", "nested"),
        ("nesteds.text=1", "nesteds.text"),
        ("counts=1", "counts"),
        ("counts.a=1", "counts.a"),
        ("int32=1&int32=2", "int32"),
        ("int32=x", "int32"),
        ("bool=1", "bool"),
        ("color=COLOR_PINK", "color"),
        ("timestamp=x", "timestamp"),
        ("struct=x", "struct"),
        ("left=a&right.text=b", "right.text"),
        ("any=1", "any"),
    ],
)
async def test_a_bad_query_is_refused_by_the_name_of_its_field(gateway, query, field):
    answer = await gateway.client.get(f"/v1/everything?{query}")
    assert answer.status_code == 400
    assert answer.json()["details"][1]["fieldViolations"][0]["field"] == field


async def test_what_path_or_body_give_cannot_come_from_the_query(gateway):
    by_path = await gateway.client.get("/v1/shelves/a/books/b?name=c")
    assert "given by the path" in by_path.json()["message"]
    by_body = await gateway.client.post("/v1/shelves/a/books?book.title=x", json={})
    assert by_body.json()["message"] == "book.title: belongs in the body"
    whole = await gateway.client.post("/v1/everything?string=x", json={})
    assert "reads nothing from the query" in whole.json()["message"]
    against = await gateway.client.post("/v1/shelves/a:archive", json={"name": "shelves/b"})
    assert "different values" in against.json()["message"]
    same = await gateway.client.post("/v1/shelves/a:archive", json={"name": "shelves/a"})
    assert same.status_code == 200
    bodiless = await gateway.client.request("GET", "/v1/everything", json={"string": "x"})
    assert "takes no body" in bodiless.json()["message"]


async def test_unknown_paths_and_methods(gateway):
    missing = await gateway.client.get("/v1/nothing/here")
    assert (missing.status_code, missing.json()["code"]) == (404, 5)
    other = await gateway.client.post("/v1/shelves/a/books/b", json={})
    assert (other.status_code, other.json()["code"]) == (405, 12)
    assert other.headers["allow"] == "DELETE, GET, PATCH, PUT"
    own = await gateway.client.post("/healthz")
    assert (own.status_code, own.json()["code"]) == (405, 12)
    assert "GET" in own.headers["allow"]
    assert (await gateway.client.get("/v1/shelves/a:archive")).headers["allow"] == "POST"
    assert (await gateway.client.get("/v1/files/%ff")).status_code == 400


async def test_streams_from_the_client_are_not_exposed(gateway):
    assert (await gateway.client.post("/v1/chat", json={})).status_code == 404


@pytest.mark.parametrize(
    ("code", "http"),
    [(1, 499), (2, 500), (3, 400), (4, 504), (5, 404), (6, 409), (7, 403), (8, 429), (9, 400), (10, 409), (11, 400),
     (12, 501), (13, 500), (14, 503), (15, 500), (16, 401)],
)  # fmt: skip
async def test_a_status_keeps_its_code_message_and_details(gateway, code, http):
    answer = await gateway.client.get(f"/v1/fail/{code}")
    shown = answer.json()
    assert (answer.status_code, shown["code"], shown["message"]) == (http, code, "as asked")
    assert shown["details"][0] == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ASKED", "domain": "library", "metadata": {},
    }  # fmt: skip
    assert shown["details"][1]["retryDelay"] == "1.500s"
    assert answer.headers["retry-after"] == "2"
    assert answer.headers.get("www-authenticate") == ("Bearer" if code == 16 else None)


async def test_a_detail_of_an_unknown_type_stays_readable(gateway):
    answer = await gateway.client.get("/v1/fail/5?foreignDetail=true")
    assert answer.json()["details"] == [{"@type": "type.googleapis.com/nobody.Knows", "value": "CAE="}]


async def test_a_deadline_of_the_client_is_kept_and_a_bad_one_refused(gateway):
    late = await gateway.client.get("/v1/hang", headers={"grpc-timeout": "50m"})
    assert (late.status_code, late.json()["code"]) == (504, 4)
    bad = await gateway.client.get("/v1/hang", headers={"grpc-timeout": "soon"})
    assert (bad.status_code, bad.json()["details"][1]["fieldViolations"][0]["field"]) == (400, "Grpc-Timeout")


async def test_eight_mebibytes_are_refused_unread_while_one_passes(gateway):
    async def body(chunks):
        yield b'{"string": "'
        for _ in range(chunks):
            yield b"x" * 65536
        yield b'"}'

    passing = asyncio.create_task(gateway.client.post("/v1/everything", content=body(16)))
    declared = await gateway.client.post("/v1/everything", json={"string": "x" * (8 * 1024 * 1024)})
    assert (declared.status_code, declared.json()["code"]) == (413, 8)
    assert "4194304" in declared.json()["message"]
    chunked = await gateway.client.post("/v1/everything", content=body(128))
    assert chunked.status_code == 413
    passed = await passing
    assert (passed.status_code, len(passed.json()["string"])) == (200, 1024 * 1024)
    assert len(gateway.library.requests) == 1


async def test_the_rest_of_a_refused_body_is_not_waited_for(gateway):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /v1/everything HTTP/1.1\r\nhost: x\r\ncontent-length: 8388608\r\n\r\n{")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_a_page_of_another_origin_may_read_nothing_and_change_nothing(gateway):
    body = {"string": "x"}
    foreign = await gateway.client.post("/v1/everything", json=body, headers={"origin": "https://evil.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, 7)
    site = await gateway.client.post("/v1/everything", json=body, headers={"sec-fetch-site": "cross-site"})
    assert site.status_code == 403
    own = httpx.URL(f"http://127.0.0.1:{gateway.port}")
    assert (await gateway.client.post("/v1/everything", json=body, headers={"origin": str(own)})).status_code == 200
