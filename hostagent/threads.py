"""Work that may hang, on a game's disk or at somebody's socket, in a thread that nobody else waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_a_thread_of_its_own(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Shared threads would all be waiting at last, for the hanging ones of some; and no agent's end waits for a daemon.
    Work whose answer nobody wants any more goes on."""
    answer: Future[T] = Future()
    answer.set_running_or_notify_cancel()  # from now on its thread alone says how it ends

    def run() -> None:
        try:
            answer.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised again by whoever awaits the answer
            answer.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(answer)
