"""What a session chooses of its deployment's configuration. Hashable, so that equal requests are known as such."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Given:
    name: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class Choice:
    """Values by parameter, in order of their names; merge patches by "volume/path" as one JSON text, "" for none."""

    parameters: tuple[Given, ...] = ()
    file_patches: str = field(default="", repr=False)

    @classmethod
    def of(cls, parameters: Mapping[str, str], file_patches: Mapping[str, Any] | None = None) -> Choice:
        given = tuple(Given(name, parameters[name]) for name in sorted(parameters))
        return cls(given, json.dumps(file_patches, sort_keys=True) if file_patches else "")

    def __bool__(self) -> bool:
        return bool(self.parameters or self.file_patches)

    def values(self) -> dict[str, str]:
        return {given.name: given.text for given in self.parameters}

    def patches(self) -> dict[str, Any]:
        patches: dict[str, Any] = json.loads(self.file_patches) if self.file_patches else {}
        return patches
