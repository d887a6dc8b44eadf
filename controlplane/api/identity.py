"""Who is calling: the bearer of a token, or the host that a verified client certificate names.

Verification of certificates is the TLS library's alone; here only the name in a verified one is read.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from controlplane.api.admission import Patience
from controlplane.domain.errors import Unauthenticated
from controlplane.domain.identity import Principal
from controlplane.usecases import accounts
from controlplane.usecases.world import World

Metadata = Sequence[tuple[str, str | bytes]]

SPIFFE_HOST = re.compile(r"spiffe://quarterdeck/host/([a-z0-9][a-z0-9-]{0,62})")
CACHE_SIZE = 10_000
MAX_TOKEN_CHARS = 512


@dataclass(frozen=True)
class Caller:
    """Of the RPC at hand. `principal` and `host_id` are set where the access table asks for them; `parting` is told
    with whatever error ends the RPC, such as where its caller may go on; `forsaken` is done when its caller leaves;
    `patience` and `arrived` are set for every handler."""

    request_id: str
    principal: Principal | None = None
    host_id: str = ""
    parting: dict[str, str] = field(default_factory=dict)
    forsaken: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    patience: Patience | None = None
    arrived: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        """By which his share of places is kept, however many connections he has or shares with others; "" of one who
        has not said who he is."""
        return f"{self.principal.project_id}/{self.principal.subject}" if self.principal else self.host_id


_caller: ContextVar[Caller] = ContextVar("caller")


def enter(caller: Caller) -> None:
    """Each RPC runs in a task, and so in a context, of its own: nothing to reset."""
    _caller.set(caller)


def principal() -> Principal:
    """Raises Unauthenticated where the access table let somebody in without a token: a servicer that asks for a
    principal can never go on without one."""
    who = _caller.get().principal
    if who is None:
        raise Unauthenticated("TOKEN_MISSING", "this call needs a bearer token")
    return who


def host_id() -> str:
    """The id in the caller's certificate. Raises Unauthenticated."""
    named = _caller.get().host_id
    if not named:
        raise Unauthenticated("CERTIFICATE_MISSING", "this call needs the client certificate of a host")
    return named


def request_id() -> str:
    return _caller.get().request_id


def patience() -> Patience:
    patience = _caller.get().patience
    assert patience is not None
    return patience


def arrived() -> None:
    """Of a stream, when its token has come: it takes a place of those that have one. Raises Exhausted."""
    _caller.get().arrived()


def when_forsaken(undo: Callable[[], Awaitable[None]]) -> None:
    """What a handler has begun that nobody can ever find once its caller has left."""
    _caller.get().forsaken.append(undo)


async def forsaken() -> None:
    for undo in _caller.get().forsaken:
        await undo()


def parting() -> dict[str, str]:
    """To be filled by a handler. Empty where nobody has been let in."""
    caller = _caller.get(None)
    return caller.parting if caller else {}


class Bearers:
    """Tokens to principals, remembered for `ttl_s`, so that a revoked token works no longer than that. However many
    calls bring a token that is to be looked up, it is looked up once."""

    def __init__(self, world: World, ttl_s: float) -> None:
        self._world = world
        self._ttl_s = ttl_s
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[Principal]] = {}

    async def principal(self, metadata: Metadata) -> Principal:
        """Raises Unauthenticated: no token, two tokens, or none that is valid now."""
        token = bearer_token(metadata)
        key = hashlib.sha256(token.encode()).digest()
        known = self._known.get(key)
        if known is not None and time.monotonic() - known[0] < self._ttl_s:
            return known[1]
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._ask(key, token))
            self._asked[key].add_done_callback(asyncio.Task.exception)  # also when nobody waits for it any more
        # One caller that leaves takes the answer from nobody else.
        return await asyncio.shield(self._asked[key])

    async def _ask(self, key: bytes, token: str) -> Principal:
        self._known.pop(key, None)
        now = time.monotonic()
        try:
            who = await accounts.authenticate(self._world, token)
        finally:
            del self._asked[key]
        self._known[key] = (now, who)
        while len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)
        return who

    def forget(self, token_ids: Collection[str]) -> None:
        """Tokens that were revoked here stop working here at once."""
        self._known = OrderedDict(
            (key, entry) for key, entry in self._known.items() if entry[1].token_id not in token_ids
        )


def bearer_token(metadata: Metadata) -> str:
    """The one token of `authorization: Bearer …`. Raises Unauthenticated."""
    given = [value for key, value in metadata if key == "authorization"]
    if not given:
        raise Unauthenticated("TOKEN_MISSING", "this call needs a bearer token in the authorization metadata")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 and isinstance(given[0], str) else ("", "", "")
    if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN_CHARS or not token.isascii():
        raise Unauthenticated("TOKEN_MALFORMED", "the authorization metadata must be one 'Bearer TOKEN'")
    return token


def host_of(auth_context: Mapping[str, Iterable[bytes]]) -> str:
    """The host that the verified client certificate names. Raises Unauthenticated unless it names exactly one."""
    names = [name.decode("utf-8", "replace") for name in auth_context.get("x509_subject_alternative_name", ())]
    hosts = [match.group(1) for name in names if (match := SPIFFE_HOST.fullmatch(name))]
    if len(hosts) != 1 or len(names) != 1:
        raise Unauthenticated("CERTIFICATE_NAMES_NO_HOST", "the client certificate does not name exactly one host")
    return hosts[0]
