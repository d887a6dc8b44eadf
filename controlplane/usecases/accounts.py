"""Credentials: bearer tokens, one-time sign-in codes. Only SHA-256 hashes of 256-bit secrets are kept."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from controlplane.domain.errors import AlreadyExists, Unauthenticated, WrongState
from controlplane.domain.identity import DEFAULT_PROJECT, Credential, CredentialKind, Principal, Role
from controlplane.interfaces import AuditEntry, Ids, Store, Tx
from controlplane.usecases.world import World, operators_only


async def authenticate(world: World, token: str) -> Principal:
    """Who this bearer token is. Raises Unauthenticated, with one answer for unknown, expired and revoked."""
    async with world.store.reading() as tx:
        credential = await tx.credentials.by_secret(CredentialKind.BEARER, _hash(token))
        if credential is None or not credential.valid(await tx.now()):
            raise Unauthenticated("TOKEN_INVALID", "this token is unknown, expired or revoked; sign in again")
    return _principal(credential)


async def sign_in(world: World, code: str) -> tuple[str, datetime, Principal]:
    """(token, end, who) for a one-time code; of two that present it exactly one wins. Raises Unauthenticated."""
    refused = Unauthenticated(
        "SIGN_IN_CODE_INVALID",
        "this sign-in code is unknown, used or expired; `quarterdeck signin` makes a new link",
    )
    async with world.store.tx() as tx:
        credential = await tx.credentials.by_secret(CredentialKind.SIGN_IN, _hash(code))
        now = await tx.now()
        if credential is None or not credential.valid(now) or not await tx.credentials.use(credential.id, now):
            raise refused
        who = _principal(credential)
        token, ends_at = await _issue(tx, world.ids, CredentialKind.BEARER, who, world.policy.token_ttl_s, now)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "SignIn", "account", ""))
    return token, ends_at, who


async def create_sign_in_code(world: World, who: Principal) -> tuple[str, datetime]:
    """(code, end): for a browser, with the caller's own rights."""
    async with world.store.tx() as tx:
        code = await _issue(tx, world.ids, CredentialKind.SIGN_IN, who, world.policy.sign_in_ttl_s, await tx.now())
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreateSignInCode", "account", ""))
    return code


async def sign_out(world: World, who: Principal) -> None:
    """Revokes the token that the caller came with."""
    async with world.store.tx() as tx:
        await tx.credentials.revoke(who.token_id, await tx.now())
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "SignOut", "account", ""))


async def create_token(
    world: World,
    who: Principal,
    subject: str,
    role: Role,
    ttl_s: float | None,
    request_id: str,
    client_token: str = "",
) -> tuple[str, datetime]:
    """(token, end) for another program or person of the same project. The same client token of the same caller gives
    the same token, which follows from it and from the house's key, so that only a hash need be kept (I20).

    Raises AlreadyExists (client token of another request), WrongState (of a token that is over)."""
    operators_only(who)
    other = Principal(who.project_id, subject, role)
    lifetime_s = world.policy.token_ttl_s if ttl_s is None else ttl_s
    secret = world.stream_tokens.secret_of("token", who.project_id, who.subject, client_token) if client_token else ""
    async with world.store.tx() as tx:
        now = await tx.now()
        try:
            token = await _issue(tx, world.ids, CredentialKind.BEARER, other, lifetime_s, now, secret)
        except AlreadyExists:
            earlier = await tx.credentials.by_secret(CredentialKind.BEARER, _hash(secret))
            if earlier is None:
                raise
            return secret, _repeated(earlier, other, lifetime_s, now)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreateToken", subject, request_id))
    return token


def _repeated(earlier: Credential, other: Principal, lifetime_s: float, now: datetime) -> datetime:
    """The end of a token that is asked for again."""
    asked = (other.project_id, other.subject, other.role, timedelta(seconds=lifetime_s))
    if (earlier.project_id, earlier.subject, earlier.role, earlier.expires_at - earlier.created_at) != asked:
        raise AlreadyExists(
            "CLIENT_TOKEN_MISMATCH",
            "this client_token made a token for another subject, role or time; use a new one",
            field="client_token",
        )
    if not earlier.valid(now):
        raise WrongState(
            "TOKEN_OVER", "what this client_token made is expired or revoked; use a new one", field="client_token"
        )
    return earlier.expires_at


async def ensure_operator(store: Store, ids: Ids, token: str) -> Principal:
    """Makes `token`, which whoever installs a control plane has made and kept, an operator's."""
    who = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
    async with store.tx() as tx:
        known = await tx.credentials.by_secret(CredentialKind.BEARER, _hash(token))
        now = await tx.now()
        if known is None or not known.valid(now):
            await _issue(tx, ids, CredentialKind.BEARER, who, 3650 * 86400.0, now, secret=token)
    return who


async def _issue(
    tx: Tx, ids: Ids, kind: CredentialKind, who: Principal, ttl_s: float, now: datetime, secret: str = ""
) -> tuple[str, datetime]:
    secret = secret or ids.secret()
    ends_at = now + timedelta(seconds=ttl_s)
    await tx.credentials.add(
        Credential(
            id=ids.new("c"),
            kind=kind,
            project_id=who.project_id,
            subject=who.subject,
            role=who.role,
            secret_sha256=_hash(secret),
            created_at=now,
            expires_at=ends_at,
        )
    )
    return secret, ends_at


def _principal(credential: Credential) -> Principal:
    return Principal(credential.project_id, credential.subject, credential.role, credential.id)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
