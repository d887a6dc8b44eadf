"""Rules that cannot be served are reported by name, and leave the others alone."""

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool

from controlplane.gateway.bindings import build_routes
from controlplane.gateway.reflection import Catalogue


def routes_of(**paths: str):
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    message = file.message_type.add(name="M")
    message.field.add(name="name", number=1, type=9, label=1)
    message.field.add(name="names", number=2, type=9, label=3)
    service = file.service.add(name="S")
    for name, path in paths.items():
        method = service.method.add(name=name, input_type=".t.M", output_type=".t.M")
        rule = method.options.Extensions[annotations_pb2.http]
        rule.get, _, rule.body = path.partition(" ")
    pool = DescriptorPool()
    pool.Add(file)
    return build_routes(Catalogue(("t.S",), {"t.proto": file}, pool))


def test_each_problem_is_named_and_the_rest_is_served():
    made = routes_of(
        Good="/v1/{name}", Twice="/v1/{name=*}", Unknown="/v1/x/{nope}", Repeated="/v1/x/{names}",
        Scalar="/v1/x/{name.more}", Broken="/v1/{", Body="/v1/y nope",
    )  # fmt: skip
    assert [binding.rpc.name for binding in made.bindings] == ["Good"]
    assert [problem.split(":")[0] for problem in made.problems] == [
        f"t.S.{name}" for name in ("Twice", "Unknown", "Repeated", "Scalar", "Broken", "Body")
    ]
    assert "bound already" in made.problems[0]
    assert "names, which is repeated" in made.problems[2]


def test_a_service_that_is_not_listed_is_not_served():
    made = routes_of(Good="/v1/{name}")
    hidden = build_routes(Catalogue((), made.catalogue.files, made.catalogue.pool))
    assert hidden.bindings == ()
