"""Saves on the wire, and what a deployment says of them."""

from __future__ import annotations

from quarterdeck.v1 import games_pb2, saves_pb2

from controlplane.api.mapping.values import duration, named, seconds, timestamp
from controlplane.domain.save import KEEP_VERSIONS, MAX_BYTES, Save, SaveSpec, SaveVersion

SETTLED_WITHIN_S = 10.0


def saves_message(spec: SaveSpec | None) -> games_pb2.SaveSpec | None:
    if spec is None:
        return None
    return games_pb2.SaveSpec(
        volumes=spec.volumes,
        interval=duration(spec.interval_s),
        keep_versions=spec.keep_versions,
        max_bytes=spec.max_bytes,
        before_lines=spec.before_lines,
        settled_text=spec.settled_text,
        settled_within=duration(spec.settled_within_s),
        after_lines=spec.after_lines,
    )


def saves_of(wire: games_pb2.SaveSpec) -> SaveSpec:
    settled_within_s = seconds(wire, "settled_within")
    if settled_within_s is None:
        settled_within_s = SETTLED_WITHIN_S if wire.settled_text else 0.0
    return SaveSpec(
        volumes=tuple(wire.volumes),
        interval_s=seconds(wire, "interval"),
        keep_versions=wire.keep_versions or KEEP_VERSIONS,
        max_bytes=wire.max_bytes or MAX_BYTES,
        before_lines=tuple(wire.before_lines),
        settled_text=wire.settled_text,
        settled_within_s=settled_within_s,
        after_lines=tuple(wire.after_lines),
    )


def save_message(save: Save) -> saves_pb2.Save:
    return saves_pb2.Save(
        name=save.name,
        game=f"games/{save.game_id}",
        current_version=f"{save.name}/versions/{save.current}" if save.current else "",
        session=named("sessions", save.session_id),
        detail=save.detail,
        create_time=timestamp(save.created_at),
        update_time=timestamp(save.updated_at),
    )


def version_message(version: SaveVersion) -> saves_pb2.SaveVersion:
    return saves_pb2.SaveVersion(
        name=version.name,
        session=named("sessions", version.session_id),
        size_bytes=version.size_bytes,
        sha256=version.sha256,
        content_bytes=version.content_bytes,
        files=version.files,
        final=version.final,
        create_time=timestamp(version.created_at),
    )


def version_key(name: str) -> tuple[str, int]:
    """(save id, number) of saves/{save}/versions/{number}."""
    _, save_id, _, number = name.split("/")
    return save_id, int(number)
