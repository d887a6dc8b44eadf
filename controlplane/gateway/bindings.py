"""The REST surface of a catalogue: each google.api.http rule as a binding, checked against the messages it names.

A rule that cannot be served is left out and reported; the others are served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2, http_pb2, httpbody_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from controlplane.gateway.encode import Encoder, message_encoder
from controlplane.gateway.http_rule import RouteTable, Template, TemplateError, parse_template
from controlplane.gateway.reflection import Catalogue

HTTP_BODY = httpbody_pb2.HttpBody.DESCRIPTOR.full_name


@dataclass(frozen=True, slots=True)
class Rpc:
    """A method as a client calls it."""

    path: str
    service: str
    name: str
    input: type[Message]
    output: type[Message]
    streams: bool
    serialize: Callable[[Message], bytes]
    parse: Callable[[bytes], Message]
    encode: Encoder


@dataclass(frozen=True, slots=True)
class PathField:
    variable: str
    fields: tuple[FieldDescriptor, ...]


@dataclass(frozen=True, slots=True)
class Binding:
    """One HTTP method and path template bound to one RPC. body: None, "*" or a field; ordinal: 0, then 1, 2 … for
    the additional bindings."""

    http_method: str
    template: Template
    rpc: Rpc
    body: FieldDescriptor | str | None
    response_body: FieldDescriptor | None
    path_fields: tuple[PathField, ...]
    ordinal: int

    @property
    def raw_request(self) -> bool:
        """The body is a google.api.HttpBody: bytes as they are."""
        if isinstance(self.body, FieldDescriptor):
            return _is_http_body(self.body.message_type)
        return self.body == "*" and _is_http_body(self.rpc.input.DESCRIPTOR)

    @property
    def raw_response(self) -> bool:
        if self.response_body is not None:
            return _is_http_body(self.response_body.message_type)
        return _is_http_body(self.rpc.output.DESCRIPTOR)


@dataclass(frozen=True, slots=True)
class Routes:
    catalogue: Catalogue
    bindings: tuple[Binding, ...]
    table: RouteTable[Binding]
    problems: tuple[str, ...]


def _is_http_body(kind: Any) -> bool:
    return kind is not None and kind.full_name == HTTP_BODY


def build_routes(catalogue: Catalogue) -> Routes:
    bindings: list[Binding] = []
    problems: list[str] = []
    table: RouteTable[Binding] = RouteTable()
    encoders: dict[str, Encoder] = {}
    for service, method, options in _methods(catalogue):
        if not options.Extensions[annotations_pb2.http].WhichOneof("pattern"):
            continue
        if method.client_streaming:
            problems.append(f"{method.full_name}: a stream from the client has no form in REST")
            continue
        rpc = _rpc(service, method, encoders)
        for ordinal, rule in enumerate(_rules(options.Extensions[annotations_pb2.http])):
            try:
                binding = _binding(rpc, method, rule, ordinal)
                table.add(binding.http_method, binding.template, binding)
            except TemplateError as error:
                problems.append(f"{method.full_name}: {error}")
            else:
                bindings.append(binding)
    return Routes(catalogue, tuple(bindings), table, tuple(problems))


def _methods(
    catalogue: Catalogue,
) -> Iterator[tuple[ServiceDescriptor, MethodDescriptor, descriptor_pb2.MethodOptions]]:
    for file in catalogue.files.values():
        for service in file.service:
            full_name = f"{file.package}.{service.name}".lstrip(".")
            if full_name not in catalogue.services:
                continue
            descriptor = catalogue.pool.FindServiceByName(full_name)
            for method in service.method:
                yield descriptor, descriptor.methods_by_name[method.name], method.options


def _rpc(service: ServiceDescriptor, method: MethodDescriptor, encoders: dict[str, Encoder]) -> Rpc:
    input_, output = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    return Rpc(
        path=f"/{service.full_name}/{method.name}",
        service=service.full_name,
        name=method.name,
        input=input_,
        output=output,
        streams=method.server_streaming,
        serialize=input_.SerializeToString,
        parse=output.FromString,
        encode=message_encoder(method.output_type, encoders),
    )


def _rules(rule: http_pb2.HttpRule) -> Iterable[http_pb2.HttpRule]:
    return [rule, *rule.additional_bindings]


def _binding(rpc: Rpc, method: MethodDescriptor, rule: http_pb2.HttpRule, ordinal: int) -> Binding:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise TemplateError("a binding without a path")
    if kind == "custom":
        http_method, path = rule.custom.kind.upper(), rule.custom.path
    else:
        http_method, path = kind.upper(), getattr(rule, kind)
    template = parse_template(path)
    body: FieldDescriptor | str | None = rule.body or None
    if body is not None and body != "*":
        body = _top_field(method.input_type, rule.body, "body")
    return Binding(
        http_method=http_method,
        template=template,
        rpc=rpc,
        body=body,
        response_body=_top_field(method.output_type, rule.response_body, "response_body")
        if rule.response_body
        else None,
        path_fields=tuple(_path_field(method.input_type, v.field_path) for v in template.variables),
        ordinal=ordinal,
    )


def _top_field(message: Descriptor, name: str, what: str) -> FieldDescriptor:
    field: FieldDescriptor | None = message.fields_by_name.get(name)
    if field is None:
        raise TemplateError(f"{what}: {message.full_name} has no field {name}")
    return field


def _path_field(message: Descriptor, variable: str) -> PathField:
    fields: list[FieldDescriptor] = []
    at: Descriptor | None = message
    for name in variable.split("."):
        field = at.fields_by_name.get(name) if at is not None else None
        if field is None:
            raise TemplateError(f"the path binds {variable}, which is no field of {message.full_name}")
        if field.is_repeated:
            raise TemplateError(f"the path binds {variable}, which is repeated")
        fields.append(field)
        at = field.message_type
    return PathField(variable, tuple(fields))
