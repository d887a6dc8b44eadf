"""Enrolment: a single-use join token and a key made here become a client certificate.

The token is sent only after the server has shown a certificate chain with the pinned CA in it, over a channel that is
verified against that CA in the ordinary way.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import random
import socket
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from quarterdeck.v1 import agent_pb2, agent_pb2_grpc

from hostagent.backoff import full_jitter_s
from hostagent.identity import (
    Identity,
    IdentityBroken,
    IdentityStore,
    certificate_request,
    certificate_sha256,
    checked,
)

log = structlog.get_logger()
_CONNECT_S = 10.0
_CALL_S = 20.0
_BASE_S = 0.2
_CAP_S = 15.0
# The server may be starting, overloaded or restarting: the same token is still good then.
_RETRIED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
}


class EnrolmentRefused(Exception):
    """This token, pin or target will not work however often it is tried; the message says what to do."""


@dataclass(frozen=True)
class Invitation:
    """What an operator hands to a host: where to enrol, which CA to trust (SHA-256 of its DER, hex), and the token."""

    target: str
    ca_sha256: str
    join_token: str
    token_file: Path | None = None


async def enrol(store: IdentityStore, invitation: Invitation) -> Identity:
    """Enrols, however long the control plane is away, then removes the token's file. Raises EnrolmentRefused."""
    key = store.pending_key()
    attempt = 0
    while True:
        try:
            identity = await _attempt(key, invitation)
            break
        except (OSError, SSL.Error, grpc.aio.AioRpcError) as error:
            if isinstance(error, grpc.aio.AioRpcError) and error.code() not in _RETRIED:
                why = f"{error.code().name}: {error.details()}"
                raise EnrolmentRefused(f"the control plane refuses to enrol this host: {why}") from error
            delay_s = full_jitter_s(attempt, _BASE_S, _CAP_S, random.uniform)
            attempt += 1
            log.warning(
                "enrolment not possible yet", target=invitation.target, why=_why(error), retry_in_s=round(delay_s, 1)
            )
            await asyncio.sleep(delay_s)
    store.save(identity)
    if invitation.token_file is not None:
        invitation.token_file.unlink(missing_ok=True)
    log.info("enrolled", host=identity.host, link_target=identity.link_target)
    return identity


async def _attempt(key: str, invitation: Invitation) -> Identity:
    ca = await asyncio.to_thread(pinned_ca, invitation.target, invitation.ca_sha256)
    request = agent_pb2.EnrolRequest(join_token=invitation.join_token, certificate_request=certificate_request(key))
    credentials = grpc.ssl_channel_credentials(root_certificates=ca.public_bytes(Encoding.PEM))
    options = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.secure_channel(invitation.target, credentials, options=options) as channel:
        response = await agent_pb2_grpc.EnrolmentServiceStub(channel).Enrol(request, timeout=_CALL_S)
    try:
        identity = checked(
            Identity(response.host, response.link_target, key, response.certificate, response.ca_certificate)
        )
    except IdentityBroken as error:
        raise EnrolmentRefused(f"the control plane answered the enrolment with something unusable: {error}") from error
    if not hmac.compare_digest(identity.ca_sha256(), invitation.ca_sha256.lower()):
        raise EnrolmentRefused("the control plane answered with another CA than the pinned one")
    return identity


def pinned_ca(target: str, ca_sha256: str) -> x509.Certificate:
    """The pinned CA's certificate, from the chain that the server shows. Raises EnrolmentRefused, OSError, SSL.Error.

    Nothing is verified and nothing is sent on this connection: the hash alone says whether the certificate is the one.
    """
    for certificate in _shown_chain(target):
        if hmac.compare_digest(certificate_sha256(certificate), ca_sha256.lower()):
            return certificate
    raise EnrolmentRefused(
        f"{target} does not show the pinned CA (SHA-256 {ca_sha256.lower()}): wrong address, wrong hash, or "
        "somebody in between; the join token has not been sent"
    )


def _shown_chain(target: str) -> list[x509.Certificate]:
    host, port = split_target(target)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
    context.set_alpn_protos([b"h2"])
    with socket.create_connection((host, port), timeout=_CONNECT_S) as raw:
        # pyOpenSSL does not wait on a socket with a time-out of Python's: the kernel's own time-outs serve.
        raw.settimeout(None)
        _limit_waiting(raw)
        connection = SSL.Connection(context, raw)
        if not _is_address(host):
            connection.set_tlsext_host_name(host.encode("idna"))
        connection.set_connect_state()
        connection.do_handshake()
        chain = connection.get_peer_cert_chain(as_cryptography=True)
    return list(chain or ())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _limit_waiting(raw: socket.socket) -> None:
    timeval = int(_CONNECT_S).to_bytes(8, "little") + bytes(8)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)


def split_target(target: str) -> tuple[str, int]:
    """HOST:PORT or [V6]:PORT, taken apart. Raises EnrolmentRefused."""
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit():
        raise EnrolmentRefused(f"not a HOST:PORT: {target!r}")
    return host.strip("[]"), int(port)


def _why(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error) or type(error).__name__
