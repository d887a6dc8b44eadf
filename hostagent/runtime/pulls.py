"""Fetches images: two at a time from each registry, anew when the engine dies meanwhile, and not for ever."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import docker
import requests
import structlog
import urllib3
from docker.errors import APIError, DockerException, StreamParseError

from hostagent.runtime import StartFailed, images
from hostagent.runtime.dockerhost import AGAIN_S, ANEW_WITHIN_S, API_VERSION, LOST
from hostagent.threads import in_a_thread_of_its_own

log = structlog.get_logger()
_AT_ONCE = 2
_SILENT_S = 300.0
# The client reads a pull off the wire itself, so that more than `requests` says comes through.
_CUT_OFF = (*LOST, urllib3.exceptions.ProtocolError, StreamParseError)
_SILENT = (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)


class _Client(docker.APIClient):
    """Bears no silence of more than `silent_s`, where the library would wait for a pull without end."""

    def __init__(self, socket: str, silent_s: float) -> None:
        super().__init__(base_url=socket, version=API_VERSION)
        self._silent_s = silent_s

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        return super().send(request, **(how | {"timeout": self._silent_s}))


class Pulls:
    """Those of one engine. A registry that is silent holds up only what is to come from it."""

    def __init__(self, socket: str, silent_s: float = _SILENT_S) -> None:
        self._socket = socket
        self._silent_s = silent_s
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))
        self._heard_at = float("-inf")

    async def pull(self, image: str, tell: Callable[[str], None]) -> None:
        """Fetches an image; `tell` hears of it on the event loop. Raises StartFailed."""
        tell(f"waits to pull {image}")
        async with self._turns[images.registry_of(image)]:
            try:
                await self._insist(image, tell)
            except APIError as error:
                raise images.pull_failed(image, str(error.explanation or error)) from error
            except _SILENT as error:
                raise images.RegistryUnreachable(
                    f"{image} cannot be pulled: nothing has come for {self._silent_s:g} s"
                ) from error
            except (DockerException, *_CUT_OFF) as error:
                raise StartFailed(f"{image} cannot be pulled: {str(error)[:300]}") from error

    async def _insist(self, image: str, tell: Callable[[str], None]) -> None:
        lost_at: float | None = None
        while True:
            tell(f"pulling {image}")  # a registry may take its time for a first word
            try:
                return await self._pull(image, tell)
            except _SILENT:
                # An engine fetches few layers at once: those of another pull may have been before these.
                if time.monotonic() - self._heard_at >= self._silent_s:
                    raise
            except _CUT_OFF as error:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at >= ANEW_WITHIN_S:
                    raise
                log.warning("a pull is made anew", image=image, why=str(error)[:300])
            await asyncio.sleep(AGAIN_S)

    async def _pull(self, image: str, tell: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        unwanted = threading.Event()

        def events() -> Iterator[Mapping[str, Any]]:
            with _Client(self._socket, self._silent_s) as client:
                tag = None if ":" in image or "@" in image else "latest"
                for event in client.pull(image, tag=tag, stream=True, decode=True):
                    if unwanted.is_set():
                        return
                    self._heard_at = time.monotonic()
                    yield event

        def say(words: str) -> None:
            loop.call_soon_threadsafe(tell, words)

        try:
            await in_a_thread_of_its_own(lambda: images.follow(image, events(), say), "pull")
        finally:
            unwanted.set()  # its thread hears it at the next word, or when there has been none for long
