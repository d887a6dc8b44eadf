"""SaveService, translated."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from quarterdeck.v1 import saves_pb2 as pb
from quarterdeck.v1 import saves_pb2_grpc as rpc

from controlplane.api import identity, pages
from controlplane.api.mapping.saves import save_message, version_key, version_message
from controlplane.api.mapping.values import last_part
from controlplane.usecases import saves
from controlplane.usecases.world import World


class SaveServicer(rpc.SaveServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def ListSaves(self, request: pb.ListSavesRequest, context: Any) -> pb.ListSavesResponse:
        query = ("saves", request.game)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found = await saves.list_saves(self._world, identity.principal(), last_part(request.game), page)
        kept, token = pages.split(page, found, lambda save: (save.created_at, save.id), *query)
        return pb.ListSavesResponse(saves=map(save_message, kept), next_page_token=token)

    async def GetSave(self, request: pb.GetSaveRequest, context: Any) -> pb.Save:
        return save_message(await saves.get_save(self._world, identity.principal(), last_part(request.name)))

    async def DeleteSave(self, request: pb.DeleteSaveRequest, context: Any) -> Empty:
        save_id = last_part(request.name)
        await saves.delete_save(self._world, identity.principal(), save_id, identity.request_id())
        return Empty()

    async def ListSaveVersions(self, request: pb.ListSaveVersionsRequest, context: Any) -> pb.ListSaveVersionsResponse:
        query = ("versions", request.parent)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found = await saves.list_versions(self._world, identity.principal(), last_part(request.parent), page)
        kept, token = pages.split(page, found, lambda version: (version.created_at, str(version.number)), *query)
        return pb.ListSaveVersionsResponse(versions=map(version_message, kept), next_page_token=token)

    async def DeleteSaveVersion(self, request: pb.DeleteSaveVersionRequest, context: Any) -> Empty:
        save_id, number = version_key(request.name)
        await saves.delete_version(self._world, identity.principal(), save_id, number, identity.request_id())
        return Empty()

    async def RestoreSave(self, request: pb.RestoreSaveRequest, context: Any) -> pb.Save:
        who, save_id = identity.principal(), last_part(request.name)
        return save_message(await saves.restore(self._world, who, save_id, request.version, identity.request_id()))

    async def ReleaseSave(self, request: pb.ReleaseSaveRequest, context: Any) -> pb.Save:
        who, save_id = identity.principal(), last_part(request.name)
        return save_message(await saves.release(self._world, who, save_id, identity.request_id()))
