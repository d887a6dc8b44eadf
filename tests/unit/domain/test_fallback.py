"""Region fallback: nothing lost, nothing forbidden, the chain before the distance."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.fallback import Wish, distance_km, order
from controlplane.domain.region import Law, Region

REGIONS = [
    Region("us-east-1", "Ashburn", 39.04, -77.49, "US"),
    Region("eu-west-1", "Dublin", 53.35, -6.26, "IE", ("eu-central-1", "us-east-1")),
    Region("eu-central-1", "Frankfurt", 50.11, 8.68, "DE"),
    Region("ap-northeast-1", "Tokyo", 35.68, 139.69, "JP"),
]
IDS = [region.id for region in REGIONS]
BERLIN = (52.52, 13.40)


def ids(wish: Wish) -> list[str]:
    return [choice.region_id for choice in order(wish, REGIONS)[0]]


def under(laws: dict[str, Law]) -> list[Region]:
    return [replace(region, law=laws.get(region.id, Law())) for region in REGIONS]


def test_known_distances():
    assert distance_km((52.52, 13.40), (48.86, 2.35)) == pytest.approx(878, rel=0.01)
    assert distance_km((0, 0), (0, 180)) == pytest.approx(20015, rel=0.01)


def test_a_named_region_comes_first_then_its_chain_and_nothing_else():
    choices, passed = order(Wish("eu-west-1"), REGIONS)
    assert [c.region_id for c in choices] == ["eu-west-1", "eu-central-1", "us-east-1"]
    assert [(p.region_id, p.why) for p in passed] == [("ap-northeast-1", "is not in the fallback chain of eu-west-1")]


def test_with_coordinates_alone_the_nearest_comes_first():
    assert ids(Wish(coordinates=BERLIN)) == ["eu-central-1", "eu-west-1", "us-east-1", "ap-northeast-1"]


def test_a_named_region_stays_first_even_when_another_is_nearer():
    assert ids(Wish("ap-northeast-1", BERLIN))[:2] == ["ap-northeast-1", "eu-central-1"]


def test_the_law_of_the_region_and_of_the_game_forbid():
    laws = {"us-east-1": Law(deny=frozenset({"CU"})), "eu-central-1": Law(allow=frozenset({"DE"}))}
    wish = Wish("eu-west-1", territory="CU", game_law=Law(deny=frozenset({"IE"})))
    choices, passed = order(wish, under(laws))
    assert choices == ()
    assert {p.region_id: p.why for p in passed} == {
        "eu-west-1": "the game may not run in IE",
        "eu-central-1": "may not serve players from CU",
        "us-east-1": "may not serve players from CU",
        "ap-northeast-1": "is not in the fallback chain of eu-west-1",
    }


def test_who_leaves_the_territory_out_gains_nothing_by_it():
    laws = {"eu-west-1": Law(allow=frozenset({"DE"})), "us-east-1": Law(deny=frozenset({"CU"}))}
    choices, passed = order(Wish(), under(laws))
    assert [choice.region_id for choice in choices] == ["ap-northeast-1", "eu-central-1"]
    why = "serves only players whose territory is known: name it"
    assert {(p.region_id, p.why) for p in passed} == {("eu-west-1", why), ("us-east-1", why)}
    assert "eu-west-1" in ids(Wish(territory="DE"))


def test_who_plays_in_a_region_already_stays_there_and_goes_to_no_other_that_has_a_law():
    laws = {"eu-west-1": Law(allow=frozenset({"DE"})), "us-east-1": Law(deny=frozenset({"CU"}))}
    choices, _ = order(Wish("eu-west-1", settled=True), under(laws))
    assert [choice.region_id for choice in choices] == ["eu-west-1", "eu-central-1"]
    choices, _ = order(Wish("eu-west-1", territory="CU", settled=True), under(laws))
    assert [choice.region_id for choice in choices] == ["eu-central-1"]


territories = st.frozensets(st.sampled_from(["US", "IE", "DE", "JP", "CU"]), max_size=3)
laws = st.builds(Law, territories, territories)


@given(
    wish=st.builds(
        Wish,
        st.sampled_from(["", *IDS]),
        st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
        st.sampled_from(["", "US", "DE", "CU"]),
        laws,
    ),
    chains=st.dictionaries(st.sampled_from(IDS), st.lists(st.sampled_from([*IDS, "gone"]), max_size=6)),
    region_laws=st.dictionaries(st.sampled_from(IDS), laws),
)
def test_every_region_is_answered_for_exactly_once_and_no_choice_is_forbidden(wish, chains, region_laws):
    regions = [replace(region, chain=tuple(chains.get(region.id, ()))) for region in under(region_laws)]
    choices, passed = order(wish, regions)
    assert sorted([c.region_id for c in choices] + [p.region_id for p in passed]) == sorted(IDS)
    for choice in choices:
        region = next(r for r in REGIONS if r.id == choice.region_id)
        assert wish.game_law.permits(region.territory)
        law = region_laws.get(region.id, Law())
        assert law.permits(wish.territory) if wish.territory else law == Law()
    if wish.coordinates and not wish.region_id:
        assert [c.distance_km for c in choices] == sorted(c.distance_km for c in choices)
