"""Tokens of streams and downloads as JWTs (RFC 7519), signed with the control plane's own key (HMAC-SHA256).

Their audiences tell them apart; that a stream's is used once is the store's business. Secrets that can be told again
without being kept follow from a key of their own, made of that one.
"""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime

import jwt

from controlplane.domain.errors import Unauthenticated

ALGORITHM = "HS256"
AUDIENCE = "quarterdeck-stream"
DOWNLOADS = "quarterdeck-download"
ROLES = ("PLAYER", "VIEWER")


class JwtStreamTokens:
    """Implements interfaces.StreamTokens. `key`: at least 32 random bytes, shared by all replicas."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("the key for stream tokens must have at least 32 bytes")
        self._key = key
        self._secrets = hmac.digest(key, b"quarterdeck secrets", "sha256")

    def sign(self, session_id: str, role: str, expires_at: datetime, jti: str) -> str:
        claims = {"aud": AUDIENCE, "sub": session_id, "role": role, "exp": expires_at.timestamp(), "jti": jti}
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)

    def verify(self, token: str, now: datetime) -> tuple[str, str, str, datetime]:
        """Raises Unauthenticated. `now` is the database's clock, so the library's own check of `exp` is off."""
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                options={"require": ["exp", "sub", "jti", "role"], "verify_exp": False},
            )
            session_id, role, jti = str(claims["sub"]), str(claims["role"]), str(claims["jti"])
            ends_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
        except (jwt.PyJWTError, ValueError, OverflowError) as error:
            raise Unauthenticated("STREAM_TOKEN_INVALID", "this stream token is not one of ours") from error
        if role not in ROLES:
            raise Unauthenticated("STREAM_TOKEN_INVALID", "this stream token has an unknown role")
        if now >= ends_at:
            raise Unauthenticated("STREAM_TOKEN_EXPIRED", "this stream token has expired; ask for a new one")
        return session_id, role, jti, ends_at

    def secret_of(self, *words: str) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self._secrets, json.dumps(words).encode(), "sha256")).decode()

    def sign_download(self, name: str, project_id: str, expires_at: datetime) -> str:
        claims = {"aud": DOWNLOADS, "sub": name, "project": project_id, "exp": expires_at.timestamp()}
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)

    def verify_download(self, token: str, now: datetime) -> tuple[str, str]:
        """Raises Unauthenticated; as `verify`."""
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=DOWNLOADS,
                options={"require": ["exp", "sub", "project"], "verify_exp": False},
            )
            ends_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
        except (jwt.PyJWTError, ValueError, OverflowError) as error:
            raise Unauthenticated("DOWNLOAD_TOKEN_INVALID", "this is no download of ours") from error
        if now >= ends_at:
            raise Unauthenticated("DOWNLOAD_TOKEN_EXPIRED", "this download has expired; ask for a new one")
        return str(claims["sub"]), str(claims["project"])
