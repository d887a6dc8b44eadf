"""The version guard, the same for every store: a save is over what its transaction has read, or not at all."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.domain.errors import Conflict, WrongState


def version_read(versions: Mapping[tuple[str, str], int], key: tuple[str, str]) -> int:
    """The version of a row that the transaction has read. Raises RuntimeError when it has not: an entity read in an
    earlier transaction can be older by any number of steps, which its own version cannot tell."""
    if key not in versions:
        raise RuntimeError(f"{key[0]} {key[1]} was not read in this transaction: get or lock it there, then save")
    return versions[key]


def version_conflict(name: str) -> Conflict:
    return Conflict("VERSION_CONFLICT", f"{name} has changed since it was read: read again and retry")


REFERRING = {
    "presets": "a game has it as its default, or a session has it or had it",
    "templates": "a pool asks for it, or a VM is or was of it",
    "regions": "a pool is in it, or a VM is or was in it",
}


def in_use(name: str) -> WrongState:
    why = REFERRING[name.partition("/")[0]]
    return WrongState(
        "SHAPE_IN_USE", f"{name} cannot be deleted: {why}, and what is over is kept with it. Edit it instead"
    )
