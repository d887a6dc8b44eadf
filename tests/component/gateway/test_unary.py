"""Requests and answers without a stream, through real HTTP and real gRPC."""

import base64

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def gateway(shared_gateway):
    shared_gateway.library.requests.clear()
    return shared_gateway


async def test_path_variables_and_query_reach_the_request(gateway):
    answer = await gateway.client.get("/v1/shelves/a/books/b", params={"full": "true"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"name": "shelves/a/books/b", "title": "full", "pages": "9007199254740993"}


async def test_a_body_field_takes_the_body_and_the_rest_comes_from_the_query(gateway):
    answer = await gateway.client.post("/v1/shelves/a/books?book_id=7", json={"title": "T", "pages": "12"})
    assert answer.json() == {"name": "shelves/a/books/7", "title": "T", "pages": "12"}


async def test_nested_fields_in_the_path_and_a_field_mask_in_the_query(gateway):
    answer = await gateway.client.patch("/v1/shelves/a/books/b?updateMask=title,pages", json={"title": "T"})
    assert answer.json()["name"] == "shelves/a/books/b"
    assert list(gateway.library.requests[-1].update_mask.paths) == ["title", "pages"]


async def test_an_additional_binding_with_another_method_and_body(gateway):
    answer = await gateway.client.put("/v1/shelves/a/books/b", json={"book": {"title": "T"}, "updateMask": "title"})
    assert answer.json() == {"name": "shelves/a/books/b", "title": "T", "pages": "0"}


async def test_delete_answers_with_an_empty_object(gateway):
    answer = await gateway.client.delete("/v1/shelves/a/books/b")
    assert (answer.status_code, answer.json()) == (200, {})


async def test_a_verb_and_a_custom_method(gateway):
    archived = await gateway.client.post("/v1/shelves/a:archive", json={"reason": "full"})
    assert archived.json() == {"name": "shelves/a", "reason": "full"}
    searched = await gateway.client.request("SEARCH", "/v1/everything", json={"string": "x"})
    assert searched.json()["string"] == "x"


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ("/v1/files/a/b%2Fc", "a/b%2Fc"),
        ("/v1/files/a%20b/%C3%A9", "a b/é"),
        ("/v1/files/a:other", "a:other"),
        ("/v1/files/a/b:stat", "a/b"),
        ("/v1/files/special", ""),
    ],
)
async def test_templates_of_several_segments(gateway, sent, path):
    answer = await gateway.client.get(sent)
    assert answer.json()["path"] == path


async def test_every_type_goes_there_and_back(gateway):
    sent = {
        "string": "ü\u0000",
        "bytes": base64.b64encode(b"\xff\x00").decode(),
        "bool": True,
        "int32": -5,
        "int64": "-9223372036854775808",
        "uint32": 4294967295,
        "uint64": "18446744073709551615",
        "float": 1.5,
        "double": "NaN",
        "color": "COLOR_RED",
        "nested": {"text": "t", "numbers": [1, 2], "deeper": {"text": "d", "numbers": []}},
        "strings": ["a", ""],
        "int64s": ["1", "2"],
        "colors": ["COLOR_GREEN", "COLOR_UNSPECIFIED"],
        "nesteds": [{"text": "n", "numbers": []}],
        "counts": {"a": "1"},
        "byNumber": {"7": {"text": "seven", "numbers": []}},
        "timestamp": "2026-01-02T03:04:05.678Z",
        "duration": "3.500s",
        "mask": "nested.text,int64s",
        "struct": {"a": [1.0, "x", None, {"b": True}]},
        "value": None,
        "listValue": [1.0, "x"],
        "int64Value": "7",
        "boolValue": False,
        "stringValue": "",
        "bytesValue": "AQ==",
        "doubleValue": 0.5,
        "maybe": 0,
        "left": "",
        "any": {"@type": "type.googleapis.com/gatewaytest.v1.Tick", "number": 3},
        "sint64": "-1",
        "fixed32": 9,
        "anotherName": "r",
        "durations": ["1s", "0.250s"],
    }
    answer = await gateway.client.post("/v1/everything", json=sent)
    shown = answer.json()
    assert answer.status_code == 200, shown
    assert {key: shown[key] for key in sent} == sent


async def test_enums_by_number_names_of_both_kinds_and_the_second_base64(gateway):
    answer = await gateway.client.post(
        "/v1/everything", json={"color": 2, "bool_value": True, "bytes": "_-8", "int64": 5, "int32": "6", "uint32": 7.0}
    )
    shown = answer.json()
    assert (shown["color"], shown["boolValue"], shown["bytes"]) == ("COLOR_GREEN", True, "/+8=")
    assert (shown["int64"], shown["int32"], shown["uint32"]) == ("5", 6, 7)


