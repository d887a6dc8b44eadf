"""The shared media port: what a datagram is, and whose."""

import socket

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from wrapper.stream.mediaport import MediaPort, PortError, interface_addresses, local_fragment, stun_type
from wrapper.stream.peer import without_names


def request(username: str) -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["PRIORITY"] = 1
    message.attributes["USERNAME"] = username
    message.add_message_integrity(b"secret")
    return bytes(message)


def test_a_check_names_its_receiver() -> None:
    assert stun_type(request("ours:theirs")) == 0x0001
    assert local_fragment(request("ours:theirs")) == "ours"
    assert local_fragment(request("odd")) == "odd"


@given(st.binary(max_size=80))
def test_any_datagram_is_told_apart_without_harm(data: bytes) -> None:
    kind = stun_type(data)
    assert kind is None or isinstance(local_fragment(data), str | None)


@given(st.integers(0, 200), st.binary(min_size=1, max_size=1))
def test_a_damaged_check_does_no_harm(at: int, byte: bytes) -> None:
    good = request("ours:theirs")
    at %= len(good)
    local_fragment(good[:at] + byte + good[at + 1 :])
    local_fragment(good[:at])


async def test_a_taken_port_is_refused_whole() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"media port {port} is taken"):
            await MediaPort.open(port, port, (), loopback=True, addresses=lambda: ["127.0.0.2"])
    (await MediaPort.open(port, port, (), loopback=True, addresses=lambda: ["127.0.0.2"])).close()


async def test_no_address_is_an_error() -> None:
    with pytest.raises(PortError, match="no address"):
        await MediaPort.open(0, 0, (), loopback=False, addresses=list)


def test_interfaces_are_never_loopback() -> None:
    assert not [address for address in interface_addresses() if address.startswith(("127.", "::1", "fe80"))]


def test_names_and_ends_are_taken_out_of_an_answer() -> None:
    sdp = (
        "v=0\r\n"
        "a=candidate:1 1 udp 2113937151 3f0c.local 51000 typ host\r\n"
        "a=candidate:2 1 udp 2113937150 10.0.0.7 51001 typ host\r\n"
        "a=end-of-candidates\r\n"
        "a=mid:0\r\n"
    )
    assert without_names(sdp) == "v=0\r\na=candidate:2 1 udp 2113937150 10.0.0.7 51001 typ host\r\na=mid:0\r\n"
