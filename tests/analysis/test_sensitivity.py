"""Smoothing splines against scipy, and the optimum of a known curve."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.interpolate import make_smoothing_spline

from ohgw.analysis.across import Sensitivity, summarise_study
from ohgw.analysis.across.sensitivity import _around, _without
from ohgw.analysis.across.splines import SMOOTHINGS, choose_smoothing, evaluator, smoother
from ohgw.core.layout import Sweep

ETAS = (0.0001, 0.001, 0.01, 0.1, 1.0)
GRID = np.linspace(0, 1, 50)


@pytest.mark.parametrize("smoothing", [1e-5, 1e-3, 0.1, 10.0])
def test_the_spline_is_scipys(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    knots = np.array([0, 0.1, 0.35, 0.5, 0.8, 1.0])
    values = rng.normal(size=6)
    expected = make_smoothing_spline(knots, values, lam=smoothing)(GRID)
    assert evaluator(knots, smoothing, GRID) @ values == pytest.approx(expected, abs=1e-8)


def test_a_line_is_kept_whatever_the_smoothing() -> None:
    knots = np.array([0, 0.2, 0.7, 1.0])
    for smoothing in (SMOOTHINGS[0], SMOOTHINGS[-1]):
        assert smoother(knots, smoothing) @ (3 * knots - 1) == pytest.approx(3 * knots - 1)


def test_smoothing_follows_a_clear_bend_and_ignores_noise() -> None:
    rng = np.random.default_rng(1)
    knots = np.linspace(0, 1, 6)
    noise = 0.3 * rng.normal(size=(30, 6))
    bent = 4 * (knots - 0.5) ** 2
    assert choose_smoothing(knots, bent + 0.1 * noise) < 1e-2
    assert choose_smoothing(knots, noise) == SMOOTHINGS[-1]


@pytest.mark.parametrize(
    ("inside", "centre", "expected"),
    [
        ([True] * 5, 2, (0, 4)),
        ([False, True, True, True, False], 2, (1, 3)),
        ([True, False, True, False, True], 2, (2, 2)),
        ([True, True, False, True, True], 4, (3, 4)),
    ],
)
def test_a_region_is_unbroken(inside: list[bool], centre: int, expected: tuple[int, int]) -> None:
    assert _around(centre, np.array(inside)) == expected


@pytest.mark.parametrize(
    ("spec", "rest"),
    [
        ("digits:batch_size=32:label_noise=0.1", "digits:label_noise=0.1"),
        ("wikitext:data=hf:wikitext-2:batch_size=8", "wikitext:data=hf:wikitext-2"),
    ],
)
def test_the_swept_option_leaves_a_task(spec: str, rest: str) -> None:
    assert _without(spec, "batch_size") == rest


def swept(small: Any, factors: list[float], seeds: int = 12, **more: Any) -> list[Sensitivity]:
    """One cell whose arms need `factors` of the reference's time, one for each eta."""
    rng = np.random.default_rng(2)
    base = rng.uniform(20, 40, seeds)
    etas = ETAS[: len(factors)]
    labels = [f"ohgw:eta={eta}/plain" for eta in etas]
    times = {"vanilla/plain": base.tolist()}
    for label, factor in zip(labels, factors, strict=True):
        times[label] = (base * factor * rng.lognormal(0, 0.03, seeds)).tolist()
    sweep = Sweep(name="eta", values=dict(zip(labels, etas, strict=True)))
    made = small.cell("eta.x.asha", times, sweep=sweep, **more)
    return list(summarise_study(small.study(made)).sensitivities)


def test_the_optimum_of_a_known_valley_is_found(small: Any) -> None:
    factors = [math.exp(-0.5 + 0.12 * math.log10(eta / 0.01) ** 2) for eta in ETAS]
    time, score = swept(small, factors)
    assert (time.measure, score.measure) == ("time", "score")
    assert time.arm == "ohgw/plain" and time.setting == "eta" and time.logarithmic
    assert time.settings == ETAS and time.pairs == (12,) * 5 and time.note is None
    assert time.effects[2].value == pytest.approx(math.expm1(-0.5), abs=0.03)
    assert time.optimum.low <= time.optimum.value <= time.optimum.high
    assert math.log10(time.optimum.value) == pytest.approx(-2, abs=0.3)
    # 5 % more than the optimum: .12 x^2 = log 1.05 at x = .64 decades to either side.
    assert time.width == pytest.approx(2 * math.sqrt(math.log(1.05) / 0.12), rel=0.25)
    assert time.region[0] < 0.01 < time.region[1] and time.bounded == (True, True)
    assert not time.flat and score.flat  # the final scores are all the same
    assert min(time.spline) == pytest.approx(math.expm1(-0.5), abs=0.04)
    assert time.grid[0] == ETAS[0] and time.grid[-1] == ETAS[-1]
    assert all(a <= b for a, b in zip(time.band_low, time.band_high, strict=True))


def test_no_dependence_is_flat(small: Any) -> None:
    time, _ = swept(small, [0.8] * 5)
    assert time.flat and time.region == (ETAS[0], ETAS[-1]) and time.width == pytest.approx(4)


@pytest.mark.parametrize(
    ("settings", "seeds", "reason"),
    [(3, 12, "3 settings are too few"), (5, 5, "5 seeds ended at all settings")],
)
def test_too_little_is_refused_with_a_reason(
    small: Any, settings: int, seeds: int, reason: str
) -> None:
    time, _ = swept(small, [0.9] * settings, seeds)
    assert time.note is not None and reason in time.note
    assert time.spline == () and math.isnan(time.optimum.value)
    assert len(time.effects) == settings  # the points are still there


def test_cells_with_other_workers_or_task_options_are_one_sweep(small: Any) -> None:
    times = {"vanilla/plain": [20.0 + k for k in range(8)], "a/plain": [10.0 + k for k in range(8)]}
    cells = [
        small.cell(f"scaling.x.asha.w{w}", times, workers=w, sweep=Sweep(name="workers", value=w))
        for w in (1, 8, 16, 64)
    ]
    cells += [
        small.cell(
            f"noise.x.asha.{k}",
            times,
            task=f"x:label_noise={level}:batch_size=32" if level else "x:batch_size=32",
            sweep=Sweep(name="label_noise", value=level),
        )
        for k, level in enumerate((0.0, 0.1, 0.2, 0.4))
    ]
    found = summarise_study(small.study(*cells)).sensitivities
    workers, noise = (s for s in found if s.measure == "time")
    assert workers.settings == (1, 8, 16, 64) and workers.workers is None and workers.logarithmic
    assert noise.settings == (0, 0.1, 0.2, 0.4) and noise.task == "x:batch_size=32"
    assert not noise.logarithmic and noise.workers == 4 and noise.note is None


def test_a_miss_counts_as_the_budget(small: Any) -> None:
    factors = [0.5] * 4
    time, _ = swept(small, factors)
    assert time.effects[0].value == pytest.approx(-0.5, abs=0.03)
    times = {"vanilla/plain": [None] * 8, "ohgw:eta=0.1/plain": [50.0] * 8}
    sweep = Sweep(name="eta", values={"ohgw:eta=0.1/plain": 0.1})
    made = small.cell("eta.y.asha", times, sweep=sweep)
    found = summarise_study(small.study(made)).sensitivities[0]
    assert found.effects[0].value == pytest.approx(-0.5)  # 50 of 100 epochs
