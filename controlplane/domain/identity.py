"""Who calls and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

DEFAULT_PROJECT = "default"


class Role(StrEnum):
    PLAYER = "PLAYER"
    OPERATOR = "OPERATOR"


@dataclass(frozen=True)
class Principal:
    """The caller of a use case: always of exactly one project."""

    project_id: str
    subject: str
    role: Role
    token_id: str = ""

    @property
    def sees_only(self) -> str:
        """Whose sessions and saves this caller sees: a player his own; "" for an operator, who sees the project's."""
        return "" if self.role is Role.OPERATOR else self.subject

    def sees(self, owner: str) -> bool:
        return self.sees_only in ("", owner)


class CredentialKind(StrEnum):
    """A bearer token works until it expires; the others are single-use."""

    BEARER = "BEARER"
    SIGN_IN = "SIGN_IN"
    JOIN = "JOIN"


@dataclass(frozen=True)
class Credential:
    """A secret's row. Only the SHA-256 of the secret (256 random bits) is kept; `vm_id` binds a JOIN token.

    `parent_id` is the credential that it was made with: it ends no later, and is revoked with it."""

    id: str
    kind: CredentialKind
    project_id: str
    subject: str
    role: Role
    secret_sha256: str
    created_at: datetime
    expires_at: datetime
    vm_id: str = ""
    used_at: datetime | None = None
    revoked_at: datetime | None = None
    parent_id: str = ""

    @property
    def name(self) -> str:
        return f"tokens/{self.id}"

    def valid(self, now: datetime) -> bool:
        return self.revoked_at is None and self.used_at is None and now < self.expires_at