async def test_the_query_holds_lists_nested_fields_and_well_known_types(gateway):
    query = [
        ("strings", "a"), ("strings", "b"), ("nested.text", "t"), ("nested.deeper.numbers", "1"),
        ("nested.deeper.numbers", "2"), ("color", "1"), ("colors", "COLOR_RED"), ("colors", "2"),
        ("int64Value", "9"), ("bool_value", "true"), ("timestamp", "2026-01-02T03:04:05Z"), ("duration", "1.5s"),
        ("mask", "a,b"), ("struct", '{"a":1}'), ("value", '"v"'), ("bytes", "AQI"), ("maybe", "0"),
        ("another_name", "r"), ("durations", "1s"), ("durations", "2s"),
    ]  # fmt: skip
    query[17] = ("anotherName", "r")
    answer = await gateway.client.get("/v1/everything", params=query)
    shown = answer.json()
    assert answer.status_code == 200, shown
    assert shown["strings"] == ["a", "b"]
    assert shown["nested"] == {"text": "t", "numbers": [], "deeper": {"text": "", "numbers": [1, 2]}}
    assert (shown["color"], shown["colors"]) == ("COLOR_RED", ["COLOR_RED", "COLOR_GREEN"])
    assert (shown["int64Value"], shown["boolValue"], shown["maybe"]) == ("9", True, 0)
    assert (shown["timestamp"], shown["duration"], shown["mask"]) == ("2026-01-02T03:04:05Z", "1.500s", "a,b")
    assert (shown["struct"], shown["value"], shown["bytes"]) == ({"a": 1.0}, "v", "AQI=")
    assert (shown["anotherName"], shown["durations"]) == ("r", ["1s", "2s"])


async def test_typed_path_variables(gateway):
    assert (await gateway.client.get("/v1/everything/number/-12")).json()["int64"] == "-12"
    assert (await gateway.client.get("/v1/everything/color/COLOR_RED")).json()["color"] == "COLOR_RED"
    assert (await gateway.client.get("/v1/everything/text/a%2Fb%20c")).json()["string"] == "a/b c"
    nested = await gateway.client.post("/v1/everything/nested/x", json=["p", "q"])
    assert (nested.json()["nested"]["text"], nested.json()["strings"]) == ("x", ["p", "q"])


async def test_response_body_answers_with_one_field(gateway):
    assert (await gateway.client.post("/v1/everything/titled", json={"string": "only"})).json() == "only"
    listed = await gateway.client.post("/v1/everything/listed", json={"nesteds": [{"text": "a"}]})
    assert listed.json() == [{"text": "a", "numbers": []}]
    assert (await gateway.client.post("/v1/everything/listed", json={})).json() == []


async def test_http_bodies_pass_as_they_are(gateway):
    down = await gateway.client.get("/v1/downloads/a/b.txt")
    assert (down.text, down.headers["content-type"]) == ("a/b.txt", "text/x-path")
    up = await gateway.client.post("/v1/uploads/f", content=b"\x00\xff{", headers={"content-type": "image/x"})
    assert up.json() == {"path": "f", "size": "3", "contentType": "image/x"}


async def test_an_empty_body_is_an_empty_message_and_head_answers_as_get(gateway):
    assert (await gateway.client.post("/v1/everything")).status_code == 200
    head = await gateway.client.head("/v1/shelves/a/books/b")
    assert (head.status_code, head.content) == (200, b"")


async def test_identity_request_id_and_deadline_travel_on(gateway):
    answer = await gateway.client.get(
        "/v1/seen", headers={"authorization": "Bearer t", "x-request-id": "r-1", "cookie": "a=b", "grpc-timeout": "5S"}
    )
    seen = answer.json()
    assert seen["metadata"]["authorization"] == "Bearer t"
    assert seen["metadata"]["x-request-id"] == answer.headers["x-request-id"] == "r-1"
    assert "cookie" not in seen["metadata"]
    assert 0 < seen["timeLeft"] < 6  # gRPC rounds what it sends


async def test_a_missing_or_odd_request_id_is_replaced_and_unary_calls_have_a_deadline(gateway):
    answer = await gateway.client.get("/v1/seen", headers={"x-request-id": "bad id!"})
    made = answer.headers["x-request-id"]
    assert len(made) == 32
    assert answer.json()["metadata"]["x-request-id"] == made
    assert 300 < answer.json()["timeLeft"] < 312
