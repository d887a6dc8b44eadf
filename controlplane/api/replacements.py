"""ReplacementService: rolling replacement of rented VMs, translated."""

from __future__ import annotations

from typing import Any

from quarterdeck.v1 import replacements_pb2 as pb
from quarterdeck.v1 import replacements_pb2_grpc as rpc

from controlplane.api import identity, pages
from controlplane.api.mapping.values import enum_value, last_part, named, timestamp
from controlplane.domain.succession import Replacement
from controlplane.usecases import succession
from controlplane.usecases.world import World


class ReplacementServicer(rpc.ReplacementServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def ReplaceVms(self, request: pb.ReplaceVmsRequest, context: Any) -> pb.ReplaceVmsResponse:
        rows = await succession.replace_vms(
            self._world, identity.principal(), request.scope, request.client_token, identity.request_id()
        )
        return pb.ReplaceVmsResponse(replacements=map(_message, rows))

    async def ListReplacements(self, request: pb.ListReplacementsRequest, context: Any) -> pb.ListReplacementsResponse:
        who = identity.principal()
        query = ("replacements", who.project_id)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found = await succession.list_replacements(self._world, who, page)
        kept, token = pages.split(page, found, lambda row: (row.created_at, row.id), *query)
        return pb.ListReplacementsResponse(replacements=map(_message, kept), next_page_token=token)

    async def CancelReplacements(self, request: pb.CancelReplacementsRequest, context: Any) -> pb.ReplaceVmsResponse:
        rows = await succession.cancel_series(
            self._world, identity.principal(), last_part(request.name), identity.request_id()
        )
        return pb.ReplaceVmsResponse(replacements=map(_message, rows))


def _message(row: Replacement) -> pb.Replacement:
    return pb.Replacement(
        name=row.name,
        series=row.series_id,
        scope=row.scope,
        vm=named("vms", row.vm_id),
        successor=named("vms", row.successor_id),
        state=enum_value(pb.ReplacementState, "REPLACEMENT_STATE", row.state),
        detail=row.detail,
        create_time=timestamp(row.created_at),
        update_time=timestamp(row.updated_at),
    )
