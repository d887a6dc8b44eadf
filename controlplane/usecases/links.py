"""What a replica must know of the hosts whose streams it holds, and where a session's host is to be found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.domain.errors import Forbidden, Unavailable, WrongState
from controlplane.domain.host import HostState, LinkState
from controlplane.domain.session import Session
from controlplane.usecases.world import World


@dataclass(frozen=True)
class Holder:
    """The link that a host's stream goes through at the moment."""

    host_id: str
    link_token: str


async def link_states(world: World, host_ids: Sequence[str]) -> Mapping[str, LinkState]:
    """Of these hosts, by id; those that do not exist are left out."""
    async with world.store.reading() as tx:
        return await tx.vms.links(host_ids)


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
    return Holder(host.id, host.link_token)


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
