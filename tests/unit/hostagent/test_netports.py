"""Leased ports against real sockets."""

from __future__ import annotations

import os
import socket

import pytest

from hostagent import netports
from hostagent.netports import HostPort, PortTaken, Protocol
from hostagent.runtime import StartFailed

KINDS = {Protocol.TCP: socket.SOCK_STREAM, Protocol.UDP: socket.SOCK_DGRAM}


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_taken_port_is_named_with_its_holder(protocol: Protocol, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, KINDS[protocol]) as taken:
        try:
            taken.bind((address, 0))
        except OSError as error:
            pytest.skip(f"cannot bind {address} here: {error.strerror}")
        if protocol is Protocol.TCP:
            taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(PortTaken) as refusal:
            netports.check([HostPort(protocol, number, "media")])
    message = str(refusal.value)
    assert message.startswith(f"{protocol.value} port {number} (media) is taken by ")
    assert f"(pid {os.getpid()})" in message


@pytest.mark.parametrize("protocol", Protocol)
def test_a_free_port_passes_and_stays_free(protocol: Protocol, free_port) -> None:
    port = HostPort(protocol, free_port(KINDS[protocol]))
    netports.check([port, port])
    with socket.socket(socket.AF_INET, KINDS[protocol]) as game:
        game.bind(("0.0.0.0", port.number))


def test_tcp_and_udp_of_one_number_are_two_ports() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        netports.check([HostPort(Protocol.TCP, number)])
        with pytest.raises(PortTaken):
            netports.check([HostPort(Protocol.UDP, number)])


@pytest.mark.parametrize("number", [0, -1, 65536])
def test_what_is_no_port_number_is_refused(number: int) -> None:
    with pytest.raises(StartFailed, match="is not a port number"):
        netports.check([HostPort(Protocol.UDP, number)])


@pytest.mark.parametrize(
    ("given", "reserved", "ranges"),
    [
        ("32768\t60999\n", "\n", [(32768, 60999)]),
        ("32768 60999", "8080,28000-28999", [(32768, 60999)]),
        ("32768 60999", "40000-40099,50000", [(32768, 39999), (40100, 49999), (50001, 60999)]),
        ("32768 60999", "32000-33000,60000-65535", [(33001, 59999)]),
        ("32768 60999", "1024-65535", []),
        ("32768 60999", ",".join(str(port) for port in range(33000, 34000, 2)), [(32768, 60999)]),
        ("nonsense", "", []),
    ],
)
def test_what_the_kernel_gives_away(
    tmp_path, monkeypatch: pytest.MonkeyPatch, given: str, reserved: str, ranges: list[tuple[int, int]]
) -> None:
    (tmp_path / "ip_local_port_range").write_text(given)
    (tmp_path / "ip_local_reserved_ports").write_text(reserved)
    monkeypatch.setattr(netports, "_KERNEL", tmp_path)
    assert netports.ephemeral_ranges() == ranges
