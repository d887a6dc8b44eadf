"""Dead letters: what consumers gave up, for the operators of the house to see, try again or drop.

They hold messages of all projects, so that only operators of the house's own project may."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.deadletter import DeadLetter
from controlplane.domain.errors import Forbidden, NotFound, WrongState
from controlplane.domain.identity import DEFAULT_PROJECT, Principal
from controlplane.interfaces import AuditEntry, Delivery, Handler, Page
from controlplane.usecases.world import World, operators_only

MAX_ERROR_CHARACTERS = 2000


async def list_dead_letters(world: World, who: Principal, consumer: str, page: Page) -> Sequence[DeadLetter]:
    """Newest first; "" means of all consumers. Raises Forbidden."""
    _house_only(who)
    async with world.store.reading() as tx:
        return await tx.dead_letters.list(consumer, page)


async def get_dead_letter(world: World, who: Principal, key: str) -> DeadLetter:
    """Raises Forbidden, NotFound."""
    _house_only(who)
    async with world.store.reading() as tx:
        return _found(await tx.dead_letters.get(key), key)


async def ask_replay(world: World, who: Principal, key: str, request_id: str) -> DeadLetter:
    """The processor will hand it to its consumer once more: gone if that succeeds, else kept with the new error.

    Raises Forbidden, NotFound, WrongState when there is nothing that a consumer could be handed."""
    _house_only(who)
    async with world.store.tx() as tx:
        letter = _found(await tx.dead_letters.get(key), key)
        if not letter.subject:
            raise WrongState("DEAD_LETTER_NOT_REPLAYABLE", "this letter was never a message; it can only be deleted")
        await tx.dead_letters.ask_replay(key)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "ReplayDeadLetter", letter.name, request_id))
        return _found(await tx.dead_letters.get(key), key)


async def delete_dead_letter(world: World, who: Principal, key: str, request_id: str) -> None:
    """Raises Forbidden, NotFound."""
    _house_only(who)
    async with world.store.tx() as tx:
        letter = _found(await tx.dead_letters.get(key), key)
        await tx.dead_letters.remove(key)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "DeleteDeadLetter", letter.name, request_id))


async def bury(world: World, consumer: str, delivery: Delivery, error: Exception) -> None:
    """Keeps a message that its consumer has given up; burying it again keeps the last error."""
    async with world.store.tx() as tx:
        why = repr(error)[:MAX_ERROR_CHARACTERS]
        await tx.outbox.bury(consumer, delivery.message_id, delivery.payload, why, delivery.subject)


async def try_again(world: World, letter: DeadLetter, handler: Handler) -> bool:
    """Hands one claimed letter to its consumer. True when it was handled, and is gone; False when it stays, with the
    error of this try. Cut off in between, it is handled again: handlers are made for that (I5)."""
    delivery = Delivery(letter.event_id, letter.subject, letter.payload, attempt=1)
    try:
        await handler(delivery)
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is one failed try
        await bury(world, letter.consumer, delivery, error)
        return False
    async with world.store.tx() as tx:
        await tx.dead_letters.remove(letter.key)
    return True


def _found(letter: DeadLetter | None, key: str) -> DeadLetter:
    if letter is None:
        raise NotFound("DEAD_LETTER_NOT_FOUND", f"there is no dead letter 'deadLetters/{key}'", field="name")
    return letter


def _house_only(who: Principal) -> None:
    operators_only(who)
    if who.project_id != DEFAULT_PROJECT:
        raise Forbidden("HOUSE_OPERATOR_REQUIRED", f"only an operator of project {DEFAULT_PROJECT} may do this")
