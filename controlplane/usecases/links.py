"""What a replica must know of the hosts whose streams it holds, and where a session's host is to be found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.domain.errors import Forbidden, Unavailable, WrongState
from controlplane.domain.host import HostState
from controlplane.domain.session import Session
from controlplane.usecases.world import World


@dataclass(frozen=True)
class LinkState:
    """Of one host, as the database has it: what its stream must be told, or why it must end."""

    epoch: int
    report_sequence: int
    link_token: str
    revoked: bool
    plan_version: int


@dataclass(frozen=True)
class Holder:
    """The replica and link that hold a host's stream at the moment."""

    host_id: str
    replica_id: str
    link_token: str


async def link_states(world: World, host_ids: Sequence[str]) -> Mapping[str, LinkState]:
    """Of these hosts, by id; those that do not exist are left out."""
    async with world.store.reading() as tx:
        versions = await tx.vms.plan_versions(sorted(host_ids))
        hosts = [await tx.hosts.get(host_id) for host_id in sorted(host_ids)]
        return {
            host.id: LinkState(
                host.epoch,
                host.report_sequence,
                host.link_token,
                host.revoked_at is not None,
                versions.get(host.id, 0),
            )
            for host in hosts
            if host is not None
        }


async def admitted(world: World, host_id: str) -> None:
    """Raises Forbidden unless the host is known and not revoked: a certificate may outlive its host's welcome."""
    async with world.store.reading() as tx:
        host = await tx.hosts.get(host_id)
    if host is None or host.revoked_at is not None:
        raise Forbidden("HOST_REVOKED", "this host is unknown or revoked; enrol it again with a new join token")


async def holder_of(world: World, session: Session) -> Holder:
    """Who holds the stream of the session's host. Raises Unavailable when nobody can be expected to."""
    async with world.store.reading() as tx:
        host = await tx.hosts.get(session.vm_id) if session.vm_id else None
    if host is None or host.state is not HostState.ONLINE or not host.link_token or host.revoked_at is not None:
        raise unreachable(session)
    return Holder(host.id, host.link_replica, host.link_token)


async def check_channel(world: World, session: Session, holder: Holder) -> None:
    """Raises why an open signalling channel of this session must end: it has ended or moved (WrongState), or its
    host's stream is not where it was (Unavailable)."""
    async with world.store.reading() as tx:
        now = await tx.sessions.get(session.id)
        host = await tx.hosts.get(holder.host_id)
    if now is None or now.finished or now.generation != session.generation:
        raise WrongState("SESSION_FINISHED", f"{session.name} has ended or moved")
    if host is None or host.link_token != holder.link_token or host.revoked_at is not None:
        raise unreachable(session)


def unreachable(session: Session) -> Unavailable:
    return Unavailable(
        "HOST_UNREACHABLE",
        f"the host of {session.name} cannot be reached at the moment; try again",
        retry_after_s="1",
        session=session.name,
    )
