"""HostService: what operators see of hosts, translated."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from quarterdeck.v1 import hosts_pb2 as pb
from quarterdeck.v1 import hosts_pb2_grpc as rpc

from controlplane.api import identity, pages
from controlplane.api.mapping.fleet import host_message
from controlplane.api.mapping.values import last_part
from controlplane.usecases import hosts
from controlplane.usecases.world import World

# Hosts are listed by id alone; the page's moment does not count.
ANY_TIME = datetime.fromtimestamp(0, UTC)


class HostServicer(rpc.HostServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def ListHosts(self, request: pb.ListHostsRequest, context: Any) -> pb.ListHostsResponse:
        who = identity.principal()
        query = ("hosts", who.project_id)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found = await hosts.list_hosts(self._world, who, page)
        kept, token = pages.split(page, found, lambda pair: (ANY_TIME, pair[0].id), *query)
        return pb.ListHostsResponse(
            hosts=[host_message(host, plan_version) for host, plan_version in kept], next_page_token=token
        )

    async def GetHost(self, request: pb.GetHostRequest, context: Any) -> pb.Host:
        host, vm = await hosts.get_host(self._world, identity.principal(), last_part(request.name))
        return host_message(host, vm.plan_version)

    async def RevokeHost(self, request: pb.RevokeHostRequest, context: Any) -> pb.Host:
        who, host_id = identity.principal(), last_part(request.name)
        await hosts.revoke_host(self._world, who, host_id, identity.request_id())
        host, vm = await hosts.get_host(self._world, who, host_id)
        return host_message(host, vm.plan_version)
