"""PortService: host ports, translated."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from google.protobuf.empty_pb2 import Empty
from quarterdeck.v1 import ports_pb2 as pb
from quarterdeck.v1 import ports_pb2_grpc as rpc

from controlplane.api import identity, pages
from controlplane.api.hosts import ANY_TIME
from controlplane.api.mapping.values import last_part, named, timestamp
from controlplane.domain.ports import in_use
from controlplane.domain.session import PortLease
from controlplane.usecases import ports
from controlplane.usecases.world import World


class PortServicer(rpc.PortServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def ListPorts(self, request: pb.ListPortsRequest, context: Any) -> pb.ListPortsResponse:
        query = ("ports", request.parent)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found, now = await ports.list_ports(self._world, identity.principal(), last_part(request.parent), page)
        kept, token = pages.split(
            page, found, lambda lease: (ANY_TIME, f"{lease.protocol}-{lease.host_port:05d}"), *query
        )
        return pb.ListPortsResponse(ports=[_message(lease, now) for lease in kept], next_page_token=token)

    async def AllocatePort(self, request: pb.AllocatePortRequest, context: Any) -> pb.Port:
        wanted = ports.PortRequest(
            vm_id=last_part(request.parent),
            protocol=request.protocol,
            purpose=request.purpose,
            host_port=request.host_port,
            game_id=last_part(request.game),
            client_token=request.client_token,
        )
        lease, now = await ports.allocate_port(self._world, identity.principal(), wanted, identity.request_id())
        return _message(lease, now)

    async def ReleasePort(self, request: pb.ReleasePortRequest, context: Any) -> Empty:
        _, vm_id, _, port = request.name.split("/")
        protocol, _, number = port.partition("-")
        who = identity.principal()
        await ports.release_port(self._world, who, vm_id, protocol, int(number), identity.request_id())
        return Empty()


def _message(lease: PortLease, now: datetime) -> pb.Port:
    busy = in_use(lease, now)
    state = pb.PORT_STATE_RESERVED
    if busy:
        state = pb.PORT_STATE_HELD if lease.free_at is None else pb.PORT_STATE_RESTING
    return pb.Port(
        name=lease.name,
        protocol=lease.protocol,
        host_port=lease.host_port,
        state=state,
        session=named("sessions", lease.session_id),
        port_name=lease.port_name,
        game_port=lease.game_port,
        free_time=timestamp(lease.free_at if busy else None),
        purpose=lease.purpose,
        game=named("games", lease.game_id),
        reserve_time=timestamp(lease.reserved_at),
    )
