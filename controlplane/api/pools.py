"""PoolService: pools of rented machines and the budget, translated."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from quarterdeck.v1 import pools_pb2 as pb
from quarterdeck.v1 import pools_pb2_grpc as rpc

from controlplane.api import identity
from controlplane.api.mapping.pools import (
    budget_message,
    budget_of,
    budget_view_message,
    pool_message,
    pool_of,
    pool_over,
    pool_view_message,
)
from controlplane.api.mapping.shapes import edit
from controlplane.api.mapping.values import last_part
from controlplane.domain.pool import Budget, Pool
from controlplane.usecases import pools
from controlplane.usecases.world import World


class PoolServicer(rpc.PoolServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def ListPools(self, request: pb.ListPoolsRequest, context: Any) -> pb.ListPoolsResponse:
        found = await pools.list_pools(self._world, identity.principal())
        return pb.ListPoolsResponse(pools=map(pool_view_message, found))

    async def GetPool(self, request: pb.GetPoolRequest, context: Any) -> pb.Pool:
        return pool_view_message(await pools.get_pool(self._world, identity.principal(), last_part(request.name)))

    async def CreatePool(self, request: pb.CreatePoolRequest, context: Any) -> pb.Pool:
        wanted = pool_of(request.pool_id, request.pool)
        who = identity.principal()
        made = await pools.create_pool(self._world, who, wanted, identity.request_id(), request.client_token)
        return pool_view_message(made)

    async def UpdatePool(self, request: pb.UpdatePoolRequest, context: Any) -> pb.Pool:
        def change(before: Pool) -> Pool:
            over = edit(request.pool, request.update_mask, pool_message, lambda wire: pool_over(before, wire))
            return over(before)

        who, pool_id = identity.principal(), last_part(request.pool.name)
        return pool_view_message(await pools.update_pool(self._world, who, pool_id, change, identity.request_id()))

    async def DeletePool(self, request: pb.DeletePoolRequest, context: Any) -> Empty:
        await pools.delete_pool(self._world, identity.principal(), last_part(request.name), identity.request_id())
        return Empty()

    async def GetBudget(self, request: pb.GetBudgetRequest, context: Any) -> pb.Budget:
        return budget_view_message(await pools.get_budget(self._world, identity.principal()))

    async def UpdateBudget(self, request: pb.UpdateBudgetRequest, context: Any) -> pb.Budget:
        who = identity.principal()

        def over(wire: pb.Budget) -> Budget:
            return budget_of(who.project_id, wire)

        change = edit(request.budget, request.update_mask, budget_message, over)
        return budget_view_message(await pools.update_budget(self._world, who, change, identity.request_id()))
