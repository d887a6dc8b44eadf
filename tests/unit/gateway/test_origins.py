import pytest

from controlplane.gateway.origins import OriginPolicy, is_loopback_origin


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("https://play.example:8443", True),
        ("HTTPS://PLAY.example:8443", True),
        ("http://play.example:8443", False),
        ("https://play.example", False),
        ("https://play.example:8443.evil.example", False),
        ("https://other.example", True),
        ("https://other.example:444", False),
        ("null", False),
        ("", False),
        ("http://localhost:3000", False),
    ],
)
def test_an_origin_is_compared_whole(origin, admitted):
    policy = OriginPolicy(frozenset({"https://other.example"}))
    assert policy.admits(origin, "https", "play.example:8443") is admitted


@pytest.mark.parametrize(
    ("origin", "loopback"),
    [
        ("http://localhost", True),
        ("https://localhost:3000", True),
        ("http://127.0.0.1:8080", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8080", True),
        ("http://localhost.evil.example", False),
        ("http://localhost@evil.example", False),
        ("http://evil.example/localhost", False),
        ("http://10.0.0.1", False),
        ("http://localhost:port", False),
        ("http://[::1", False),
        ("file://localhost", False),
        ("null", False),
    ],
)
def test_loopback_names(origin, loopback):
    assert is_loopback_origin(origin) is loopback
    assert OriginPolicy(loopback=True).admits(origin, "https", "play.example") is loopback
