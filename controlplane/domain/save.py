"""Saves: what of a game's files outlives a session, in numbered versions, written by one session at a time.

A version is whole or it is not: its row is written after its object. What the next session is given is the save's
current version; a session that no longer holds the save may add versions, but not change which is current.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from controlplane.domain.errors import InvalidRequest, WrongState
from controlplane.domain.events import EventDraft, Value
from controlplane.domain.host import HostState

KEEP_VERSIONS = 10
MAX_BYTES = 1 << 30
# Of an archive: what an object store takes in parts. What a deployment may ask for fits into it whatever it holds.
LARGEST_BYTES = 78 << 30
# A rented machine that nobody plays on any more is not given back sooner, while it has files of a session to store.
STORED_WITHIN_S = 600.0


@dataclass(frozen=True)
class SaveSpec:
    """`interval_s` None: only after the game's end. The lines are typed around the reading of a running game's files,
    which begins with a line of output that has `settled_text` in it, or after `settled_within_s`."""

    volumes: tuple[str, ...]
    interval_s: float | None = None
    keep_versions: int = KEEP_VERSIONS
    max_bytes: int = MAX_BYTES
    before_lines: tuple[str, ...] = ()
    settled_text: str = ""
    settled_within_s: float = 0.0
    after_lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Save:
    """`session_id` is the one session that writes it: it plays, or its host has yet to store its files, and `detail`
    says why it has not. `current` 0: nothing is stored yet; `newest` is the last number given. `owner` is the player
    whose session made it; "" for one that an operator's made, which all of the project may play with."""

    id: str
    project_id: str
    game_id: str
    created_at: datetime
    updated_at: datetime
    session_id: str = ""
    detail: str = ""
    current: int = 0
    newest: int = 0
    version: int = 1
    owner: str = ""

    @property
    def name(self) -> str:
        return f"saves/{self.id}"

    def held_by(self, session_id: str, now: datetime) -> Save:
        return replace(self, session_id=session_id, detail="", updated_at=now, version=self.version + 1)

    def released(self, now: datetime) -> Save:
        return self.held_by("", now)

    def told(self, detail: str, now: datetime) -> Save:
        return replace(self, detail=detail, updated_at=now, version=self.version + 1)

    def forsaken(self, generation: int, vm_id: str, now: datetime) -> tuple[Save, EventDraft]:
        """The session that holds it has left that VM and begins again with what is stored: what the host there still
        has of this generation will never be."""
        begins = f"version {self.current}" if self.current else "nothing, as there is no version yet"
        detail = f"sessions/{self.session_id} left vms/{vm_id} and begins again with {begins}: later files are given up"
        save = self.told(detail, now)
        facts = {
            **save.facts(),
            "session": f"sessions/{self.session_id}",
            "generation": generation,
            "vm": f"vms/{vm_id}",
        }
        return save, EventDraft("quarterdeck.save.given_up", save.project_id, save.name, save.version, facts)

    def restored(self, number: int, now: datetime) -> tuple[Save, EventDraft]:
        """The next session begins with that version."""
        save = replace(self, current=number, updated_at=now, version=self.version + 1)
        return save, EventDraft("quarterdeck.save.restored", save.project_id, save.name, save.version, save.facts())

    def stored(self, session_id: str, now: datetime) -> tuple[Save, int]:
        """The save with one more version, and that one's number. Only the session that holds it moves `current`."""
        number = self.newest + 1
        current = number if session_id == self.session_id else self.current
        return replace(self, newest=number, current=current, updated_at=now, version=self.version + 1), number

    def facts(self) -> dict[str, Value]:
        """What its events tell."""
        return {"game": f"games/{self.game_id}", "current": self.current}


@dataclass(frozen=True)
class SaveVersion:
    """A gzipped tar of volumes in the object store: `sha256` and `size_bytes` are of that archive, `content_bytes` of
    the files in it. `archive_id` names it within (session, generation): sent twice, it is stored once."""

    save_id: str
    project_id: str
    number: int
    created_at: datetime
    session_id: str
    generation: int
    archive_id: str
    object_key: str
    size_bytes: int
    sha256: str
    content_bytes: int
    files: int
    final: bool = False

    @property
    def name(self) -> str:
        return f"saves/{self.save_id}/versions/{self.number}"


@dataclass(frozen=True)
class Holding:
    """What is known of the session that holds a save, and of its host (None: it never had one)."""

    session_id: str
    finished: bool
    host: HostState | None = None
    host_gone: bool = False


def check_saves(spec: SaveSpec | None, volumes: Sequence[str]) -> None:
    """Raises InvalidRequest naming the field. `volumes`: those that the deployment has."""
    if spec is None:
        return
    for name in spec.volumes:
        if name not in volumes:
            raise InvalidRequest(
                "VOLUME_UNKNOWN", f"this deployment has no volume '{name}'", field="deployment.saves.volumes"
            )


def check_free(save: Save, holding: Holding | None) -> None:
    """Whether another session may take the save over. Raises WrongState, saying who has it and what to do.

    What an ended session has left on a host that is away for good, is given up; on any other it is waited for."""
    if holding is None or (holding.finished and (holding.host is None or holding.host_gone)):
        return
    session = f"sessions/{holding.session_id}"
    if not holding.finished:
        raise WrongState(
            "SAVE_IN_USE", f"{session} plays with {save.name}; stop it first", field="save_id", session=session
        )
    if holding.host is HostState.LOST:
        return
    why = save.detail or "it is on its way"
    raise WrongState(
        "SAVE_NOT_STORED",
        f"{session} has ended, but its host has not stored {save.name} yet: {why}. Wait, or release the save",
        field="save_id",
        session=session,
    )


def surplus(versions: Sequence[SaveVersion], current: int, keep: int) -> Sequence[SaveVersion]:
    """Those beyond the newest `keep`, never the current one."""
    newest = sorted(versions, key=lambda version: version.number, reverse=True)
    return [version for version in newest[max(1, keep) :] if version.number != current]


def after_report(
    held: Sequence[tuple[Save, bool, int]],
    running: Mapping[str, int],
    unstored: Mapping[str, tuple[int, str]],
    now: datetime,
    *,
    more: bool = False,
) -> Sequence[Save]:
    """The saves that a host's whole report changes. `held`: (save, its session has finished, that one's generation) of
    the sessions bound to this host; `running` and `unstored` by session what the host still has of it; `more`: it has
    more of the latter than it tells.

    A host that has neither a session nor its files any more will store nothing: its save is free."""
    changed: list[Save] = []
    for save, finished, generation in held:
        kept = unstored.get(save.session_id)
        if kept is not None and kept[0] == generation:
            if finished and kept[1] != save.detail:
                changed.append(save.told(kept[1], now))
        elif finished and not more and save.session_id not in running:
            changed.append(save.released(now))
    return changed
