"""Downloads of backups and of saves' versions by URL: the object store's own, or a signed one of the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.domain.backup import BackupState
from controlplane.domain.errors import InvalidRequest, NotFound, WrongState
from controlplane.domain.identity import Principal
from controlplane.interfaces import AuditEntry, Tx
from controlplane.usecases.world import World, operators_only

VALID_S = 300.0
PATH = "/v1/downloads"


@dataclass(frozen=True)
class Content:
    """`sha256` (hex) and `size_bytes` are of the whole archive."""

    object_key: str
    size_bytes: int
    sha256: str
    file_name: str


@dataclass(frozen=True)
class Download:
    """`url` is a secret until `expires_at`; one of the gateway is a path."""

    url: str
    expires_at: datetime
    content: Content


async def create_download(world: World, who: Principal, name: str, request_id: str) -> Download:
    """Raises NotFound, WrongState (a backup that is not completed), Unavailable."""
    operators_only(who)
    async with world.store.tx() as tx:
        content = await _content(tx, who.project_id, name)
        expires_at = await tx.now() + timedelta(seconds=VALID_S)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreateDownload", name, request_id))
    url = await world.objects.url(content.object_key, VALID_S)
    if url is None:
        url = f"{PATH}/{world.stream_tokens.sign_download(name, who.project_id, expires_at)}"
    return Download(url, expires_at, content)


async def opened(world: World, token: str) -> Content:
    """What a token of the gateway's opens. Raises Unauthenticated, NotFound when it has been deleted."""
    async with world.store.reading() as tx:
        name, project_id = world.stream_tokens.verify_download(token, await tx.now())
        return await _content(tx, project_id, name)


def read(world: World, content: Content, offset: int, length: int) -> AsyncIterator[bytes]:
    """`length` 0: to the end. Raises InvalidRequest for what lies outside."""
    if offset > content.size_bytes:
        raise InvalidRequest("RANGE_INVALID", f"it has {content.size_bytes} bytes", field="offset")
    return world.objects.get(content.object_key, offset, length or None)


async def _content(tx: Tx, project_id: str, name: str) -> Content:
    kind, item_id, *rest = name.split("/")
    if kind == "saves":
        version = await tx.save_versions.get(project_id, item_id, int(rest[1]))
        if version is None:
            raise NotFound("SAVE_VERSION_NOT_FOUND", f"there is no '{name}'", field="name")
        file_name = f"{item_id}-{version.number}.tar.gz"
        return Content(version.object_key, version.size_bytes, version.sha256, file_name)
    backup = await tx.backups.get(item_id)
    if backup is None or backup.project_id != project_id:
        raise NotFound("BACKUP_NOT_FOUND", f"there is no '{name}'", field="name")
    if backup.state is not BackupState.COMPLETED:
        raise WrongState("BACKUP_NOT_COMPLETED", f"{name} is {backup.state}: there is nothing to fetch")
    return Content(backup.object_key, backup.size_bytes, backup.sha256, f"{backup.game_id}-{backup.id}.tar.gz")
