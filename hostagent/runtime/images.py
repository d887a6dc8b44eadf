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


def check_allowed(image: str, allowed: Sequence[str], digest_needed: bool) -> None:
    """Raises StartFailed for an image that this host's operator has not let in."""
    if not _REFERENCE.fullmatch(image) or ".." in image:
        raise StartFailed(f"{image[:100]!r} is not the name of an image")
    if digest_needed and "@sha256:" not in image:
        raise StartFailed(f"this host runs only images pinned by digest, and {image} is not")
    if not any(fnmatchcase(image, pattern) for pattern in allowed):
        raise StartFailed(f"{image} is not on this host's list of allowed images")


def must_pull(image: str, policy: Pull, present: bool) -> bool:
    """Whether to ask the registry. Raises StartFailed when that is needed and forbidden."""
    if policy is Pull.NEVER and not present:
        raise StartFailed(f"{image} is not on this host, and it may not be pulled")
    return policy is Pull.ALWAYS or (policy is Pull.IF_NOT_PRESENT and not present)


class Progress:
    """Adds up what Docker says of each layer."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._layers: dict[str, tuple[int, int]] = {}

    def take(self, event: Mapping[str, Any]) -> str | None:
        """What to tell people after this event, or None when it changes nothing. Raises StartFailed on an error."""
        if "error" in event:
            raise StartFailed(f"{self._image} cannot be pulled: {str(event['error'])[:300]}")
        detail = event.get("progressDetail") or {}
        layer, total = str(event.get("id", "")), detail.get("total")
        if event.get("status") != "Downloading" or not total or len(self._layers) > _LAYERS_MAX:
            return None
        self._layers[layer] = (int(detail.get("current", 0)), int(total))
        done = sum(current for current, _ in self._layers.values())
        return f"pulling {self._image}: {done * 100 // sum(size for _, size in self._layers.values())} %"


def follow(image: str, events: Iterable[Mapping[str, Any]], tell: Callable[[str], None]) -> None:
    """Reads a pull to its end, telling each step once. Raises StartFailed."""
    progress, said = Progress(image), ""
    tell(f"pulling {image}")
    for event in events:
        words = progress.take(event)
        if words is not None and words != said:
            said = words
            tell(words)
