"""A bus that tells when a reader of its events has been let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.domain.events import Event


class Watched(JetStreamBus):
    def __init__(self, *servers: str, **options: Any) -> None:
        super().__init__(servers, **options)
        self.left = asyncio.Event()

    async def events(self, project_id: str, resume_token: str) -> AsyncGenerator[tuple[Event, str], None]:
        try:
            async for told in super().events(project_id, resume_token):
                yield told
        finally:
            self.left.set()
