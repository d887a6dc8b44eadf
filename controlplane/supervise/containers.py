"""What `quarterdeck up` tells about containers: whether this machine's Docker Engine has what sessions in them need."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

_SOCKET = "unix:///var/run/docker.sock"
_IMAGE = "quarterdeck/wrapper"
_ANSWER_S = 2.0


def notice(environment: Mapping[str, str]) -> str:
    """One line for people, by the agent's own settings; empty where no engine answers, or none is wanted."""
    address = environment.get("QUARTERDECK_AGENT_DOCKER_SOCKET") or _SOCKET
    image = environment.get("QUARTERDECK_AGENT_WRAPPER_IMAGE") or _IMAGE
    if environment.get("QUARTERDECK_AGENT_RUNTIME") == "process" or not address.startswith("unix://"):
        return ""
    try:
        known = _knows(address.removeprefix("unix://"), image)
    except (OSError, http.client.HTTPException):
        return ""
    if known:
        return "games in images run here too, in containers"
    return f"games in images need the image {image} on its engine: `make wrapper-image`"


def _knows(path: str, image: str) -> bool:
    engine = _UnixConnection(path)
    try:
        engine.request("GET", f"/v1.41/images/{quote(image, safe='/:@')}/json")
        return engine.getresponse().status == http.client.OK
    finally:
        engine.close()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP to a socket file."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        """See HTTPConnection.connect."""
        connection: Any = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.timeout)
        connection.connect(self._path)
        self.sock = connection
