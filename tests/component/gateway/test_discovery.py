"""A target that comes late, goes and comes back changed, or cannot be discovered at all."""

import asyncio

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from controlplane.gateway.reflection import VERSIONS, discover
from controlplane.gateway.target import open_channel
from tests.component.gateway.conftest import gateway_of, until_ready
from tests.component.gateway.library import Library, handlers, running
from tests.ports import free_port
from tests.protos.compiled import LIBRARY, pool


async def test_a_target_may_come_later_go_and_come_back():
    port, library = free_port(), Library()
    async with gateway_of(port, library) as gateway:
        early = await gateway.client.get("/v1/seen")
        assert (early.status_code, early.json()["code"]) == (503, 14)
        assert "not known yet" in early.json()["message"]
        assert (await gateway.client.get("/readyz")).status_code == 503
        assert (await gateway.client.get("/openapi.json")).status_code == 503
        assert (await gateway.client.get("/healthz")).status_code == 200
        async with running(library, port):
            await until_ready(gateway.client)
            assert (await gateway.client.get("/v1/seen")).status_code == 200
            first = gateway.target.routes
        gone = await gateway.client.get("/v1/seen")
        assert (gone.status_code, gone.json()["code"]) == (503, 14)
        async with running(library, port):
            await until_ready(gateway.client)
            async with asyncio.timeout(30):
                while gateway.target.routes is first:
                    await asyncio.sleep(0.02)
            assert (await gateway.client.get("/v1/seen")).status_code == 200


async def test_ready_follows_the_health_of_the_target(gateway):
    await gateway.library.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    answer = await gateway.client.get("/readyz")
    assert (answer.status_code, answer.json()["message"]) == (503, "the target says that it is NOT_SERVING")
    await gateway.library.health.set("", health_pb2.HealthCheckResponse.SERVING)
    assert (await gateway.client.get("/readyz")).status_code == 200


async def test_a_target_without_a_health_service_is_ready_when_it_answers():
    library = Library()
    async with running(library, with_health=False) as port, gateway_of(port, library) as gateway:
        await until_ready(gateway.client)


async def test_a_target_without_reflection_is_named_as_the_problem():
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(Library(), LIBRARY),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with gateway_of(port, Library()) as gateway, asyncio.timeout(30):
            while "no gRPC server reflection" not in (await gateway.client.get("/v1/seen")).json()["message"]:
                await asyncio.sleep(0.02)
    finally:
        await server.stop(None)


@pytest.mark.parametrize("version", VERSIONS)
async def test_both_versions_of_reflection_are_spoken(version):
    servicer = ReflectionServicer([LIBRARY], pool=pool())
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            handlers(Library(), LIBRARY),
            grpc.method_handlers_generic_handler(version, {"ServerReflectionInfo": method}),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            catalogue = await discover(channel)
    finally:
        await server.stop(None)
    assert catalogue.services == (LIBRARY,)
    assert "google/protobuf/timestamp.proto" in catalogue.files
    service = catalogue.pool.FindServiceByName(LIBRARY)
    assert service.methods_by_name["GetBook"].input_type.full_name == "gatewaytest.v1.GetBookRequest"
    assert isinstance(catalogue.files["gatewaytest/v1/library.proto"], descriptor_pb2.FileDescriptorProto)


async def test_requests_are_counted_by_template(gateway):
    await gateway.client.get("/v1/shelves/secret/books/name")
    await gateway.client.get("/v1/nothing")
    await gateway.client.request("BREW", "/v1/nothing")
    page = (await gateway.client.get("/metrics")).text
    line = 'quarterdeck_gateway_requests_total{method="GET",route="/v1/{name=shelves/*/books/*}",status="200"} 1.0'
    assert line in page
    assert 'requests_total{method="GET",route="unmatched",status="404"} 1.0' in page
    assert 'requests_total{method="other",route="unmatched",status="404"} 1.0' in page
    assert 'request_duration_seconds_count{method="GET",route="/v1/{name=shelves/*/books/*}",status="200"} 1.0' in page
    assert "secret" not in page
