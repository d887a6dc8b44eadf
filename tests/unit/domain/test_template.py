"""Which templates carry a preset, in which order; and the tide of a region's capacity."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.queueing import wait_s
from controlplane.domain.region import Region, tide
from controlplane.domain.template import Preset, Template, checked, fitting, weight

HIGH = Preset("p", "P", 1920, 1080, 60, 12000, 8000, 15000, "p3", 4, 8)
templates = st.builds(
    Template,
    id=st.text("abc", min_size=1, max_size=3),
    display_name=st.just("t"),
    vcpus=st.integers(0, 64),
    ram_gb=st.integers(0, 256),
    vram_gb=st.integers(0, 80),
    seats=st.integers(1, 8),
    gpu_model=st.sampled_from(["", "L4"]),
)


@given(
    known=st.lists(templates, max_size=12, unique_by=lambda template: template.id),
    prices=st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 10**7)),
    floor=st.integers(0, 80),
    sessions=st.integers(0, 200),
)
def test_those_that_fit_come_cheapest_first_and_nothing_else_comes(known, prices, floor, sessions):
    preset = replace(HIGH, min_vram_gb=floor, sessions_per_vm=sessions)
    found = fitting(known, preset, prices)
    for template in known:
        fits = template.vram_gb >= floor and (template.gpu_model != "" or floor == 0)
        assert (template in found) is fits
    assert all(weight(preset, template.capacity_units) <= template.capacity_units for template in found)
    paid = [prices[template.id] for template in found if template.id in prices]
    assert paid == sorted(paid)
    assert [template.id in prices for template in found] == sorted((t.id in prices for t in found), reverse=True)


@pytest.mark.parametrize(
    "wrong",
    [{"bitrate_kbps": 7000}, {"width": 1281}, {"fps": 0}, {"encoder_preset": ""}, {"encoder_preset": "nonsense"}],
)
def test_a_preset_whose_figures_do_not_agree_is_refused(wrong):
    assert checked(HIGH) == HIGH
    with pytest.raises(InvalidRequest):
        checked(replace(HIGH, **wrong))


def test_a_word_of_the_encoder_that_a_preset_had_before_this_rule_stays_until_it_is_changed():
    old = replace(HIGH, encoder_preset="ultrafast")
    assert checked(replace(old, fps=30), old).fps == 30
    for before in (old, HIGH, None):
        with pytest.raises(InvalidRequest):
            checked(replace(old, encoder_preset="veryfast"), before)
    with pytest.raises(InvalidRequest):
        checked(old, HIGH)


@given(mark=st.integers(0, 100), frees=st.lists(st.integers(0, 150), max_size=30), seats=st.integers(0, 150))
def test_capacity_that_was_told_to_be_low_stays_low_until_it_has_risen_clearly(mark, frees, seats):
    region, low = Region("r", "R", low_water_seats=mark), False
    for free in (min(free, seats) for free in frees):
        now = tide(region, False, free, seats) or (low and tide(region, True, free, seats))
        assert now or free >= mark
        assert not now or free < mark + max(1, mark // 4)
        if low and not now:
            assert free > mark or mark == 0 or free == seats
        low = now


def test_a_small_region_that_was_full_is_low_no_more_once_all_of_it_is_free():
    region = Region("r", "R", low_water_seats=1)
    assert tide(region, False, 0, 1)
    assert not tide(region, True, 1, 1)
    assert tide(region, True, 1, 2)


def test_a_wait_is_reckoned_from_what_was_freed_or_not_at_all():
    assert wait_s(2, 9, 900) == pytest.approx(200)
    assert wait_s(2, 2, 900) is None
