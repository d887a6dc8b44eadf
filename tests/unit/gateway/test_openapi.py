"""The OpenAPI document of the library, made from descriptors with comments."""

import json
import re

import pytest

from controlplane.gateway.bindings import build_routes
from controlplane.gateway.openapi import document
from controlplane.gateway.reflection import Catalogue
from tests.protos.compiled import LIBRARY, descriptor_set, pool


@pytest.fixture(scope="module")
def made():
    files = {file.name: file for file in descriptor_set().file}
    return document(build_routes(Catalogue((LIBRARY,), files, pool())), "Library")


def operations(made):
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_reference_leads_somewhere(made):
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(made)):
        at = made
        for part in reference.split("/"):
            at = at[part]
        assert isinstance(at, dict)


def test_paths_and_their_parameters_agree(made):
    ids = [operation["operationId"] for _, _, operation in operations(made)]
    assert len(ids) == len(set(ids))
    for path, _, operation in operations(made):
        declared = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        assert re.findall(r"{([^}]+)}", path) == declared


def test_a_template_with_wildcards_becomes_plain_segments(made):
    operation = made["paths"]["/v1/shelves/{shelvesId}/books/{booksId}"]["get"]
    assert operation["operationId"] == "Library_GetBook"
    assert operation["description"] == "One book, by its name."
    assert [(p["name"], p["in"]) for p in operation["parameters"]] == [
        ("shelvesId", "path"),
        ("booksId", "path"),
        ("full", "query"),
    ]
    assert operation["responses"]["200"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/gatewaytest.v1.Book"
    }
    assert "/v1/shelves/{shelvesId}:archive" in made["paths"]


def test_bodies_leave_out_what_the_path_gives(made):
    body = made["paths"]["/v1/shelves/{shelvesId}:archive"]["post"]["requestBody"]
    assert list(body["content"]["application/json"]["schema"]["properties"]) == ["reason"]
    created = made["paths"]["/v1/shelves/{shelvesId}/books"]["post"]
    assert created["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("Book")
    assert [p["name"] for p in created["parameters"] if p["in"] == "query"] == ["bookId"]


def test_schemas_follow_the_json_mapping(made):
    schemas = made["components"]["schemas"]
    everything = schemas["gatewaytest.v1.Everything"]["properties"]
    assert everything["int64"]["type"] == "string"
    assert everything["bytes"] == {"type": "string", "contentEncoding": "base64"}
    assert everything["timestamp"]["format"] == "date-time"
    assert everything["byNumber"]["additionalProperties"] == {"$ref": "#/components/schemas/gatewaytest.v1.Nested"}
    assert everything["strings"] == {"type": "array", "items": {"type": "string"}}
    assert "anotherName" in everything
    assert schemas["gatewaytest.v1.Color"]["enum"] == ["COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_GREEN"]
    assert schemas["gatewaytest.v1.Book"]["description"] == "A book\nof a shelf."
    assert schemas["gatewaytest.v1.Book"]["properties"]["name"]["description"] == "shelves/{shelf}/books/{book}"
    assert schemas["google.rpc.Status"]["required"] == ["code", "message", "details"]


def test_streams_and_errors_are_told(made):
    ticks = made["paths"]["/v1/ticks/{count}"]["get"]["responses"]
    assert set(ticks["200"]["content"]) == {"application/x-ndjson", "text/event-stream"}
    assert ticks["default"] == {"$ref": "#/components/responses/Error"}
    names = [p["name"] for p in made["paths"]["/v1/everything"]["get"]["parameters"]]
    assert {"nested.text", "nested.deeper.numbers", "timestamp", "struct", "int64Value"} <= set(names)
    assert "counts" not in names
    assert "search" not in made["paths"]["/v1/everything"]
