"""The seeds' own REST, to the letter, beside the house paths: thin services over the same use cases."""

from __future__ import annotations

import grpc
from quarterdeck.compat.v1.orchestrator_pb2_grpc import add_OrchestratorServiceServicer_to_server
from quarterdeck.compat.v1.sessions_pb2_grpc import add_SessionFlowServiceServicer_to_server
from quarterdeck.compat.v1.streaming_pb2_grpc import add_StreamingIngestServiceServicer_to_server

from controlplane.api.compat_orchestrator import OrchestratorServicer
from controlplane.api.compat_sessions import SessionFlowServicer
from controlplane.api.compat_streaming import StreamingIngestServicer, StreamUrls
from controlplane.api.metrics import Metrics
from controlplane.api.specs import Network
from controlplane.usecases.world import World


def serve(world: World, network: Network, metrics: Metrics, server: grpc.aio.Server) -> None:
    urls = StreamUrls(world, network)
    add_OrchestratorServiceServicer_to_server(OrchestratorServicer(world), server)
    add_StreamingIngestServiceServicer_to_server(StreamingIngestServicer(world, urls), server)
    add_SessionFlowServiceServicer_to_server(SessionFlowServicer(world, urls, metrics), server)
