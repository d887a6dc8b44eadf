"""Credentials: bearer tokens, one-time sign-in codes. Only SHA-256 hashes of 256-bit secrets are kept.

What is made with a token ends no later than that token, and is revoked with it: nobody outlives his credential by
making himself another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from controlplane.domain.errors import Exhausted, Forbidden, NotFound, Unauthenticated, WrongState
from controlplane.domain.identity import DEFAULT_PROJECT, Credential, CredentialKind, Principal, Role
from controlplane.interfaces import AuditEntry, Ids, Page, Store, Tx
from controlplane.usecases.repeating import Create, once
from controlplane.usecases.world import World, operators_only

OPERATOR_TTL_S = 3650 * 86400.0


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
        if credential is None or not credential.valid(now):
            raise refused
        # The token is a child of the one that made the code, not of the code, which lasts but minutes.
        who = replace(_principal(credential), token_id=credential.parent_id)
        token, made = await _issue(tx, world, CredentialKind.BEARER, who, who, world.policy.token_ttl_s)
        # Parents before children, as a revocation locks them.
        if not await tx.credentials.use(credential.id, now):
            raise refused
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "SignIn", "account", ""))
    return token, made.expires_at, _principal(made)


async def create_sign_in_code(world: World, who: Principal, *, displacing: bool = False) -> tuple[str, datetime]:
    """(code, end): for a browser, with the caller's own rights. Where the caller has too many codes the oldest goes
    with `displacing`; without, it raises Exhausted."""
    async with world.store.tx() as tx:
        ttl_s = world.policy.sign_in_ttl_s
        code, made = await _issue(tx, world, CredentialKind.SIGN_IN, who, who, ttl_s, displacing=displacing)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreateSignInCode", "account", ""))
    return code, made.expires_at


async def sign_out(world: World, who: Principal) -> Sequence[str]:
    """Revokes the token that the caller came with, and what was made with it; their ids."""
    async with world.store.tx() as tx:
        revoked = await tx.credentials.revoke(who.token_id, await tx.now())
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "SignOut", "account", ""))
    return revoked


async def list_tokens(world: World, who: Principal, subject: str, page: Page) -> Sequence[Credential]:
    """Tokens that work now, newest first: of a player his own, of an operator those of the project, or of `subject`."""
    if who.role is not Role.OPERATOR:
        if subject not in ("", who.subject):
            raise Forbidden("OPERATOR_REQUIRED", "only an operator of the project sees the tokens of others")
        subject = who.subject
    async with world.store.reading() as tx:
        return await tx.credentials.valid(who.project_id, subject, CredentialKind.BEARER, await tx.now(), page)


async def revoke_token(
    world: World, who: Principal, token_id: str, request_id: str
) -> tuple[Credential, Sequence[str]]:
    """Revokes one that `list_tokens` tells the caller of, and all that was made with it; it, and their ids. Once more
    changes nothing. Raises NotFound."""
    async with world.store.tx() as tx:
        found = await tx.credentials.lock(token_id)
        ours = found is not None and found.kind is CredentialKind.BEARER and found.project_id == who.project_id
        if found is None or not ours or (who.role is not Role.OPERATOR and found.subject != who.subject):
            raise NotFound("TOKEN_NOT_FOUND", f"there is no token 'tokens/{token_id}'", field="name")
        revoked = await tx.credentials.revoke(token_id, await tx.now())
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "RevokeToken", found.name, request_id))
    return found, revoked


async def create_token(
    world: World,
    who: Principal,
    subject: str,
    role: Role,
    ttl_s: float | None,
    request_id: str,
    client_token: str = "",
) -> tuple[str, Credential]:
    """(token, its row) for another program or person of the same project, as long as the caller's own at most. The same
    client token of the same caller gives the same token, which follows from its id and the house's key, so that only a
    hash need be kept (I20).

    Raises AlreadyExists (client token of another request, or of a token that is over), Exhausted."""
    operators_only(who)
    other = Principal(who.project_id, subject, role)
    lifetime_s = world.policy.token_ttl_s if ttl_s is None else ttl_s
    # What a caller calls it is his own business; that its maker's token counts, too, lets no other one outlive its end.
    own_token = f"{who.subject}/{client_token}" if client_token else ""
    create = Create(who, "CreateToken", own_token, (subject, str(role), ttl_s, who.token_id))
    async with world.store.tx() as tx:

        async def make() -> tuple[str, Credential]:
            repeatable = bool(client_token)
            made = await _issue(tx, world, CredentialKind.BEARER, who, other, lifetime_s, repeatable=repeatable)
            await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreateToken", subject, request_id))
            return made

        async def find(name: str) -> tuple[str, Credential] | None:
            secret = _repeatable(world, name.removeprefix("tokens/"))
            made = await tx.credentials.by_secret(CredentialKind.BEARER, _hash(secret))
            return (secret, made) if made is not None and made.valid(await tx.now()) else None

        return await once(tx, create, make, lambda made: made[1].name, find)


async def ensure_operator(store: Store, ids: Ids, token: str) -> Principal:
    """Makes `token`, which whoever installs a control plane has made and kept, an operator's. Raises WrongState for one
    that has been revoked. Who that is, with the token's id: what the house makes with it ends with it."""
    who = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
    async with store.tx() as tx:
        known = await tx.credentials.by_secret(CredentialKind.BEARER, _hash(token))
        now = await tx.now()
        if known is None:
            ends_at = now + timedelta(seconds=OPERATOR_TTL_S)
            known = _credential(ids.new("c"), CredentialKind.BEARER, who, token, now, ends_at)
            await tx.credentials.add(known)
        elif not known.valid(now):
            raise WrongState(
                "OPERATOR_TOKEN_OVER",
                "the operator token in the file has been revoked or is over; delete the file, and a new one is made",
            )
    return replace(who, token_id=known.id)


