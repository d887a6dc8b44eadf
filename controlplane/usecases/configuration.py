"""What sessions choose for their game's configuration, and what came of it."""

from __future__ import annotations

from controlplane.domain.configuration import Rendered, made_up_ports, render
from controlplane.domain.errors import InvalidRequest, NotFound
from controlplane.domain.game import Deployment
from controlplane.domain.identity import Principal
from controlplane.domain.session import PortLease, Session
from controlplane.interfaces import Tx
from controlplane.usecases.world import World, operators_only


def ports_of(deployment: Deployment, leases: tuple[PortLease, ...]) -> dict[str, int]:
    """The numbers that the game listens on, by port name."""
    held = {lease.port_name: lease.game_port or lease.host_port for lease in leases}
    return {name: held.get(name, number) for name, number in made_up_ports(deployment).items()}


def given(
    session: Session, deployment: Deployment, leases: tuple[PortLease, ...], *, for_eyes: bool = False
) -> Rendered:
    """What the session's game is given. Raises InvalidRequest only where its creation should have."""
    return render(deployment, session.choice, ports_of(deployment, leases), session.id, for_eyes=for_eyes)


def planned(session: Session, deployment: Deployment, leases: tuple[PortLease, ...]) -> Rendered:
    """As `given`; one that cannot be rendered is given as it is written. Only a release that rendered nothing can have
    kept such a deployment, and its braces were meant as they are; its host's plan must not fail for them."""
    try:
        return given(session, deployment, leases)
    except InvalidRequest:
        return Rendered(deployment.command, deployment.environment, {}, "", {})


async def configured(tx: Tx, who: Principal, session_id: str) -> tuple[Session, Deployment, tuple[PortLease, ...]]:
    """A session of the caller's project, its deployment and its live leases. Raises NotFound."""
    session = await tx.sessions.get(session_id)
    if session is None or session.project_id != who.project_id:
        raise NotFound("SESSION_NOT_FOUND", f"there is no session 'sessions/{session_id}'", field="name")
    deployment = await tx.catalogue.deployment(session.project_id, session.game_id, session.deployment_number)
    if deployment is None:
        raise NotFound("DEPLOYMENT_NOT_FOUND", f"{session.name} has no deployment")
    leases = await tx.ports.of_session(session.id)
    return session, deployment, tuple(lease for lease in leases if lease.free_at is None)


async def configuration_of(world: World, who: Principal, session_id: str) -> Rendered:
    """What the session's game was given, secrets masked. Raises NotFound."""
    operators_only(who)
    async with world.store.reading() as tx:
        session, deployment, leases = await configured(tx, who, session_id)
    return given(session, deployment, leases, for_eyes=True)
