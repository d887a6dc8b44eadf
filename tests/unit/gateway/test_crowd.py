"""Whoever is silent, by address."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from controlplane.gateway.crowd import Silent, neighbourhood


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::1", "2001:db8:0:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_an_address_counts_with_its_neighbours(address: str, counted: str) -> None:
    assert neighbourhood(address) == counted


def test_who_has_most_and_who_is_longest_silent_are_known_after_whatever_came_and_went() -> None:
    crowd: Silent[int] = Silent()
    model: defaultdict[str, list[int]] = defaultdict(list)
    chance = random.Random(5)
    for step in range(5000):
        peer = chance.choice("abcde")
        if chance.random() < 0.5:
            crowd.add(peer, step)
            model[peer].append(step)
        elif model[peer]:
            guest = model[peer].pop(chance.randrange(len(model[peer])))
            crowd.discard(peer, guest)
            crowd.discard(peer, guest)  # once more changes nothing
        sizes = {each: len(guests) for each, guests in model.items()}
        assert crowd.total == sum(sizes.values())
        assert sizes.get(crowd.most(), 0) == max(sizes.values(), default=0)
        for each in "abcde":
            assert crowd.of(each) == sizes.get(each, 0)
            assert crowd.longest(each) == next(iter(model[each]), None)
