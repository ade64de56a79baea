"""The surrogate against the model written down term by term, and its derivatives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohgw.warmstart._surrogate import (
    DOUBLINGS,
    JITTER,
    MEAN_VARIANCE,
    Observations,
    Surrogate,
)

D = 3


def observations(seed: int, count: int = 14) -> Observations:
    rng = np.random.default_rng(seed)
    points = rng.random((count, D))
    trials, levels = np.arange(count), np.zeros(count, dtype=int)
    again = rng.permutation(count)[: count // 2]  # half of the trials went on to another level
    return Observations(
        np.concatenate([points, points[again]]),
        np.concatenate([levels, rng.integers(1, 4, len(again))]),
        np.concatenate([trials, trials[again]]),
        rng.standard_normal(count + len(again)),
    )


def term_by_term(surrogate: Surrogate, seen: Observations, points: np.ndarray, level: int):
    """Mean and deviation from the joint Gaussian of y and of the wanted values."""
    lengths, (drift, luck, noise) = (
        np.exp(surrogate.parameters[:D]),
        np.exp(surrogate.parameters[D:]),
    )
    n, m = len(seen.values), len(points)
    x = np.concatenate([seen.points, points])
    k = np.concatenate([seen.levels, np.full(m, level)])
    z = (seen.levels.max() - k) / DOUBLINGS
    trial = np.concatenate([seen.trials, -1 - np.arange(m)])  # each of the wanted is a new trial
    r = np.sqrt(5) * np.linalg.norm((x[:, None] - x[None]) / lengths, axis=-1)
    matern = (1 + r + r**2 / 3) * np.exp(-r)
    signal = matern + drift * np.outer(z, z) * matern
    signal += MEAN_VARIANCE + MEAN_VARIANCE * (k[:, None] == k[None])
    luck_of = luck * (trial[:, None] == trial[None])
    covariance = signal + luck_of + (noise + JITTER) * np.eye(n + m)
    y = (seen.values - np.median(seen.values)) / seen.values.std()
    inverse = np.linalg.inv(covariance[:n, :n])
    cross = covariance[n:, :n]
    scale = (y @ inverse @ y + 2) / (n + 2)
    spread = scale * (signal[n:, n:] - cross @ inverse @ cross.T).diagonal()
    mean = np.median(seen.values) + seen.values.std() * cross @ inverse @ y
    return mean, seen.values.std() * np.sqrt(spread)


@given(seed=st.integers(0, 10**6), level=st.integers(0, 3), optimise=st.booleans())
def test_prediction_is_that_of_the_model(seed, level, optimise):
    seen = observations(seed)
    surrogate = Surrogate(np.array([0.3, 0.8, 2.0]))
    surrogate.fit(seen, optimise=optimise)
    points = np.random.default_rng(seed + 1).random((5, D))
    mean, deviation = surrogate.predict(points, level)
    wanted_mean, wanted_deviation = term_by_term(surrogate, seen, points, level)
    np.testing.assert_allclose(mean, wanted_mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(deviation, wanted_deviation, rtol=1e-4, atol=1e-6)


@given(seed=st.integers(0, 10**6))
def test_gradient_of_the_posterior_is_its_derivative(seed):
    seen = observations(seed)
    surrogate = Surrogate(np.full(D, 0.5))
    surrogate.fit(seen, optimise=False)
    rng = np.random.default_rng(seed)
    parameters = surrogate.parameters + 0.3 * rng.standard_normal(D + 3)
    y = rng.standard_normal(len(seen.values))
    squares = (seen.points[:, None] - seen.points[None]) ** 2
    gradient = surrogate._loss(parameters, y, squares)[1]
    for k, step in enumerate(1e-5 * np.eye(D + 3)):
        high = surrogate._loss(parameters + step, y, squares)[0]
        low = surrogate._loss(parameters - step, y, squares)[0]
        assert gradient[k] == pytest.approx((high - low) / 2e-5, rel=1e-4, abs=1e-5)


def test_fitting_finds_the_dimension_that_matters():
    rng = np.random.default_rng(0)
    points = rng.random((60, D))
    values = np.sin(8 * points[:, 1]) + 0.05 * rng.standard_normal(60)
    surrogate = Surrogate(np.full(D, 0.5))
    surrogate.fit(Observations(points, np.zeros(60, dtype=int), np.arange(60), values))
    lengths = np.exp(surrogate.parameters[:D])
    assert lengths[1] < 0.5 * min(lengths[0], lengths[2])
    new = rng.random((200, D))
    mean, _ = surrogate.predict(new, 0)
    assert np.corrcoef(mean, np.sin(8 * new[:, 1]))[0, 1] > 0.95


def test_drift_between_levels_is_taken_off():
    """Few epochs favour high values of the first dimension, many favour low ones."""
    rng = np.random.default_rng(1)
    points = rng.random((40, D))
    early = (points[:, 0] - 0.9) ** 2
    went_on = np.arange(0, 40, 3)
    late = (points[went_on, 0] - 0.2) ** 2 - 1.0
    surrogate = Surrogate(np.full(D, 0.8))
    surrogate.fit(
        Observations(
            np.concatenate([points, points[went_on]]),
            np.concatenate([np.zeros(40, dtype=int), np.full(len(went_on), 4)]),
            np.concatenate([np.arange(40), went_on]),
            np.concatenate([early, late]),
        )
    )
    grid = np.column_stack([np.linspace(0, 1, 21), np.full((21, D - 1), 0.5)])
    assert grid[surrogate.predict(grid, 0)[0].argmin(), 0] > 0.7
    assert grid[surrogate.predict(grid, 4)[0].argmin(), 0] < 0.4


def test_believing_shrinks_the_deviation_there_and_keeps_the_mean():
    seen = observations(3)
    surrogate = Surrogate(np.full(D, 0.5))
    surrogate.fit(seen)
    point = np.full((1, D), 0.4)
    mean, deviation = surrogate.predict(point, 0)
    surrogate.believe(point, 0)
    new_mean, new_deviation = surrogate.predict(point, 0)
    assert new_deviation < deviation
    assert new_mean == pytest.approx(mean, abs=0.2 * float(deviation[0]))
