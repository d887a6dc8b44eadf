"""Envoy's gRPC-JSON transcoder in front of the same server, as the oracle of the differential test."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2

from tests.protos.compiled import LIBRARY, descriptor_set

EXTENSIONS = "type.googleapis.com/envoy.extensions"
HTTP_FILTERS = f"{EXTENSIONS}.filters.http"


def config(grpc_port: int, descriptors: Path) -> dict[str, object]:
    transcoder = {
        "@type": f"{HTTP_FILTERS}.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(descriptors),
        "services": [LIBRARY],
        "convert_grpc_status": True,
        "query_param_unescape_plus": True,
        "url_unescape_spec": "ALL_CHARACTERS_EXCEPT_SLASH",
        "print_options": {"always_print_primitive_fields": True, "stream_newline_delimited": True},
        "request_validation_options": {"reject_unknown_method": True, "reject_unknown_query_parameters": True},
    }
    router = {"name": "router", "typed_config": {"@type": f"{HTTP_FILTERS}.router.v3.Router"}}
    connection_manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "oracle",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "target", "timeout": "10s"}}],
                }
            ]
        },
        "http_filters": [{"name": "transcoder", "typed_config": transcoder}, router],
    }
    http2 = {
        "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "admin": {"address": _address(0)},
        "static_resources": {
            "listeners": [
                {
                    "name": "http",
                    "address": _address(0),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": connection_manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "target",
                    "type": "STATIC",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
                    },
                    "load_assignment": {
                        "cluster_name": "target",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(grpc_port)}}]}],
                    },
                }
            ],
        },
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _descriptors() -> bytes:
    files = descriptor_pb2.FileDescriptorSet()
    files.CopyFrom(descriptor_set())
    error_details_pb2.DESCRIPTOR.CopyToProto(files.file.add())
    return files.SerializeToString()


@contextlib.asynccontextmanager
async def envoy_in_front_of(grpc_port: int, binary: Path, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    descriptors, written, admin = folder / "library.binpb", folder / "envoy.json", folder / "admin"
    descriptors.write_bytes(_descriptors())
    written.write_text(json.dumps(config(grpc_port, descriptors)))
    log = folder / "envoy.log"
    process = await asyncio.create_subprocess_exec(
        binary, "-c", written, "--admin-address-path", admin, "--concurrency", "1", "--use-dynamic-base-id",
        "--log-path", log, "--log-level", "warning",
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            base_url = f"http://{await _listener(process, admin, log)}"
        async with httpx.AsyncClient(base_url=base_url, timeout=20) as client:
            yield client
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listener(process: asyncio.subprocess.Process, admin: Path, log: Path) -> str:
    async with httpx.AsyncClient() as client:
        while process.returncode is None:
            with contextlib.suppress(OSError, httpx.TransportError, KeyError, IndexError, ValueError):
                listeners = (await client.get(f"http://{admin.read_text()}/listeners?format=json")).json()
                bound = listeners["listener_statuses"][0]["local_address"]["socket_address"]
                ready = await client.get(f"http://{admin.read_text()}/ready")
                if ready.status_code == 200:
                    return f"{bound['address']}:{bound['port_value']}"
            await asyncio.sleep(0.05)
    raise RuntimeError(f"Envoy ended while it started: {log.read_text()}")
