"""Schedules of backups: when they fire, by the rules of cron in a time zone of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from controlplane.domain.errors import InvalidRequest

# The parser would take a sixth, for seconds: a backup for each is nobody's wish.
FIELDS = 5
# Names in a machine's own list that mean what that machine is set to.
_OF_THE_MACHINE = frozenset({"localtime", "posixrules", "Factory"})


@dataclass(frozen=True)
class BackupSchedule:
    """Of every running session of a game, or only of those with one save. `next_at` None: it never fires, or is
    paused. `keep_count` 0 and `keep_for_s` None bound nothing."""

    id: str
    project_id: str
    game_id: str
    cron: str
    created_at: datetime
    updated_at: datetime
    save_id: str = ""
    time_zone: str = "UTC"
    keep_count: int = 0
    keep_for_s: float | None = None
    paused: bool = False
    next_at: datetime | None = None
    client_token: str = ""
    version: int = 1

    @property
    def name(self) -> str:
        return f"backupSchedules/{self.id}"

    def planned(self, now: datetime) -> BackupSchedule:
        """Due next at the first moment after `now`: those that have passed meanwhile are not made up for.

        Raises InvalidRequest."""
        next_at = None if self.paused else next_fire(self.cron, self.time_zone, now)
        return replace(self, next_at=next_at, updated_at=now, version=self.version + 1)


def next_fire(cron: str, time_zone: str, after: datetime) -> datetime | None:
    """The first moment of `cron` after that one, UTC; None when there is none within fifty years. A moment that a
    change of the clock skips comes right after it, one that it repeats comes once. Raises InvalidRequest."""
    try:
        if time_zone.rpartition("/")[2] in _OF_THE_MACHINE:
            raise ValueError("it means another one on each machine")
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidRequest(
            "TIME_ZONE_UNKNOWN",
            f"'{time_zone[:64]}' is no time zone; give one such as Europe/Berlin",
            field="backup_schedule.time_zone",
        ) from error
    try:
        if len(cron.split()) != FIELDS:
            raise CronSimError(f"it has {len(cron.split())} fields")
        return next(CronSim(cron, after.astimezone(zone))).astimezone(UTC)
    except CronSimError as error:
        raise InvalidRequest(
            "CRON_INVALID",
            f"'{cron[:100]}' is no cron expression ({error}): give minute, hour, day, month and day of the week",
            field="backup_schedule.cron",
        ) from error
    except StopIteration:
        return None
