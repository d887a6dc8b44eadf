import pytest

from controlplane.gateway.hosts import admits, names_of

NAMES = names_of(["Deck.example:8080", "other.example"], ["https://play.example:8443", "null"])


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("deck.localhost:8080", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("192.0.2.7", True),
        ("deck.example", True),
        ("deck.example.:8080", True),
        ("play.example:9", True),
        ("other.example", True),
        ("evil.example:8080", False),
        ("localhost.evil.example", False),
        ("evil.example#localhost", False),
        ("localhost@evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example:8080\\@localhost", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_a_name_is_compared_whole_and_an_address_is_none(host, admitted):
    assert admits(NAMES, host) is admitted
