"""Traces of a real house, received by a real OTLP/gRPC server: one leads from the request to the transactions."""

from __future__ import annotations

import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.house import House

pytestmark = pytest.mark.timeout(240)

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{CALLER}-00f067aa0ba902b7-01"
WITHIN_S = 60.0


@dataclass(frozen=True)
class Span:
    service: str
    name: str
    trace: str
    id: str
    parent: str
    facts: dict[str, str]
    failed: bool


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP/gRPC collector that keeps what it is sent."""

    def __init__(self) -> None:
        self._sent: queue.Queue[Span] = queue.Queue()
        self.spans: list[Span] = []
        self._server = grpc.server(ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def Export(self, request, context):
        for resource in request.resource_spans:
            about = {entry.key: entry.value.string_value for entry in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    facts = {e.key: e.value.string_value or str(e.value.int_value) for e in span.attributes}
                    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                    self._sent.put(Span(about["service.name"], span.name, *ids, facts, span.status.code == 2))
        return trace_service_pb2.ExportTraceServiceResponse()

    def until(self, name: str, trace: str) -> Span:
        """The span of that name and trace, waited for."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            for span in self.spans:
                if (span.name, span.trace) == (name, trace):
                    return span
            self.spans.append(self._sent.get(timeout=max(0.0, deadline - time.monotonic())))

    def close(self) -> None:
        self._server.stop(None).wait()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def test_one_trace_leads_from_the_request_over_the_call_to_its_transactions(
    collector: Collector, tmp_path: Path
) -> None:
    collecting = {"otlp_endpoint": f"http://127.0.0.1:{collector.port}", "log_format": "json"}
    with House(tmp_path, "--no-agent", **collecting) as house:
        token = (house.data_dir / "operator.token").read_text().strip()
        headers = {"authorization": f"Bearer {token}", "traceparent": TRACEPARENT}
        asked = httpx.post(
            f"{house.url}/v1/vms",
            headers=headers,
            json={"vmId": "den-1", "region": "local", "template": "local"},
            timeout=30,
        )
        assert asked.status_code == 200, asked.text
        refused = httpx.get(f"{house.url}/v1/vms/nowhere", headers=headers, timeout=30)
        assert refused.status_code == 404
        quiet = httpx.get(f"{house.url}/readyz", timeout=30)
        assert quiet.status_code == 200

        method = "quarterdeck.v1.VmService/CreateVm"
        request, call = collector.until("POST", CALLER), collector.until(method, CALLER)
        transaction = collector.until("transaction", CALLER)
        missed = collector.until("quarterdeck.v1.VmService/GetVm", CALLER)
    assert (request.parent, request.service) == ("00f067aa0ba902b7", "quarterdeck-all")
    assert request.facts == {"http.route": "/v1/vms", "http.response.status_code": "200"}
    assert (call.parent, call.facts["rpc.response.status_code"]) == (request.id, "OK")
    assert call.facts["quarterdeck.request_id"] == asked.headers["x-request-id"]
    assert transaction.parent == call.id
    assert (missed.facts["rpc.response.status_code"], missed.failed) == ("NOT_FOUND", False)
    by_the_clock = [span for span in collector.spans if span.trace != CALLER and not span.parent]
    assert [span.name for span in by_the_clock if span.name in ("transaction", "reading")] == []
    assert "/readyz" not in {span.facts.get("http.route") for span in collector.spans}


def test_a_collector_that_is_away_costs_nobody_a_call(tmp_path: Path, free_port) -> None:
    with House(tmp_path, "--no-agent", otlp_endpoint=f"http://127.0.0.1:{free_port()}") as house:
        assert house.json("vms", "list") == {"vms": [house.json("vms", "get", "local")]}


def test_without_an_endpoint_nothing_of_it_is_loaded() -> None:
    program = (
        "import sys, asyncio, contextlib\n"
        "from controlplane import tracing\n"
        "from controlplane.interfaces.spans import NoSpans\n"
        "spans = tracing.opened(contextlib.AsyncExitStack(), '', 'api', 'r')\n"
        "assert isinstance(spans, NoSpans)\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
