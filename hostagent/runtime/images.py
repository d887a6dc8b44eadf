"""Images: which ones this host may run, when they are fetched, and how far a fetch is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hostagent.runtime import Pull, StartFailed

# REPOSITORY[:TAG][@DIGEST] of the OCI distribution specification, without the exotic digests.
_REFERENCE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._/:-]{0,254})(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_LAYERS_MAX = 1000
# What Docker says of a layer, and what that is.
_STEPS = {"Downloading": "pulling", "Extracting": "unpacking"}


class ImageNotFound(StartFailed):
    """Neither this host nor the registry has it."""


class ImageDenied(StartFailed):
    """The registry does not give it to this host, or the host's operator does not let it in."""


class RegistryUnreachable(StartFailed):
    """Nobody answers where the image should be."""


class ImageCorrupt(StartFailed):
    """What came is not what the registry said, or cannot be unpacked."""


_DAMAGED = (
    r"verification failed|invalid checksum|digest mismatch|unexpected end of JSON|failed to register layer"
    r"|gzip: invalid|invalid tar header|archive/tar|error verifying|invalid character|malformed"
)
_SILENT = (
    r"connection refused|no such host|timeout|timed out|deadline exceeded|unreachable|no route to host|\bEOF\b"
    r"|connection reset|certificate|HTTP response to HTTPS client|server misbehaving|unavailable|\b50[0-9]\b"
)
# What Docker and the registries behind it say, in the order in which it is looked for.
_SAYINGS: tuple[tuple[str, type[StartFailed], str], ...] = (
    (r"no space left on device", StartFailed, "this host's disk is full"),
    (_DAMAGED, ImageCorrupt, "what the registry sent is damaged: push it again"),
    (
        r"manifest unknown|name unknown|not found|does not exist|no such image|no matching manifest",
        ImageNotFound,
        "there is no such image, or it is not shown to this host: check its name, or log the engine in",
    ),
    (
        r"unauthorized|denied|no basic auth|forbidden|\b401\b|\b403\b",
        ImageDenied,
        "the registry refuses: log the engine in on this host",
    ),
    (_SILENT, RegistryUnreachable, "the registry does not answer"),
)


def pull_failed(image: str, said: str) -> StartFailed:
    """The error for what the engine said about a pull."""
    for pattern, kind, meaning in _SAYINGS:
        if re.search(pattern, said, re.IGNORECASE):
            return kind(f"{image} cannot be pulled, {meaning} ({said[:300]})")
    return StartFailed(f"{image} cannot be pulled: {said[:300]}")


def check_allowed(image: str, allowed: Sequence[str], digest_needed: bool) -> None:
    """Raises StartFailed for an image that this host's operator has not let in."""
    if not _REFERENCE.fullmatch(image) or ".." in image:
        raise StartFailed(f"{image[:100]!r} is not the name of an image")
    if digest_needed and "@sha256:" not in image:
        raise ImageDenied(f"this host runs only images pinned by digest, and {image} is not")
    if not any(fnmatchcase(image, pattern) for pattern in allowed):
        raise ImageDenied(f"{image} is not on this host's list of allowed images")


def registry_of(image: str) -> str:
    """Where an engine asks for it: the host that its name begins with, else Docker's own registry."""
    host, slash, _ = image.partition("/")
    return host if slash and (host == "localhost" or "." in host or ":" in host) else "docker.io"


def must_pull(image: str, policy: Pull, present: bool) -> bool:
    """Whether to ask the registry. Raises StartFailed when that is needed and forbidden."""
    if policy is Pull.NEVER and not present:
        raise ImageNotFound(f"{image} is not on this host, and it may not be pulled")
    return policy is Pull.ALWAYS or (policy is Pull.IF_NOT_PRESENT and not present)


class Progress:
    """Adds up what Docker says of each layer."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._layers: dict[str, dict[str, tuple[int, int]]] = {step: {} for step in _STEPS}

    def take(self, event: Mapping[str, Any]) -> str | None:
        """What to tell people after this event, or None when it changes nothing. Raises StartFailed on an error."""
        if "error" in event:
            raise pull_failed(self._image, str(event["error"]))
        detail = event.get("progressDetail") or {}
        layer, total, step = str(event.get("id", "")), detail.get("total"), str(event.get("status", ""))
        if step not in _STEPS or not total or len(self._layers[step]) > _LAYERS_MAX:
            return None
        layers = self._layers[step]
        layers[layer] = (int(detail.get("current", 0)), int(total))
        done = sum(current for current, _ in layers.values())
        return f"{_STEPS[step]} {self._image}: {done * 100 // sum(size for _, size in layers.values())} %"


def follow(image: str, events: Iterable[Mapping[str, Any]], tell: Callable[[str], None]) -> None:
    """Reads a pull to its end, telling each step once. Raises StartFailed."""
    progress, said = Progress(image), ""
    tell(f"pulling {image}")
    for event in events:
        words = progress.take(event)
        if words is not None and words != said:
            said = words
            tell(words)
