"""A house for the use cases: on a store, and otherwise of what needs no other program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.ca import FileCertificateAuthority
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.objects import open_objects
from controlplane.adapters.stream_tokens import JwtStreamTokens
from controlplane.interfaces import Store
from controlplane.usecases.world import World


def world_on(store: Store, tmp_path: Path, **parts: Any) -> World:
    """A house on `store`, all else of it in memory or below `tmp_path`; `parts` of the World take the place of that."""
    usual = {
        "bus": MemoryBus(MemoryBroker()),
        "ids": RandomIds(),
        "authority": FileCertificateAuthority(tmp_path / "ca", 3600),
        "stream_tokens": JwtStreamTokens(b"k" * 32),
        "objects": open_objects("memory:///"),
    }
    return World(store=store, **usual | parts)
