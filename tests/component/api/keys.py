"""A host's key and certificate."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Key:
    """A host's key, and its certificate once it has one."""

    private: ec.EllipticCurvePrivateKey
    certificate: str = ""
    ca: str = ""

    @staticmethod
    def new() -> Key:
        return Key(ec.generate_private_key(ec.SECP256R1()))

    def request(self) -> bytes:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whoever")])
        built = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self.private, hashes.SHA256())
        return built.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
