"""What the value of a setting may be: each takes what was written and returns what is meant. Raises ValueError, which
says what it must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DATABASES = {"sqlite:///": "sqlite:///", "postgresql://": "postgresql+psycopg://"}


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def path(value: Any) -> Path:
    return Path(value).expanduser().absolute()


def seconds(at_least: float, above: bool = False) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            raise ValueError("must be a number of seconds") from None
        if not at_least <= seconds < float("inf") or (above and seconds == at_least):
            raise ValueError(f"must be {'more than' if above else 'at least'} {at_least:g} seconds")
        return seconds

    return parse


def port(value: Any) -> int:
    if isinstance(value, bool) or not str(value).isdecimal() or not 1 <= int(value) <= 65535:
        raise ValueError("must be a port from 1 to 65535")
    return int(value)


def port_range(value: Any) -> tuple[int, int]:
    first, dash, last = str(value).partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and 1024 <= int(first) <= int(last) <= 65535):
        raise ValueError("must be FIRST-LAST within 1024-65535")
    return int(first), int(last)


def words(value: Any) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ValueError("must be a list of texts, in the environment with commas between them")
    return tuple(word.strip() for word in words if word.strip())


def ice_servers(value: Any) -> tuple[str, ...]:
    urls = words(value)
    if not all(url.startswith(("stun:", "turn:", "turns:")) and "@" not in url for url in urls):
        raise ValueError("must be stun:HOST:PORT, turn:HOST:PORT or turns:HOST:PORT, with commas between them")
    return urls


def one_of(*allowed: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return str(value)

    return parse


def database(value: Any) -> str:
    """The short forms are good too; the rest of the house sees the driver named."""
    for short, full in DATABASES.items():
        if text(value).startswith((short, full)):
            return full + str(value).removeprefix(short).removeprefix(full)
    raise ValueError("must start with sqlite:/// or postgresql+psycopg://")


def objects(value: Any) -> str:
    parts = urlsplit(text(value))
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold no credentials and no options; those come from the environment (AWS_ACCESS_KEY_ID)")
    if not (parts.scheme == "file" and parts.path and not parts.netloc) and not (parts.scheme == "s3" and parts.netloc):
        raise ValueError("must be file:///DIRECTORY or s3://BUCKET/PREFIX")
    return str(value)


def endpoint(value: Any) -> str:
    parts = urlsplit(text(value))
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.username or parts.query:
        raise ValueError("must be https://HOST:PORT (or http://), without credentials")
    return str(value)


def replica(value: Any) -> str:
    if len(text(value)) > 40 or not value.replace("-", "").isalnum() or not value.isascii() or value != value.lower():
        raise ValueError("must be up to 40 lower-case letters, digits and dashes")
    return str(value)


def count(value: Any) -> int:
    if isinstance(value, bool) or not str(value).isdecimal():
        raise ValueError("must be a whole number from 0")
    return int(value)


def figures(bounds: Mapping[str, tuple[float, float]]) -> Callable[[Any], dict[str, float]]:
    """Some of these figures, each within its bounds; the others keep their defaults."""

    def parse(value: Any) -> dict[str, float]:
        entries = [entry.partition("=")[::2] for entry in value.split(",")] if isinstance(value, str) else value.items()
        figures = {}
        for word, figure in entries:
            name = str(word).strip()
            if name not in bounds:
                raise ValueError(f"knows no '{name}', only {', '.join(bounds)}")
            least, most = bounds[name]
            figures[name] = float(figure)
            if not least <= figures[name] <= most:
                raise ValueError(f"{name} must be from {least:g} to {most:g}")
        return figures

    return parse


SCHEDULE_WORDS = (
    "some of attempts=5,first_delay_s=5,multiplier=2,cap_s=300,jitter=0.5,budget_s=3600; default: as in docs/renting.md"
)
schedule = figures(
    {
        "attempts": (1, 1000),
        "first_delay_s": (0, 86400),
        "multiplier": (1, 100),
        "cap_s": (0, 86400),
        "jitter": (0, 1),
        "budget_s": (0, 31 * 86400),
    }
)
FAULTS = ("sold_out", "lost_order", "lost_reply", "broken", "silent", "api_error", "forbidden", "stubborn")
faults = figures(dict.fromkeys(FAULTS, (0, 1)))
POSITIVE, NOT_NEGATIVE = seconds(0, above=True), seconds(0)
