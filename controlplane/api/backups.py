"""BackupService, translated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.empty_pb2 import Empty
from quarterdeck.v1 import backups_pb2 as pb
from quarterdeck.v1 import backups_pb2_grpc as rpc
from quarterdeck.v1 import saves_pb2

from controlplane.api import identity, pages
from controlplane.api.admission import Admission
from controlplane.api.archives import CHUNK_BYTES
from controlplane.api.mapping.backups import backup_message, download_message, schedule_message, schedule_of
from controlplane.api.mapping.saves import save_message
from controlplane.api.mapping.values import last_part
from controlplane.usecases import backups, downloads, schedules
from controlplane.usecases.world import World

# Whoever reads says no name, only what of: of one archive each piece of it, as programs fetch it that hurry.
READS_AT_ONCE, READS_EACH = 64, 16


class BackupServicer(rpc.BackupServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world
        self._reading = Admission(READS_AT_ONCE, "downloads", READS_EACH)

    async def CreateBackup(self, request: pb.CreateBackupRequest, context: Any) -> pb.Backup:
        who, session_id = identity.principal(), last_part(request.session)
        backup = await backups.create_backup(self._world, who, session_id, request.client_token, identity.request_id())
        return backup_message(backup)

    async def ListBackups(self, request: pb.ListBackupsRequest, context: Any) -> pb.ListBackupsResponse:
        query = ("backups", request.session, request.game)
        page = pages.page_of(request.page_size, request.page_token, *query)
        game_id, session_id = last_part(request.game), last_part(request.session)
        found = await backups.list_backups(self._world, identity.principal(), game_id, session_id, page)
        kept, token = pages.split(page, found, lambda backup: (backup.created_at, backup.id), *query)
        return pb.ListBackupsResponse(backups=map(backup_message, kept), next_page_token=token)

    async def GetBackup(self, request: pb.GetBackupRequest, context: Any) -> pb.Backup:
        return backup_message(await backups.get_backup(self._world, identity.principal(), last_part(request.name)))

    async def DeleteBackup(self, request: pb.DeleteBackupRequest, context: Any) -> Empty:
        backup_id = last_part(request.name)
        await backups.delete_backup(self._world, identity.principal(), backup_id, identity.request_id())
        return Empty()

    async def RestoreBackup(self, request: pb.RestoreBackupRequest, context: Any) -> saves_pb2.Save:
        who, backup_id = identity.principal(), last_part(request.name)
        save = await backups.restore_backup(self._world, who, backup_id, request.save_id, identity.request_id())
        return save_message(save)

    async def CreateDownload(self, request: pb.CreateDownloadRequest, context: Any) -> pb.Download:
        who = identity.principal()
        return download_message(await downloads.create_download(self._world, who, request.name, identity.request_id()))

    async def ReadDownload(
        self, request: pb.ReadDownloadRequest, context: Any
    ) -> AsyncIterator[pb.ReadDownloadResponse]:
        with self._reading.place():
            content = await downloads.opened(self._world, request.token)
            with self._reading.share(content.object_key):
                pieces = downloads.read(self._world, content, request.offset, request.length)
                size, sha256, name = content.size_bytes, content.sha256, content.file_name
                header = pb.DownloadHeader(size_bytes=size, sha256=sha256, file_name=name)
                yield pb.ReadDownloadResponse(header=header)
                async for piece in pieces:
                    for start in range(0, len(piece), CHUNK_BYTES):
                        yield pb.ReadDownloadResponse(chunk=bytes(piece[start : start + CHUNK_BYTES]))

    async def CreateBackupSchedule(self, request: pb.CreateBackupScheduleRequest, context: Any) -> pb.BackupSchedule:
        schedule = await schedules.create_schedule(
            self._world,
            identity.principal(),
            schedule_of(request.backup_schedule),
            request.client_token,
            identity.request_id(),
        )
        return schedule_message(schedule)

    async def ListBackupSchedules(
        self, request: pb.ListBackupSchedulesRequest, context: Any
    ) -> pb.ListBackupSchedulesResponse:
        page = pages.page_of(request.page_size, request.page_token, "backupSchedules")
        found = await schedules.list_schedules(self._world, identity.principal(), page)
        kept, token = pages.split(page, found, lambda one: (one.created_at, one.id), "backupSchedules")
        return pb.ListBackupSchedulesResponse(backup_schedules=map(schedule_message, kept), next_page_token=token)

    async def GetBackupSchedule(self, request: pb.GetBackupScheduleRequest, context: Any) -> pb.BackupSchedule:
        schedule_id = last_part(request.name)
        return schedule_message(await schedules.get_schedule(self._world, identity.principal(), schedule_id))

    async def UpdateBackupSchedule(self, request: pb.UpdateBackupScheduleRequest, context: Any) -> pb.BackupSchedule:
        wire = request.backup_schedule
        schedule = await schedules.update_schedule(
            self._world, identity.principal(), last_part(wire.name), schedule_of(wire), identity.request_id()
        )
        return schedule_message(schedule)

    async def DeleteBackupSchedule(self, request: pb.DeleteBackupScheduleRequest, context: Any) -> Empty:
        schedule_id = last_part(request.name)
        await schedules.delete_schedule(self._world, identity.principal(), schedule_id, identity.request_id())
        return Empty()
