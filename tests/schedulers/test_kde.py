import math
from itertools import product

import numpy as np
import pytest

from ohgw.schedulers._surrogates.kde import Density, GoodBad, split


def points(rng, n, levels):
    columns = [rng.integers(c, size=n) if c else rng.random(n) for c in levels]
    return np.array(columns, dtype=float).T


def by_definition(density, points, levels, x):
    """The mean over points of the product of kernels, one after the other."""
    total = 0.0
    for point in points:
        kernel = 1.0
        for h, c, p, q in zip(density.bandwidth, levels, point, x, strict=True):
            if c > 1:
                kernel *= 1 - h if p == q else h / (c - 1)
            elif c == 0:
                kernel *= math.exp(-0.5 * ((p - q) / h) ** 2) / (h * math.sqrt(2 * math.pi))
        total += kernel
    return total / len(points)


@pytest.mark.parametrize("levels", [[0], [0, 0, 0], [3], [2, 4], [0, 3, 0, 2], [1, 0]])
@pytest.mark.parametrize("n", [2, 7, 40])
def test_density_is_the_mean_of_products_of_kernels(levels, n):
    rng = np.random.default_rng([n, *levels])
    data, x = points(rng, n, levels), points(rng, 20, levels)
    density = Density(data, np.array(levels), 1e-3)
    expected = [by_definition(density, data, levels, row) for row in x]
    np.testing.assert_allclose(density(x), expected, rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("levels", [[0], [0, 3], [2, 0, 4]])
def test_density_integrates_to_one(levels):
    rng = np.random.default_rng(sum(levels))
    density = Density(points(rng, 12, levels), np.array(levels), 1e-3)
    grid = np.linspace(-4.0, 5.0, 4001)
    total = 0.0
    for choices in product(*(range(c) for c in levels if c)):
        x = np.zeros((len(grid), len(levels)))
        x[:, np.array(levels) == 0] = grid[:, None]
        x[:, np.array(levels) > 0] = choices
        total += np.trapezoid(density(x), grid)
    assert total == pytest.approx(1.0, abs=1e-9)


def test_equal_points_have_the_least_bandwidth_and_a_finite_density():
    data = np.tile([0.25, 1.0], (6, 1))
    density = Density(data, np.array([0, 3]), 0.01)
    assert density.bandwidth.tolist() == [0.01, 0.01]
    peak = 0.99 / (0.01 * math.sqrt(2 * math.pi))
    assert density(data[:1]) == pytest.approx(peak)
    assert density(np.array([[0.25, 2.0], [0.9, 1.0]])) == pytest.approx([peak / 0.99 * 0.005, 0.0])


def test_a_wide_spread_of_choices_gives_no_more_than_a_uniform_kernel():
    density = Density(np.array([[0.0], [4.0], [0.0], [4.0]]), np.array([5]), 1e-3)
    assert density.bandwidth == pytest.approx([0.8])
    assert density(np.arange(5.0)[:, None]) == pytest.approx([0.2] * 5)


@pytest.mark.parametrize("levels", [[0, 0], [0, 4, 1], [2]])
@pytest.mark.parametrize("factor", [0.01, 3.0, 100.0])
def test_candidates_are_points_of_the_space_around_the_good_ones(levels, factor):
    rng = np.random.default_rng(1)
    data = points(rng, 9, levels)
    data[:, np.array(levels) == 0] = np.array([0.0, 1.0, 0.5] * 3)[:, None]  # on the faces too
    model = GoodBad(data, data, np.array(levels), 1e-3)
    x = model.candidates(np.random.default_rng(2), 500, factor)
    assert x.shape == (500, len(levels))
    for column, c in zip(x.T, levels, strict=True):
        if c:
            assert set(column) == set(range(c))
        else:
            assert column.min() >= 0.0 and column.max() <= 1.0
    again = model.candidates(np.random.default_rng(2), 500, factor)
    np.testing.assert_array_equal(x, again)


def test_candidates_follow_a_gaussian_cut_to_the_unit_interval():
    """On a face it is half a Gaussian, whose mean is sqrt(2 / pi) of its width."""
    data = np.zeros((50, 1))
    model = GoodBad(data, data, np.array([0]), 0.02)
    x = model.candidates(np.random.default_rng(0), 20_000, 3.0)
    assert x.mean() == pytest.approx(0.06 * math.sqrt(2 / math.pi), rel=0.03)
    assert np.quantile(x, 0.95) == pytest.approx(0.06 * 1.96, rel=0.03)


def test_a_choice_is_kept_or_redrawn_uniformly():
    data = np.array([[1.0]] * 20)
    model = GoodBad(data, data, np.array([4]), 0.4)
    x = model.candidates(np.random.default_rng(0), 20_000, 3.0)[:, 0]
    shares = np.bincount(x.astype(int)) / len(x)
    assert shares == pytest.approx([0.1, 0.7, 0.1, 0.1], abs=0.015)


def test_the_best_candidate_has_the_largest_ratio():
    rng = np.random.default_rng(0)
    model = GoodBad(rng.random((6, 2)) / 4, rng.random((30, 2)), np.array([0, 0]), 1e-3)
    best = model.propose(np.random.default_rng(3), 64, 3.0)
    x = model.candidates(np.random.default_rng(3), 64, 3.0)
    ratio = model.good(x) / model.bad(x)
    np.testing.assert_array_equal(best, x[ratio == ratio.max()][0])
    far = np.array([[0.0, 0.0], [1e3, 1e3]])
    assert model.ratio(far)[1] == 1.0, "where both densities vanish neither is preferred"


@pytest.mark.parametrize("percent", [1, 15, 50, 99])
@pytest.mark.parametrize("least", [2, 6])
def test_split_leaves_enough_points_on_either_side(percent, least):
    for n in range(least + 2, 200):
        good, bad = split(n, n, least, percent)
        rows = list(range(n))
        assert good >= least and len(rows[bad]) >= least
        assert good >= percent * n // 100
        assert rows[bad][-1] >= n - 2, "at most the one worst point is left out"
        assert bad.start == good or len(rows[bad]) == least, "shared only where points are few"
        limited, failed = split(n, least, least, percent)
        assert (limited, rows[failed][-1]) == (least, rows[bad][-1])
