"""The REST surface as OpenAPI 3.1, made from descriptors: paths, parameters, schemas and the one form of error.

Comments become descriptions where the target's descriptors carry them; reflection often leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from starlette.requests import Request
from starlette.responses import Response

from controlplane.gateway.bindings import Binding, Routes
from controlplane.gateway.comments import Comments
from controlplane.gateway.http_rule import ANY, REST
from controlplane.gateway.schemas import Schemas, is_leaf
from controlplane.gateway.target import Target

MAX_QUERY_DEPTH = 4
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_STATUS_REF = "#/components/responses/Error"


class OpenApiPage:
    """Makes the document once for each discovery."""

    def __init__(self, target: Target, title: str) -> None:
        self.target = target
        self.title = title
        self._made: tuple[Routes, bytes] | None = None

    async def page(self, _: Request) -> Response:
        routes = self.target.known()
        if self._made is None or self._made[0] is not routes:
            self._made = (routes, orjson.dumps(document(routes, self.title)))
        return Response(self._made[1], media_type="application/json")


def document(routes: Routes, title: str) -> dict[str, Any]:
    """The whole document as plain data. Pure."""
    comments = Comments(routes.catalogue.files.values())
    schemas = Schemas(comments)
    paths: dict[str, dict[str, Any]] = {}
    taken: set[str] = set()
    for binding in routes.bindings:
        method = binding.http_method.lower()
        if method not in _METHODS:
            continue
        path, parameters = _path(binding, schemas)
        operation = _operation(binding, parameters, schemas, comments)
        operation["operationId"] = _unique(operation["operationId"], taken)
        paths.setdefault(path, {}).setdefault(method, operation)
    schemas.add_status()
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "v1"},
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {
                "Error": {
                    "description": "A google.rpc.Status. The HTTP status goes with its code.",
                    "content": {"application/json": {"schema": schemas.reference("google.rpc.Status")}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _unique(name: str, taken: set[str]) -> str:
    chosen, number = name, 2
    while chosen in taken:
        chosen, number = f"{name}{number}", number + 1
    taken.add(chosen)
    return chosen


def _operation(
    binding: Binding, parameters: list[dict[str, Any]], schemas: Schemas, comments: Comments
) -> dict[str, Any]:
    rpc = binding.rpc
    short = rpc.service.rpartition(".")[2]
    operation: dict[str, Any] = {
        "operationId": f"{short}_{rpc.name}" + (str(binding.ordinal + 1) if binding.ordinal else ""),
        "tags": [short],
        "parameters": parameters + (_query(binding, schemas) if binding.body != "*" else []),
        "responses": {"200": _answer(binding, schemas), "default": {"$ref": _STATUS_REF}},
    }
    text = comments.of(f"{rpc.service}.{rpc.name}")
    if text:
        operation["description"] = text
    if binding.body is not None:
        operation["requestBody"] = _request_body(binding, schemas)
    return operation


def _request_body(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    if binding.raw_request:
        return {"content": {"*/*": {"schema": {}}}}
    if isinstance(binding.body, FieldDescriptor):
        schema = schemas.of_field(binding.body)
    else:
        bound = {path.fields[0].name for path in binding.path_fields if len(path.fields) == 1}
        schema = schemas.message_without(binding.rpc.input.DESCRIPTOR, bound)
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _answer(binding: Binding, schemas: Schemas) -> dict[str, Any]:
    if binding.raw_response:
        return {"description": "OK", "content": {"*/*": {"schema": {}}}}
    if binding.response_body is not None:
        schema = schemas.of_field(binding.response_body)
    else:
        schema = schemas.of_message(binding.rpc.output.DESCRIPTOR)
    if not binding.rpc.streams:
        return {"description": "OK", "content": {"application/json": {"schema": schema}}}
    return {
        "description": "One message a line, or an event, sent when it comes. An error after the first one is a last"
        ' line {"error": Status}, or an event `error`; an event `end` says that the stream is complete.',
        "content": {"application/x-ndjson": {"schema": schema}, "text/event-stream": {"schema": schema}},
    }


def _path(binding: Binding, schemas: Schemas) -> tuple[str, list[dict[str, Any]]]:
    """OpenAPI's parameters are single segments, so each wildcard of a template becomes one, named after what
    stands before it: {name=games/*/deployments/*} is games/{gamesId}/deployments/{deploymentsId}."""
    template = binding.template
    simple = {v.start: index for index, v in enumerate(template.variables) if not v.multi or v.end is None}
    taken: set[str] = set()
    parts: list[str] = []
    parameters: list[dict[str, Any]] = []
    for at, segment in enumerate(template.segments):
        if segment not in (ANY, REST):
            parts.append(segment)
            continue
        schema: dict[str, Any] = {"type": "string"}
        if at in simple:
            bound = binding.path_fields[simple[at]]
            name = bound.variable
            if segment == ANY:
                schema = schemas.of_field(bound.fields[-1])
        else:
            before = template.segments[at - 1] if at else ""
            name = "id" if before in ("", ANY, REST) else f"{before}Id"
        name = _unique(name, taken)
        parameter: dict[str, Any] = {"name": name, "in": "path", "required": True, "schema": schema}
        if segment == REST:
            parameter["description"] = "May hold slashes, sent as they are."
        parameters.append(parameter)
        parts.append("{" + name + "}")
    return "/" + "/".join(parts) + (f":{template.verb}" if template.verb else ""), parameters


def _query(binding: Binding, schemas: Schemas) -> list[dict[str, Any]]:
    bound = {tuple(f.name for f in path.fields) for path in binding.path_fields}
    found = []
    for fields in _leaves(binding.rpc.input.DESCRIPTOR, (), MAX_QUERY_DEPTH):
        if tuple(f.name for f in fields) in bound or fields[0] == binding.body:
            continue
        parameter = {
            "name": ".".join(f.json_name for f in fields),
            "in": "query",
            "schema": schemas.of_field(fields[-1]),
        }
        text = schemas.comments.of(fields[-1].full_name)
        found.append(parameter | ({"description": text} if text else {}))
    return found


def _leaves(message: Any, above: tuple[FieldDescriptor, ...], depth: int) -> Iterator[tuple[FieldDescriptor, ...]]:
    descriptor: Descriptor = message
    for field in descriptor.fields:
        kind = field.message_type
        if kind is None or is_leaf(kind):
            yield (*above, field)
        elif not field.is_repeated and depth > 1:
            yield from _leaves(kind, (*above, field), depth - 1)
