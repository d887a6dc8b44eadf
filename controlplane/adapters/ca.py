"""The house's own keys: a certificate authority for agents and the listeners they dial, and the stream token key.

Each is created once under a file lock, 0600, in the CA directory, which replicas on several machines share; where they
are there, the directory is only read, so that it may be mounted read-only.
Agents pin the SHA-256 of the CA certificate, so every chain served includes it.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controlplane.domain.errors import InvalidRequest

SPIFFE_HOST = "spiffe://quarterdeck/host/"
CA_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=365)  # made anew at each start of a listener, so it is never that old
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class ServerCertificate:
    """PEM of a listener's key and of its chain, leaf first and the CA last."""

    key_pem: bytes
    chain_pem: bytes


class FileCertificateAuthority:
    """The CertificateAuthority of the interfaces, on a directory. `cert_ttl_s` is the life of a host's certificate."""

    def __init__(self, directory: Path, cert_ttl_s: float, clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        """Creates key and certificate when there are none. Raises OSError when the directory cannot be used."""
        self._cert_ttl = timedelta(seconds=cert_ttl_s)
        self._clock = clock
        key_file, certificate_file = directory / "ca.key", directory / "ca.crt"

        def create() -> None:
            key = ec.generate_private_key(ec.SECP256R1())
            write_private(key_file, _key_pem(key))
            write_private(certificate_file, _pem(_self_signed(key, clock())))

        _once(certificate_file, create)
        self._key = _load_key(key_file)
        self._certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())

    @property
    def ca_pem(self) -> str:
        return _pem(self._certificate).decode()

    @property
    def ca_sha256(self) -> str:
        return self._certificate.fingerprint(hashes.SHA256()).hex()

    def issue_host_certificate(self, host_id: str, certificate_request_der: bytes) -> tuple[str, str, datetime]:
        """PEM, serial (hex) and end of a client certificate for `spiffe://quarterdeck/host/<id>`; of the request only
        the public key counts. Raises InvalidRequest when it is not PKCS #10 signed with a P-256 key."""
        public_key = _requested_key(certificate_request_der)
        now = self._clock()
        builder = (
            self._builder(host_id, public_key, now, now + self._cert_ttl)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SPIFFE_HOST + host_id)]), critical=False
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        return _pem(certificate).decode(), f"{certificate.serial_number:x}", certificate.not_valid_after_utc

    def server_certificate(self, names: Iterable[str]) -> ServerCertificate:
        """A fresh key and chain for a listener that is dialled as localhost, 127.0.0.1, ::1 or one of `names`."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._clock()
        wanted = dict.fromkeys(["localhost", "127.0.0.1", "::1", *(name for name in names if name)])
        builder = (
            self._builder("quarterdeck", key.public_key(), now, now + SERVER_LIFETIME)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in wanted]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        )
        leaf = builder.sign(self._key, hashes.SHA256())
        return ServerCertificate(_key_pem(key), _pem(leaf) + _pem(self._certificate))

    def _builder(
        self, common_name: str, public_key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(common_name))
            .issuer_name(self._certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(min(end, self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Creates `directory` (0700) and holds its lock, so that replicas that start together agree on one set of keys."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_private(path: Path, content: bytes) -> None:
    """Writes a file of mode 0600 whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def stream_token_key(directory: Path) -> bytes:
    """The key that signs stream tokens, 32 random bytes, the same for all replicas."""
    key_file = directory / "stream-token.key"
    _once(key_file, lambda: write_private(key_file, os.urandom(32)))
    return key_file.read_bytes()


def _once(last: Path, create: Callable[[], None]) -> None:
    """Calls `create`, which writes the file `last` after all others, where that is not there; one process does."""
    if last.exists():
        return
    with locked(last.parent):
        if not last.exists():
            create()


def _self_signed(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(_name("Quarterdeck CA"))
        .issuer_name(_name("Quarterdeck CA"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _requested_key(certificate_request_der: bytes) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_der_x509_csr(certificate_request_der)
        public_key = request.public_key()
        if isinstance(public_key, ec.EllipticCurvePublicKey) and public_key.curve.name == ec.SECP256R1.name:
            if not request.is_signature_valid:
                raise _bad_request()
            return public_key
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise _bad_request() from error
    raise _bad_request()


def _bad_request() -> InvalidRequest:
    return InvalidRequest(
        "CERTIFICATE_REQUEST_INVALID",
        "certificate_request must be PKCS #10 in DER, signed with the P-256 key it carries",
        field="certificate_request",
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise OSError(f"{path} is not an EC key; restore it from a backup, or remove the directory to make a new CA")
    return key
