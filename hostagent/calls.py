"""Calls over the link: what becomes of them when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class LinkBroken(Exception):
    """The link is over, for a reason that is no gRPC status."""


@contextmanager
def heard_when_broken() -> Iterator[None]:
    """Around a call beside the stream. gRPC cancels it with its channel, as if whoever waits were cancelled: raises
    LinkBroken instead."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise LinkBroken("the link ended under a call") from None
