"""A multi-fidelity Gaussian process over the reports of one search.

The value of trial i, configuration x_i, at fidelity level k is modelled as

    y_ik = m_k + f(x_i) + z_k h(x_i) + t_i + e_ik

with a constant m_k for each level, the response f at the highest level, a drift h of the response
in proportion to the distance z_k from there, an effect t_i of the trial's own luck (initialisation,
order of mini-batches) that follows it from level to level, and noise. f and h are Gaussian
processes with one Matérn 5/2 kernel with a length scale for each dimension; h, t and e are smaller
than f by ratios that are fitted. The drift is what keeps short runs from misleading: where few
epochs favour what many do not, the trials that went on show it, and it is taken off the others
(a linear form of the autoregressive model of Kennedy & O'Hagan 2000, Biometrika 87).

Length scales and ratios maximise the marginal likelihood under log-normal priors (MAP); f's
variance is integrated out under a weak inverse-gamma prior.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

LENGTH_SCALE = 0.5  # in the unit cube, where nothing is known
LENGTH_SPREAD = 0.7  # deviation of a length scale's logarithm from its prior's
RATIOS = np.log([0.3, 0.1, 0.05])  # prior medians of the variances of h, t and e, relative to f's
DOUBLINGS = 4.0  # of the resource, from a level to the highest one, at which z is 1
MEAN_VARIANCE = 4.0  # of the constants, one shared and one for each level
STEPS = 10  # of the optimiser: each fit starts where the one before ended
JITTER = 1e-6


@dataclass(frozen=True, slots=True)
class Observations:
    """Reports as arrays of length n; `points` is (n, d) in the unit cube."""

    points: Array
    levels: Integers
    trials: Integers
    values: Array


class Surrogate:
    """The model above; `lengths` (d,) are the prior medians of the length scales.

    `parameters` are the fitted log length scales (d,) and log variance ratios (3,).
    """

    def __init__(self, lengths: Array, parameters: Array | None = None) -> None:
        self.lengths = lengths
        self._prior = np.concatenate([np.log(lengths), RATIOS])
        self._spread = np.concatenate([np.full(len(lengths), LENGTH_SPREAD), np.ones(len(RATIOS))])
        self.parameters = self._prior.copy() if parameters is None else np.asarray(parameters)

    def fit(self, seen: Observations, *, optimise: bool = True) -> None:
        """Condition on `seen`, after moving the parameters to where it is most likely."""
        self._seen, self._top = seen, int(seen.levels.max())
        self._centre = float(np.median(seen.values))
        self._scale = max(float(np.std(seen.values)), 1e-6)
        y = (seen.values - self._centre) / self._scale
        squares = (seen.points[:, None, :] - seen.points[None, :, :]) ** 2
        if optimise:
            found = minimize(
                self._loss,
                self.parameters,
                args=(y, squares),
                jac=True,
                method="L-BFGS-B",
                bounds=[(-6.0, 4.0)] * len(self.parameters),
                options={"maxiter": STEPS},
            )
            self.parameters = found.x
        self._factor = cholesky(self._covariance(self.parameters, squares)[0], lower=True)
        self._weights = cho_solve((self._factor, True), y)
        self._variance = (float(y @ self._weights) + 2) / (len(y) + 2)

    def believe(self, points: Array, level: int) -> None:
        """Condition also on unseen trials at `points`, as if they came out as predicted.

        The mean stays where it is; the deviation shrinks around what is being tried already
        (the kriging believer: Ginsbourger et al. 2010).
        """
        seen = self._seen
        values = self.predict(points, level)[0]
        count = len(points)
        trials = -1 - np.arange(count)
        self.fit(
            Observations(
                np.concatenate([seen.points, points]),
                np.concatenate([seen.levels, np.full(count, level)]),
                np.concatenate([seen.trials, trials]),
                np.concatenate([seen.values, values]),
            ),
            optimise=False,
        )

    def predict(self, points: Array, level: int) -> tuple[Array, Array]:
        """Mean and standard deviation (m,) of m_k + f + z_k h at `points` (m, d)."""
        seen, d = self._seen, points.shape[1]
        drift = np.exp(self.parameters[d])
        z, depth = (self._top - level) / DOUBLINGS, (self._top - seen.levels) / DOUBLINGS
        squares = (points[:, None, :] - seen.points[None, :, :]) ** 2
        kernel = _matern(squares @ np.exp(-2 * self.parameters[:d]))[0]
        cross = kernel * (1 + drift * z * depth) + MEAN_VARIANCE * (1 + (seen.levels == level))
        mean = cross @ self._weights
        explained = (solve_triangular(self._factor, cross.T, lower=True) ** 2).sum(0)
        prior = 1 + drift * z**2 + 2 * MEAN_VARIANCE
        variance = self._variance * np.maximum(prior - explained, 1e-12)
        return self._centre + self._scale * mean, self._scale * np.sqrt(variance)

    def _covariance(self, parameters: Array, squares: Array) -> tuple[Array, Array, Array, Array]:
        """Covariance (n, n) in units of f's variance, and parts that its derivatives need."""
        seen, d = self._seen, squares.shape[-1]
        drift, luck, noise = np.exp(parameters[d:])
        depth = (self._top - seen.levels) / DOUBLINGS
        both = np.outer(depth, depth)
        kernel, slope = _matern(squares @ np.exp(-2 * parameters[:d]))
        whole = kernel * (1 + drift * both)
        whole += MEAN_VARIANCE * (1 + (seen.levels[:, None] == seen.levels))
        whole += luck * (seen.trials[:, None] == seen.trials)
        whole[np.diag_indices_from(whole)] += noise + JITTER
        return whole, kernel, slope, both

    def _loss(self, parameters: Array, y: Array, squares: Array) -> tuple[float, Array]:
        """Negative log posterior of the parameters, up to a constant, and its gradient."""
        n, d = len(y), squares.shape[-1]
        drift, luck, noise = np.exp(parameters[d:])
        whole, kernel, slope, both = self._covariance(parameters, squares)
        factor = cholesky(whole, lower=True)
        inverse = cho_solve((factor, True), np.eye(n))
        weights = inverse @ y
        variance = (float(y @ weights) + 2) / (n + 2)
        # The derivative by a parameter p is half the sum over `pull` * d(covariance)/dp.
        pull = inverse - np.outer(weights, weights) / variance
        weighted = pull * slope * (1 + drift * both)
        gradient = np.empty_like(parameters)
        scaled = np.exp(-2 * parameters[:d])
        gradient[:d] = np.einsum("ij,ijk->k", weighted, squares) * scaled / 2
        gradient[d] = drift * float((pull * kernel * both).sum()) / 2
        gradient[d + 1] = (
            luck * float(pull[self._seen.trials[:, None] == self._seen.trials].sum()) / 2
        )
        gradient[d + 2] = noise * float(np.trace(pull)) / 2
        off = (parameters - self._prior) / self._spread
        loss = (n + 2) / 2 * math.log(variance) + float(np.log(np.diag(factor)).sum())
        return loss + float(off @ off) / 2, gradient + off / self._spread


def _matern(squared: Array) -> tuple[Array, Array]:
    """Matérn 5/2 of squared scaled distances; and -2 times its derivative by them."""
    r = np.sqrt(5 * squared)
    decay = np.exp(-r)
    return (1 + r + r * r / 3) * decay, 5 / 3 * (1 + r) * decay
