"""Backups, schedules and downloads on the wire."""

from __future__ import annotations

from quarterdeck.v1 import backups_pb2 as pb

from controlplane.api.mapping.values import duration, enum_value, last_part, named, seconds, timestamp
from controlplane.domain.backup import Backup
from controlplane.domain.schedule import BackupSchedule
from controlplane.usecases.downloads import Download
from controlplane.usecases.schedules import ScheduleRequest


def backup_message(backup: Backup) -> pb.Backup:
    return pb.Backup(
        name=backup.name,
        game=named("games", backup.game_id),
        session=named("sessions", backup.session_id),
        save=named("saves", backup.save_id),
        backup_schedule=named("backupSchedules", backup.schedule_id),
        state=enum_value(pb.BackupState, "BACKUP_STATE", backup.state),
        reason=backup.reason,
        reason_detail=backup.reason_detail,
        size_bytes=backup.size_bytes,
        sha256=backup.sha256,
        content_bytes=backup.content_bytes,
        files=backup.files,
        create_time=timestamp(backup.created_at),
        end_time=timestamp(backup.ended_at),
    )


def schedule_message(schedule: BackupSchedule) -> pb.BackupSchedule:
    return pb.BackupSchedule(
        name=schedule.name,
        game=named("games", schedule.game_id),
        save_id=schedule.save_id,
        cron=schedule.cron,
        time_zone=schedule.time_zone,
        keep_count=schedule.keep_count,
        keep_for=duration(schedule.keep_for_s),
        paused=schedule.paused,
        next_time=timestamp(schedule.next_at),
        create_time=timestamp(schedule.created_at),
    )


def schedule_of(wire: pb.BackupSchedule) -> ScheduleRequest:
    return ScheduleRequest(
        game_id=last_part(wire.game),
        cron=wire.cron,
        save_id=wire.save_id,
        time_zone=wire.time_zone or "UTC",
        keep_count=wire.keep_count,
        keep_for_s=seconds(wire, "keep_for"),
        paused=wire.paused,
    )


def download_message(download: Download) -> pb.Download:
    return pb.Download(
        url=download.url,
        expire_time=timestamp(download.expires_at),
        size_bytes=download.content.size_bytes,
        sha256=download.content.sha256,
    )
