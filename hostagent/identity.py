"""Who this host is: its key, made here and never sent, and the certificate that the control plane gave for it.

All of it lies in one file, replaced atomically, so that key and certificate always belong together.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from hostagent.files import write_atomic

_FILE = "identity.json"
_PENDING_KEY = "enrolling.key"
_SHORTEST_LIFE_S = 3.0


class IdentityBroken(Exception):
    """What the control plane sent, or what lies in the data directory, is no usable identity."""


@dataclass(frozen=True)
class Identity:
    """An enrolled host. All PEM texts; `host` is the resource name hosts/{vm}."""

    host: str
    link_target: str
    key: str
    certificate: str
    ca_certificate: str
    # When this certificate came, by this host's own clock: no decision compares two machines' clocks.
    received_wall_s: float = field(default_factory=time.time)

    def validity(self) -> tuple[datetime, datetime]:
        """From when until when the certificate is valid (UTC)."""
        leaf = x509.load_pem_x509_certificate(self.certificate.encode())
        return leaf.not_valid_before_utc, leaf.not_valid_after_utc

    def ca_sha256(self) -> str:
        """SHA-256 of the pinned CA certificate's DER, hex."""
        return certificate_sha256(x509.load_pem_x509_certificate(self.ca_certificate.encode()))

    def renew_at_wall_s(self) -> float:
        """When two thirds of the certificate's life will be over (this host's wall clock, seconds)."""
        start, end = self.validity()
        # Certificates are dated back a little. What this host's own clock says of the end may only shorten the wait.
        life_s = min((end - start).total_seconds(), end.timestamp() - self.received_wall_s)
        return self.received_wall_s + max(_SHORTEST_LIFE_S, life_s) * 2 / 3

    def seems_over(self) -> bool:
        """True when, as far as this host's clock can tell, the certificate no longer opens the link."""
        return time.time() >= self.validity()[1].timestamp()


def certificate_sha256(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate's DER, hex: the form in which a CA is pinned."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def new_key() -> str:
    """A fresh EC P-256 key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def certificate_request(key_pem: str) -> bytes:
    """A PKCS #10 request for the key, DER. The control plane ignores the subject."""
    key = load_pem_private_key(key_pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityBroken("the stored key is not an EC key")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "quarterdeck-agent")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.DER)


def checked(identity: Identity) -> Identity:
    """The identity, if certificate and key belong together. Raises IdentityBroken."""
    try:
        leaf = x509.load_pem_x509_certificate(identity.certificate.encode())
        x509.load_pem_x509_certificate(identity.ca_certificate.encode())
        key = load_pem_private_key(identity.key.encode(), None)
    except ValueError as error:
        raise IdentityBroken(f"unreadable certificate or key: {error}") from error
    if leaf.public_key() != key.public_key():
        raise IdentityBroken("the certificate is not for this host's key")
    if not identity.link_target or not identity.host:
        raise IdentityBroken("the enrolment names no host or no link target")
    return identity


class IdentityStore:
    """The identity in the data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / _FILE
        self._pending = data_dir / _PENDING_KEY

    def load(self) -> Identity | None:
        """The stored identity; None before enrolment. Raises IdentityBroken."""
        try:
            return checked(Identity(**json.loads(self._path.read_text(encoding="utf-8"))))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise IdentityBroken(f"{self._path}: {error}") from error

    def save(self, identity: Identity) -> None:
        """Replaces the identity; only this user may read it."""
        write_atomic(self._path, json.dumps(asdict(identity), indent=1).encode())
        self._pending.unlink(missing_ok=True)

    def pending_key(self) -> str:
        """The key of an enrolment under way: kept, so that a lost answer can be asked for again with the same key."""
        try:
            return self._pending.read_text(encoding="ascii")
        except FileNotFoundError:
            key = new_key()
            write_atomic(self._pending, key.encode())
            return key
