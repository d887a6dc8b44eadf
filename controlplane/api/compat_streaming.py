"""The streaming ingest service of seed 001: URLs and status, over the house's stream tokens and sessions."""

from __future__ import annotations

from typing import Any

from quarterdeck.compat.v1 import streaming_pb2 as pb
from quarterdeck.compat.v1 import streaming_pb2_grpc as rpc

from controlplane.api import identity
from controlplane.api.mapping.compat import moment, stream_status
from controlplane.api.specs import Network
from controlplane.api.streaming import PLAYER, SIGNALLING_PATH
from controlplane.usecases import sessions, streaming
from controlplane.usecases.world import World

# The gateway's own, as the client has addressed it; a gRPC client comes without, and gets a path.
ORIGIN_KEY = "x-gateway-origin"


class StreamUrls:
    """`of` makes the answer that opens one connection to one session."""

    def __init__(self, world: World, network: Network) -> None:
        self._world = world
        self._network = network

    async def of(self, session_id: str, context: Any) -> pb.StreamUrl:
        """Raises NotFound, WrongState (finished, or nothing to see)."""
        token, ends_at = await streaming.create_stream_token(self._world, identity.principal(), session_id, PLAYER)
        ice = [
            pb.StreamIceServer(urls=server.urls, username=server.username, credential=server.credential)
            for server in self._network.ice_servers
        ]
        return pb.StreamUrl(
            session_id=session_id,
            signaling_url=_socket_origin(context) + SIGNALLING_PATH,
            stream_token=token,
            expires_at=moment(ends_at),
            ice_servers=ice,
        )


class StreamingIngestServicer(rpc.StreamingIngestServiceServicer):
    def __init__(self, world: World, urls: StreamUrls) -> None:
        self._world = world
        self._urls = urls

    async def CreateStreamUrl(self, request: pb.CreateStreamUrlRequest, context: Any) -> pb.StreamUrl:
        return await self._urls.of(request.session_id, context)

    async def GetStreamStatus(self, request: pb.GetStreamStatusRequest, context: Any) -> pb.StreamStatus:
        view = await sessions.get_session(self._world, identity.principal(), request.session_id)
        return stream_status(view.session)


def _socket_origin(context: Any) -> str:
    metadata = dict(context.invocation_metadata() or ())
    origin = str(metadata.get(ORIGIN_KEY, ""))
    return origin.replace("http", "ws", 1) if origin.startswith(("http://", "https://")) else ""
