"""The gRPC server behind the gateway: what it serves, found again whenever its connection comes back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import grpc
import structlog
from google.rpc import code_pb2
from grpc_health.v1 import health_pb2

from controlplane.gateway.bindings import Routes, build_routes
from controlplane.gateway.errors import StatusError
from controlplane.gateway.reflection import DiscoveryError, discover

_log = structlog.get_logger()

HEALTH_TIMEOUT_S = 2.0
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 15.0
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)


def open_channel(target: str) -> grpc.aio.Channel:
    """A plaintext channel that finds a restarted target again within about a second."""
    return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)


@dataclass
class Target:
    """routes is None until the target has been discovered, which `discovered` tells; problem says why."""

    channel: grpc.aio.Channel
    routes: Routes | None = None
    problem: str = "the target has not been reached yet"
    discovered: asyncio.Event = field(default_factory=asyncio.Event)

    def known(self) -> Routes:
        """Raises StatusError (UNAVAILABLE) while nothing is known of the target."""
        if self.routes is None:
            raise StatusError(
                code_pb2.UNAVAILABLE,
                f"the services behind this gateway are not known yet: {self.problem}",
                reason="TARGET_UNKNOWN",
                headers={"retry-after": "1"},
            )
        return self.routes

    async def follow(self) -> None:
        """Discovers at every (re)connection, for ever. Cancel to end."""
        while True:
            state = self.channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.READY:
                await self._discover_until_done()
            elif state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                self.problem = "the target is out of reach"
            await self.channel.wait_for_state_change(state)

    async def _discover_until_done(self) -> None:
        wait_s = FIRST_RETRY_S
        while self.channel.get_state() is grpc.ChannelConnectivity.READY:
            try:
                routes = build_routes(await discover(self.channel))
            except (DiscoveryError, grpc.aio.AioRpcError) as error:
                words = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
                self.problem = words or "reflection failed"
                _log.warning("gateway.discovery_failed", reason=self.problem, retry_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_RETRY_S)
                continue
            for problem in routes.problems:
                _log.warning("gateway.rule_left_out", reason=problem)
            _log.info("gateway.discovered", services=len(routes.catalogue.services), bindings=len(routes.bindings))
            self.routes, self.problem = routes, ""
            self.discovered.set()
            return

    async def check(self) -> None:
        """Raises StatusError (UNAVAILABLE) unless routes are known and the target says that it serves."""
        self.known()
        check = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=HEALTH_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:  # it answered, which is all that it can say
                return
            words = f"the target does not answer: {error.details()}"
            raise StatusError(code_pb2.UNAVAILABLE, words, reason="TARGET_SILENT") from None
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
            raise StatusError(code_pb2.UNAVAILABLE, f"the target says that it is {name}", reason="TARGET_NOT_SERVING")
