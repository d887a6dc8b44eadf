"""Waiting for the end of a process that need not be a child: the kernel tells, whoever else is away."""

from __future__ import annotations

import asyncio
import os

from hostagent import procfs
from hostagent.procfs import ProcessId


async def gone(process: ProcessId) -> None:
    """Returns when exactly this process has ended, at once when it already has."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    try:
        if not procfs.is_alive(process):
            return
        over: asyncio.Future[None] = loop.create_future()
        loop.add_reader(handle, _once, over)
        try:
            await over
        finally:
            loop.remove_reader(handle)
    finally:
        os.close(handle)


def _once(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
