"""The host's identity on disk, and what of it is believed."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from hostagent.enrolment import EnrolmentRefused, split_target
from hostagent.identity import Identity, IdentityBroken, IdentityStore, certificate_request, checked, new_key

LIFE = timedelta(hours=24)


def identity_for(key_pem: str) -> Identity:
    key = load_pem_private_key(key_pem.encode(), None)
    name = x509.Name([])
    start = datetime.now(UTC) - timedelta(minutes=5)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + LIFE)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    return Identity("hosts/vm-1", "127.0.0.1:1", key_pem, pem, pem)


def test_the_request_carries_a_p256_key_of_this_host() -> None:
    key = new_key()
    request = x509.load_der_x509_csr(certificate_request(key))
    assert request.is_signature_valid
    assert isinstance(request.public_key(), ec.EllipticCurvePublicKey)
    assert request.public_key().curve.name == "secp256r1"
    assert new_key() != key


def test_a_stored_identity_comes_back_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    store = IdentityStore(tmp_path)
    assert store.load() is None
    pending = store.pending_key()
    assert store.pending_key() == pending
    identity = identity_for(pending)
    store.save(identity)
    assert store.load() == identity
    assert [path.name for path in tmp_path.iterdir()] == ["identity.json"]
    assert (tmp_path / "identity.json").stat().st_mode & 0o777 == 0o600


def test_a_certificate_for_another_key_is_refused() -> None:
    with pytest.raises(IdentityBroken, match="not for this host's key"):
        checked(replace(identity_for(new_key()), key=new_key()))


@pytest.mark.parametrize("field", ["host", "link_target", "certificate", "ca_certificate", "key"])
def test_an_identity_with_a_part_missing_is_refused(field: str) -> None:
    with pytest.raises(IdentityBroken):
        checked(replace(identity_for(new_key()), **{field: ""}))


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"host": 1}', "\0"])
def test_a_broken_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "identity.json").write_text(content)
    with pytest.raises(IdentityBroken, match=r"identity\.json"):
        IdentityStore(tmp_path).load()


def test_renewal_is_due_two_thirds_of_a_life_after_it_came_whatever_the_issuers_clock_says() -> None:
    identity = replace(identity_for(new_key()), received_wall_s=1000.0)
    assert identity.renew_at_wall_s() == pytest.approx(1000 + LIFE.total_seconds() * 2 / 3)
    assert not identity.seems_over()


def test_renewal_comes_sooner_when_this_hosts_clock_sees_the_end_sooner() -> None:
    now = time.time()
    identity = replace(identity_for(new_key()), received_wall_s=now)
    left_s = identity.validity()[1].timestamp() - now
    assert identity.renew_at_wall_s() == pytest.approx(now + left_s * 2 / 3)
    ahead = replace(identity, received_wall_s=now + 10 * LIFE.total_seconds())
    assert ahead.renew_at_wall_s() == pytest.approx(ahead.received_wall_s + 2)


@pytest.mark.parametrize(
    ("target", "parts"),
    [("localhost:1", ("localhost", 1)), ("[::1]:443", ("::1", 443)), ("10.0.0.1:9", ("10.0.0.1", 9))],
)
def test_targets(target: str, parts: tuple[str, int]) -> None:
    assert split_target(target) == parts


@pytest.mark.parametrize("target", ["", "host", ":1", "host:", "host:x"])
def test_what_is_no_target_is_refused(target: str) -> None:
    with pytest.raises(EnrolmentRefused, match="HOST:PORT"):
        split_target(target)
