"""Two kernel densities, of the good and of the bad points, and proposals that prefer the good.

Falkner, Klein and Hutter, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale",
ICML 2018, section 4.1, after Bergstra et al., "Algorithms for Hyper-Parameter Optimization",
NeurIPS 2011.

Points have d coordinates: one in [0, 1] for a number, the index of the choice for a categorical
(`levels` > 0). The kernel on a point is a product: a Gaussian for a number; for a categorical of
c choices that of Aitchison and Aitken (Biometrika 1976), 1 - h on the same choice and h / (c - 1)
on each other one.

With both factors in logarithms, log K(x, p) is an inner product of features of x and of p, so the
kernels of m candidates on n points are one matrix product and m * n exponentials.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

Array: TypeAlias = npt.NDArray[np.float64]
Levels: TypeAlias = npt.NDArray[np.int64]
"""(d,): the number of choices of a categorical coordinate, 0 for a number."""

_LEAST_DENSITY = 1e-32  # so that a quotient of densities exists where both underflow


def split(points: int, finite: int, least: int, percent: int) -> tuple[int, slice]:
    """How many of the `points`, best first, are the good ones, and which are the bad ones.

    The best `percent` of a hundred are good and the others bad, but at least `least` each, so few
    points may be both. Only the first `finite` did not fail, and only those can be good. The two
    shares are rounded down, which may leave out the one worst point.
    """
    good = max(least, percent * points // 100)
    end = good + max(least, (100 - percent) * points // 100)
    good = min(good, finite)
    return good, slice(min(good, points - least), end)


class Density:
    """A kernel density over `points`, (n, d).

    Bandwidths follow the normal reference rule, 1.06 * deviation * n^(-1 / (4 + d)), but are at
    least `min_bandwidth`, and for a categorical at most (c - 1) / c, where its kernel is uniform.
    """

    def __init__(self, points: Array, levels: Levels, min_bandwidth: float) -> None:
        n, d = points.shape
        self.points = points
        rule = 1.06 * points.std(axis=0) * n ** (-1.0 / (4 + d))
        widest = np.where(levels > 0, 1.0 - 1.0 / np.maximum(levels, 1), np.inf)
        self.bandwidth: Array = np.minimum(np.maximum(rule, min_bandwidth), widest)
        self._numbers = np.flatnonzero(levels == 0)
        self._scale = self.bandwidth[self._numbers]
        # Around the mean the squares stay small where the kernel does not vanish: no cancellation.
        self._mean = points[:, self._numbers].mean(axis=0)
        self._choices = [(int(k), np.arange(levels[k])) for k in np.flatnonzero(levels > 1)]

        weight = -math.log(n) - float(np.log(self._scale * math.sqrt(2.0 * math.pi)).sum())
        gains = []  # log of (1 - h) to h / (c - 1): what it is worth to be the same choice
        for k, choices in self._choices:
            other = self.bandwidth[k] / (len(choices) - 1)
            weight += math.log(other)
            gains.append(np.full(len(choices), math.log((1.0 - self.bandwidth[k]) / other)))
        numbers, square, same = self._coordinates(points)
        ones = np.ones((n, 1))
        self._features = np.concatenate(
            [numbers, ones, weight - square, *(g * s for g, s in zip(gains, same, strict=True))],
            axis=1,
        ).T

    def __call__(self, x: Array) -> Array:
        """The density at each of `x`, (m, d), as (m,)."""
        numbers, square, same = self._coordinates(x)
        features = np.concatenate([numbers, -square, np.ones_like(square), *same], axis=1)
        log_kernels = features @ self._features
        density: Array = np.exp(log_kernels, out=log_kernels).sum(axis=1)
        return density

    def _coordinates(self, x: Array) -> tuple[Array, Array, list[npt.NDArray[np.bool_]]]:
        """Numbers in bandwidths, half their squared length, and each choice as 0s and a 1."""
        numbers = (x[:, self._numbers] - self._mean) / self._scale
        square = 0.5 * np.einsum("nk,nk->n", numbers, numbers)[:, None]
        return numbers, square, [x[:, k, None] == choices for k, choices in self._choices]


class GoodBad:
    """The densities l of the good and g of the bad points; better candidates have larger l / g."""

    def __init__(self, good: Array, bad: Array, levels: Levels, min_bandwidth: float) -> None:
        self.good = Density(good, levels, min_bandwidth)
        self.bad = Density(bad, levels, min_bandwidth)
        self._levels = levels

    def ratio(self, x: Array) -> Array:
        """l / g at each of `x`, (m, d), as (m,)."""
        good = np.maximum(self.good(x), _LEAST_DENSITY)
        return good / np.maximum(self.bad(x), _LEAST_DENSITY)

    def candidates(self, rng: np.random.Generator, count: int, factor: float) -> Array:
        """`count` points around good ones, (count, d).

        A number is drawn from a Gaussian `factor` bandwidths wide that is cut to [0, 1]; a choice
        is kept with probability 1 - h and else drawn uniformly.
        """
        x = self.good.points[rng.integers(len(self.good.points), size=count)]
        u = rng.random(x.shape)
        numbers = self._levels == 0
        centre, width = x[:, numbers], factor * self.good.bandwidth[numbers]
        low, high = ndtr(-centre / width), ndtr((1.0 - centre) / width)
        drawn = centre + width * ndtri(low + u[:, numbers] * (high - low))
        x[:, numbers] = np.clip(drawn, 0.0, 1.0)  # past a bound by rounding, far past at u = 0
        for k in np.flatnonzero(self._levels > 1):
            h, c = self.good.bandwidth[k], self._levels[k]
            redrawn = np.minimum(np.floor((u[:, k] - (1.0 - h)) / h * c), c - 1.0)
            x[:, k] = np.where(u[:, k] < 1.0 - h, x[:, k], redrawn)
        return x

    def propose(self, rng: np.random.Generator, count: int, factor: float) -> Array:
        """The best of `count` candidates, (d,)."""
        x = self.candidates(rng, count, factor)
        best: Array = x[self.ratio(x).argmax()]
        return best
