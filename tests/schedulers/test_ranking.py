"""The ranking maths of PASHA; test_pasha.py compares whole searches."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohgw.schedulers._ranking import SoftRanking


def filled(curves, lower=1, upper=4, quantile=0.9):
    ranking = SoftRanking(lower, upper, quantile)
    for trial, curve in curves.items():
        for unit in range(lower + 1, len(curve) + 1):
            ranking.add(trial, curve[:unit])
    return ranking


def test_noise_is_what_changes_places_and_changes_back():
    once = {0: [0.0, 0.0, 1.0, 1.0], 1: [0.5, 0.5, 0.5, 0.5]}
    assert filled(once).epsilon == 0.0
    back = {0: [0.0, 1.0, 0.0, 0.2], 1: [0.5, 0.5, 0.5, 0.5]}
    assert filled(back).epsilon == pytest.approx(0.3)
    assert filled({0: back[0], 1: back[1][:3]}).epsilon == 0.5  # at the last unit of both
    assert filled({0: back[0], 1: back[1][:2]}).epsilon == 0.0


def test_units_up_to_the_lower_rung_show_changes_but_no_distances():
    curves = {0: [0.0, 1.0, 0.0, 0.2], 1: [0.5, 0.5, 0.5, 0.5]}
    assert filled({t: curve[:3] for t, curve in curves.items()}, lower=3).epsilon == 0.0
    assert filled(curves, lower=3).epsilon == pytest.approx(0.3)


@given(
    curves=st.lists(
        st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4), min_size=2, max_size=8
    ).filter(
        lambda curves: all(len(set(unit)) == len(curves) for unit in zip(*curves, strict=True))
    ),
    order=st.randoms(use_true_random=False),
    power=st.integers(-8, 8),
    quantile=st.floats(0, 1),
)
@settings(deadline=None)
def test_epsilon_knows_no_numbering_scale_or_sign(curves, order, power, quantile):
    """Where nothing is tied. Powers of two, for the arithmetic to be exact."""
    epsilon = filled(dict(enumerate(curves)), quantile=quantile).epsilon
    numbers = list(range(len(curves)))
    order.shuffle(numbers)
    renumbered = dict(zip(numbers, curves, strict=True))
    assert filled(renumbered, quantile=quantile).epsilon == epsilon
    scaled = {t: [-loss * 2.0**power for loss in curve] for t, curve in enumerate(curves)}
    assert filled(scaled, quantile=quantile).epsilon == epsilon * 2.0**power


EXTREMES = st.sampled_from([-1.7e308, -1.0, 0.0, 5e-324, 1.7e308])


@given(curves=st.lists(st.lists(EXTREMES, min_size=4, max_size=4), max_size=6))
@settings(deadline=None)
def test_epsilon_is_a_number_whatever_the_losses(curves):
    ranking = filled(dict(enumerate(curves)))
    ranking.is_stable()
    assert 0 <= ranking.epsilon < math.inf