async def _issue(
    tx: Tx,
    world: World,
    kind: CredentialKind,
    maker: Principal,
    who: Principal,
    ttl_s: float,
    *,
    repeatable: bool = False,
    displacing: bool = False,
) -> tuple[str, Credential]:
    """A new secret of `who`, made with the token that `maker` came with; a `repeatable` one follows from its row's id.
    Raises Unauthenticated where that token is over by now; Exhausted where `who` has too many in this role, unless the
    oldest is to go, `displacing` it."""
    now = await tx.now()
    ends_at = now + timedelta(seconds=ttl_s)
    if maker.token_id:
        parent = await tx.credentials.lock(maker.token_id)
        if parent is None or not parent.valid(now):
            raise Unauthenticated("TOKEN_INVALID", "this token is unknown, expired or revoked; sign in again")
        ends_at = min(ends_at, parent.expires_at)
    most = world.policy.tokens_each if kind is CredentialKind.BEARER else world.policy.sign_in_codes_each
    held = await tx.credentials.valid(who.project_id, who.subject, kind, now, Page(size=most), who.role)
    if len(held) >= most and displacing:
        await tx.credentials.revoke(held[-1].id, now)
    elif len(held) >= most:
        raise Exhausted(
            "TOO_MANY_CREDENTIALS",
            f"{who.subject} has {most} valid ones of these; revoke some of its tokens, or wait until they expire",
        )
    credential_id = world.ids.new("c")
    secret = _repeatable(world, credential_id) if repeatable else world.ids.secret()
    made = _credential(credential_id, kind, who, secret, now, ends_at, maker.token_id)
    await tx.credentials.add(made)
    return secret, made


def _repeatable(world: World, credential_id: str) -> str:
    return world.stream_tokens.secret_of("token", credential_id)


def _credential(
    credential_id: str,
    kind: CredentialKind,
    who: Principal,
    secret: str,
    now: datetime,
    ends_at: datetime,
    parent_id: str = "",
) -> Credential:
    return Credential(
        id=credential_id,
        kind=kind,
        project_id=who.project_id,
        subject=who.subject,
        role=who.role,
        secret_sha256=_hash(secret),
        created_at=now,
        expires_at=ends_at,
        parent_id=parent_id,
    )


def _principal(credential: Credential) -> Principal:
    return Principal(credential.project_id, credential.subject, credential.role, credential.id)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
