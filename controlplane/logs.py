"""Sets up structlog for every role: console or JSON lines on stderr, with secrets struck out by key name."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRET_KEY = re.compile(
    r"token|secret|password|passwd|authorization|cookie|credential|private|api_?key|^code$|_code$|^key$", re.IGNORECASE
)
HARMLESS_KEYS = frozenset({"exit_code", "status_code", "grpc_code", "client_token", "resume_token", "page_token"})
URL_PASSWORD = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE)
STRUCK_OUT = "[redacted]"
MESSAGES_KNOWN = 1000


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Strikes out values whose key names a secret, at any depth, and credentials inside URLs."""
    for key in list(event):
        event[key] = _clean(key, event[key], depth=0)
    return event


def _clean(key: str, value: object, depth: int) -> object:
    if key not in HARMLESS_KEYS and SECRET_KEY.search(key):
        return STRUCK_OUT
    if depth > 4:
        return STRUCK_OUT
    if isinstance(value, dict):
        return {inner: _clean(str(inner), item, depth + 1) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", item, depth + 1) for item in value]
    if isinstance(value, str):
        return URL_PASSWORD.sub(rf"\g<scheme>{STRUCK_OUT}@", value)
    return value


class Seldom(logging.Filter):
    """Of what strangers make a library say over and over, such as "Invalid HTTP request received.", once in a while."""

    def __init__(self, every_s: float = 60.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message = str(record.msg)
        now = time.monotonic()
        if now - self._said.get(message, -self._every_s) < self._every_s:
            return False
        if len(self._said) >= MESSAGES_KNOWN:
            self._said.clear()
        self._said[message] = now
        return True


def configure(log_format: str, level: str, **bound: str) -> None:
    """Configures structlog and the standard library's loggers alike, as "json" or for a "console"; `bound` (role,
    replica) goes with every line."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = (
        [structlog.processors.dict_tracebacks, redact, structlog.processors.JSONRenderer(ensure_ascii=False)]
        if log_format == "json"
        else [structlog.processors.format_exc_info, redact, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("uvicorn.access", "uvicorn.error", "httpx", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for stirred in ("uvicorn.error", "asyncio"):
        logging.getLogger(stirred).filters[:] = [Seldom()]
    structlog.contextvars.bind_contextvars(**bound)
