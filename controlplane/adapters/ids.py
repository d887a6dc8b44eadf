"""Randomness from the operating system: ids for people and logs, secrets for nobody's eyes."""

from __future__ import annotations

import base64
import secrets


class RandomIds:
    """Implements interfaces.Ids."""

    def new(self, prefix: str) -> str:
        return f"{prefix}-{base64.b32encode(secrets.token_bytes(10)).decode().lower()}"

    def secret(self) -> str:
        return secrets.token_urlsafe(32)
