"""The certificate authority and the stream tokens, on a real directory and with real TLS libraries."""

from __future__ import annotations

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.verification import PolicyBuilder, Store

from controlplane.adapters.ca import FileCertificateAuthority, stream_token_key
from controlplane.adapters.stream_tokens import JwtStreamTokens
from controlplane.domain.errors import InvalidRequest, Unauthenticated

NOW = datetime.now(UTC).replace(microsecond=0)


def certificate_request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str = "anything") -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def test_a_host_certificate_names_the_host_and_nothing_the_request_asked_for(tmp_path: Path) -> None:
    authority = FileCertificateAuthority(tmp_path / "ca", cert_ttl_s=3600, clock=lambda: NOW)
    key = ec.generate_private_key(ec.SECP256R1())

    pem, serial, end = authority.issue_host_certificate("vm-1", certificate_request(key, name="vm-2"))

    certificate = x509.load_pem_x509_certificate(pem.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://quarterdeck/host/vm-1"]
    assert "vm-2" not in certificate.subject.rfc4514_string()
    assert certificate.public_key() == key.public_key()
    assert f"{certificate.serial_number:x}" == serial
    assert end == certificate.not_valid_after_utc == NOW + timedelta(seconds=3600)
    roots = Store([x509.load_pem_x509_certificate(authority.ca_pem.encode())])
    PolicyBuilder().store(roots).time(NOW).build_client_verifier().verify(certificate, [])


@pytest.mark.parametrize("mangle", ["garbage", "empty", "signature", "rsa"])
def test_a_request_that_is_no_request_is_refused_by_field(tmp_path: Path, mangle: str) -> None:
    authority = FileCertificateAuthority(tmp_path, cert_ttl_s=60)
    good = certificate_request(ec.generate_private_key(ec.SECP256R1()))
    request = {
        "garbage": b"\x30\x03abc",
        "empty": b"",
        "signature": good[:-1] + bytes([good[-1] ^ 1]),
        "rsa": certificate_request(rsa.generate_private_key(65537, 2048)),
    }[mangle]

    with pytest.raises(InvalidRequest) as refused:
        authority.issue_host_certificate("vm-1", request)

    assert refused.value.field == "certificate_request"


def test_a_listener_is_trusted_by_every_name_it_is_dialled_by(tmp_path: Path) -> None:
    authority = FileCertificateAuthority(tmp_path, cert_ttl_s=60)
    served = authority.server_certificate(["play.example.org", "192.0.2.7"])
    leaf, root = x509.load_pem_x509_certificates(served.chain_pem)

    assert hashlib.sha256(root.public_bytes(serialization.Encoding.DER)).hexdigest() == authority.ca_sha256
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "play.example.org"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "192.0.2.7"]
    verifier = PolicyBuilder().store(Store([root])).build_server_verifier(x509.DNSName("play.example.org"))
    assert verifier.verify(leaf, [])[0] == leaf


def test_replicas_that_start_together_share_one_authority_and_the_keys_are_private(tmp_path: Path) -> None:
    directory = tmp_path / "ca"
    with ThreadPoolExecutor(8) as pool:
        authorities = list(pool.map(lambda _: FileCertificateAuthority(directory, 60), range(8)))
        list(pool.map(lambda _: JwtStreamTokens(stream_token_key(directory)), range(8)))

    assert len({authority.ca_sha256 for authority in authorities}) == 1
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
    assert modes == dict.fromkeys([".lock", "ca.key", "ca.crt", "stream-token.key"], 0o600)


def test_a_stream_token_of_one_replica_is_good_at_another_until_its_end(tmp_path: Path) -> None:
    end = NOW + timedelta(seconds=60)
    token = JwtStreamTokens(stream_token_key(tmp_path)).sign("s-1", "PLAYER", end, "j-1")
    other = JwtStreamTokens(stream_token_key(tmp_path))

    assert other.verify(token, NOW) == ("s-1", "PLAYER", "j-1", end)
    with pytest.raises(Unauthenticated) as refused:
        other.verify(token, end)
    assert refused.value.reason == "STREAM_TOKEN_EXPIRED"


def test_a_forged_stream_token_is_refused(tmp_path: Path) -> None:
    tokens = JwtStreamTokens(stream_token_key(tmp_path / "ours"))
    end = NOW + timedelta(seconds=60)
    claims = {"aud": "quarterdeck-stream", "sub": "s-1", "role": "PLAYER", "jti": "j", "exp": int(end.timestamp())}
    forged = [
        "",
        "a.b.c",
        JwtStreamTokens(stream_token_key(tmp_path / "theirs")).sign("s-1", "PLAYER", end, "j"),
        jwt.encode(claims, None, algorithm="none"),
        tokens.sign("s-1", "PLAYER", end, "j").rsplit(".", 1)[0] + "." + "A" * 43,
    ]
    for token in forged:
        with pytest.raises(Unauthenticated) as refused:
            tokens.verify(token, NOW)
        assert refused.value.reason == "STREAM_TOKEN_INVALID"


def test_keys_that_are_there_are_only_read(tmp_path: Path) -> None:
    """So that they may be mounted read-only, as Kubernetes mounts secrets."""
    made, key = FileCertificateAuthority(tmp_path, 60).ca_sha256, stream_token_key(tmp_path)
    (tmp_path / ".lock").unlink()
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert (FileCertificateAuthority(tmp_path, 60).ca_sha256, stream_token_key(tmp_path)) == (made, key)
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before
