"""Shift and divergence of final configurations: oracles, noise, and real shifts."""

import math
from typing import Any

import numpy as np
import pytest

from ohgw.analysis.across import summarise_study
from ohgw.analysis.across.shift import _kernels, divergences

MIDDLE = {"lr": 0.01, "layers": 2, "kind": "a"}


def test_shares_by_hand() -> None:
    # Three values, four seeds, one observation spread over the three values.
    values = np.array([0.0, 0.5, 1.0])
    arm, reference = np.array([0.0, 0.0, 0.0, 0.5]), np.array([0.0, 1.0, 1.0, 1.0])
    p, q = np.array([3, 1, 0]) + 1 / 3, np.array([1, 0, 3]) + 1 / 3
    expected = float((p / 5 * np.log(p / q)).sum())
    found, _ = divergences(arm, reference, values)
    assert found == pytest.approx(expected)


def test_kernels_approach_the_divergence_of_two_normals() -> None:
    rng = np.random.default_rng(0)
    n, shift, width = 4000, 0.1, 0.1
    arm, reference = rng.normal(0.55, width, n), rng.normal(0.55 - shift, width, n)
    found, _ = divergences(arm, reference)
    assert found == pytest.approx(shift**2 / (2 * width**2), rel=0.1)


def test_the_density_of_even_values_is_even_up_to_the_bounds() -> None:
    even = (np.arange(100) + 0.5) / 100
    density = _kernels(even, even).mean(axis=0)
    assert density.mean() == pytest.approx(1)
    assert density == pytest.approx(np.ones_like(density), abs=0.02)


def test_equal_values_do_not_diverge() -> None:
    same = np.linspace(0, 1, 12)
    found, null = divergences(same, same)
    assert found == pytest.approx(0, abs=1e-12) and null == pytest.approx(0, abs=1e-12)
    found, _ = divergences(np.full(8, 0.25), np.full(8, 0.25))
    assert found == pytest.approx(0, abs=1e-12)


def test_the_divergence_is_finite_where_nothing_overlaps() -> None:
    found, null = divergences(np.zeros(10), np.ones(10))
    assert 0 < found <= math.log(11 * 128)
    assert found > np.quantile(null, 0.95)


def test_it_is_of_the_arm_against_the_reference_and_not_symmetric() -> None:
    rng = np.random.default_rng(1)
    narrow, wide = rng.normal(0.5, 0.02, 30), rng.uniform(0, 1, 30)
    one, other = divergences(narrow, wide)[0], divergences(wide, narrow)[0]
    assert abs(one - other) > 0.2


def test_noise_exceeds_its_null_interval_about_one_time_in_twenty() -> None:
    rng = np.random.default_rng(2)
    above = []
    for _ in range(300):
        shared = rng.uniform(0, 1, (12, 1))  # paired: the arms of a seed resemble each other
        values = np.clip(shared + 0.1 * rng.normal(size=(12, 2)), 0, 1)
        found, null = divergences(values[:, 0], values[:, 1])
        above.append(found > np.quantile(null, 0.95))
    assert 0.01 <= np.mean(above) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_a_shift_of_a_study_is_found_in_its_own_hyperparameter(small: Any) -> None:
    rng = np.random.default_rng(3)
    unit = rng.uniform(0.2, 0.6, 12)
    base = [MIDDLE | {"lr": 10 ** (-4 + 4 * u), "kind": "abc"[k % 3]} for k, u in enumerate(unit)]
    moved = [x | {"lr": x["lr"] * 10, "kind": "c"} for x in base]  # one of four decades
    labels = ["vanilla/plain", "a/plain"]
    made = small.cell(
        "main.x.asha",
        {label: [20.0] * 12 for label in labels},
        configurations=dict(zip(labels, (base, moved), strict=True)),
    )
    (cell,) = summarise_study(small.study(made)).cells
    lr, layers, kind = cell.shifts
    assert lr.shift.value == pytest.approx(0.25)
    assert lr.shift.low == pytest.approx(0.25) and lr.shift.high == pytest.approx(0.25)
    assert lr.reference_values == pytest.approx(unit)
    assert lr.divergence > lr.null_high and lr.p < 0.05
    assert layers.shift.value == 0 and layers.divergence == 0 and layers.p == 1
    assert math.isnan(kind.shift.value) and kind.divergence > kind.null_high


def test_too_few_pairs_have_no_interval_and_no_p(small: Any) -> None:
    made = small.cell("main.x.asha", {"vanilla/plain": [20.0] * 4, "a/plain": [20.0] * 4})
    shift = summarise_study(small.study(made)).cells[0].shifts[0]
    assert shift.pairs == 4 and shift.shift.value == 0
    assert math.isnan(shift.shift.low) and math.isnan(shift.p) and math.isnan(shift.null_high)
