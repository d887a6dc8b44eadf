"""The Docker Engine of this machine, asked off the event loop, and asked again while it restarts."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from hostagent.runtime import StartFailed
from hostagent.runtime.container_spec import ROLE_LABEL, ROOT_LABEL, SESSION_LABEL, Held, ImageDefaults

T = TypeVar("T")
# What the client raises when nobody answers at the socket, or not to the end.
LOST = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
# What it raises whenever there is no answer: nobody speaks, or the engine refuses.
NO_ANSWER = (DockerException, *LOST)
API_VERSION = "1.41"
# What an engine that dies cuts off is begun anew for so long; between two tries at anything, the latter.
ANEW_WITHIN_S = 60.0
AGAIN_S = 0.25
_THREADS = 8
_CALL_S = 60.0
_PATIENCE_S = 30.0
_ARCHIVE_MAX_BYTES = 32 << 20
_OUTPUT_LINES = 20


class Engine:
    """One engine. Methods raise docker's APIError for a refusal, one of LOST when nobody answers for 30 s."""

    def __init__(self, socket: str) -> None:
        self._client = docker.APIClient(
            base_url=socket, timeout=int(_CALL_S), version=API_VERSION, max_pool_size=_THREADS
        )
        self._threads = ThreadPoolExecutor(_THREADS, "docker")
        self._networks: dict[Path, str] = {}

    async def _ask(self, call: Callable[..., T], *arguments: Any, patience_s: float = _PATIENCE_S, **named: Any) -> T:
        """Repeats while nobody answers; every call here may be repeated."""
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s
        while True:
            try:
                return await loop.run_in_executor(self._threads, lambda: call(*arguments, **named))
            except LOST:
                if loop.time() >= until:
                    raise
            await asyncio.sleep(AGAIN_S)

    def mark(self, root: Path) -> str:
        """Tells this agent's names from those of others on the same engine."""
        return hashlib.sha256(str(root).encode()).hexdigest()[:12]

    async def info(self) -> Mapping[str, Any]:
        """What the engine says of itself; raises what the client raises, at once."""
        answer: Mapping[str, Any] = await self._ask(self._client.info, patience_s=0)
        return answer

    async def image(self, name: str) -> ImageDefaults | None:
        """What an image on this machine says of itself; None when it is not here."""
        try:
            config = (await self._ask(self._client.inspect_image, name)).get("Config") or {}
        except ImageNotFound:
            return None
        entry, command = config.get("Entrypoint") or (), config.get("Cmd") or ()
        return ImageDefaults(tuple(entry), tuple(command), config.get("User") or "", tuple(config.get("Volumes") or ()))

    async def image_id(self, name: str) -> str:
        """The content address of an image on this machine."""
        return str((await self._ask(self._client.inspect_image, name))["Id"])

    async def network(self, root: Path) -> str:
        """The bridge of this agent's sessions, who do not see each other on it; made when it is missing."""
        name = f"quarterdeck-{self.mark(root)}"
        if await self._ask(self._client.networks, names=[f"^{name}$"]):
            return name
        options = {"com.docker.network.bridge.enable_icc": "false"}
        try:
            await self._ask(
                self._client.create_network,
                name,
                driver="bridge",
                options=options,
                check_duplicate=True,
                labels={ROOT_LABEL: str(root)},
            )
        except APIError as error:
            if error.status_code != 409:
                raise
        return name

    async def create(self, name: str, body: dict[str, Any]) -> str:
        """The container's id; one of this name that is there already is it."""
        try:
            return str((await self._ask(self._client.create_container_from_config, body, name))["Id"])
        except APIError as error:
            if error.status_code != 409:
                raise
        return str((await self._ask(self._client.inspect_container, name))["Id"])

    async def start(self, container: str) -> None:
        """Starts a container, once: an engine that dies meanwhile may forget it. One that runs already is fine."""
        await self._ask(self._client.start, container, patience_s=0)

    async def state(self, container: str, patience_s: float = _PATIENCE_S) -> dict[str, Any] | None:
        """Docker's State, with the container's Id; None when there is no such container."""
        try:
            inspected = await self._ask(self._client.inspect_container, container, patience_s=patience_s)
        except NotFound:
            return None
        return {**inspected["State"], "Id": inspected["Id"]}

    async def kill(self, container: str) -> None:
        """Kills a container that may have ended meanwhile, and waits for its end."""
        try:
            await self._ask(self._client.kill, container)
            await self._ask(self._client.wait, container, timeout=_CALL_S)
        except APIError as error:
            if error.status_code not in (404, 409):
                raise

    async def remove(self, container: str) -> None:
        """Removes a container, its anonymous volumes and whatever still runs in it; one that is gone is fine."""
        try:
            await self._ask(self._client.remove_container, container, v=True, force=True)
        except APIError as error:
            if error.status_code not in (404, 409):  # 409: its removal is on its way
                raise

    async def output(self, container: str) -> str:
        """The last lines that a container wrote."""
        try:
            lines = await self._ask(lambda: self._client.logs(container, tail=_OUTPUT_LINES))
        except APIError:
            return ""
        return lines.decode("utf-8", "replace")[-4096:]

    async def archive(self, container: str, path: str) -> bytes:
        """A directory of a container, as a tar file."""

        def fetch() -> bytes:
            stream, _ = self._client.get_archive(container, path)
            content = b""
            for chunk in stream:
                content += chunk
                if len(content) > _ARCHIVE_MAX_BYTES:
                    raise StartFailed(f"{path} of the wrapper's image is too large")
            return content

        return await self._ask(fetch)

    async def held(self, root: Path) -> list[Held]:
        """Every container of this agent, running or not."""
        rows = await self._ask(self._client.containers, all=True, filters={"label": [f"{ROOT_LABEL}={root}"]})
        now_s = time.time()
        return [
            Held(
                row["Id"],
                row["Labels"].get(ROLE_LABEL, ""),
                Path(row["Labels"].get(SESSION_LABEL, "")),
                row["State"],
                max(0.0, now_s - row["Created"]),
            )
            for row in rows
        ]

    async def close(self, root: Path) -> None:
        """Lets go, and takes the network along when no session uses it."""
        with suppress(*NO_ANSWER):  # in use, gone already, or nobody there to ask: the next agent uses it again
            await self._ask(self._client.remove_network, f"quarterdeck-{self.mark(root)}", patience_s=0)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()
