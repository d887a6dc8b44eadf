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


def test_the_overlap_with_the_kernels_own_range(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = tmp_path / "range"
    setting.write_text("32768\t60999\n")
    monkeypatch.setattr(netports, "_LOCAL_RANGE", setting)
    assert netports.ephemeral_overlap(28000, 28999) is None
    assert netports.ephemeral_overlap(32000, 33000) == (32768, 33000)
    setting.write_text("nonsense")
    assert netports.ephemeral_overlap(32000, 33000) is None
