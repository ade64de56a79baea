"""The Gaussian process of BOIL: over configurations and epochs, of compressed learning curves.

Nguyen, Schulze and Osborne, "Bayesian Optimization for Iterative Learning", NeurIPS 2020, section
3.2. The kernel is a product of two squared exponentials,

    k((x, t), (x', t')) = exp(-|x - x'|^2 / x_scale) * exp(-(t - t')^2 / t_scale),

over configurations x in the unit cube and epochs t in [0, 1]; targets are compressed curves,
standardised; noise has a fixed variance. The two scales and the midpoint and the growth of the
compression together maximise the marginal likelihood: `theta`, (4,), holds them in this order.

Shapes: `N` points, `M` points z = [x, t] to predict at, `d` hyperparameters, `T` epochs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, log, pi

import numpy as np
from scipy.linalg import blas, lapack

from ohgw.core.space import Array
from ohgw.schedulers._surrogates.curve_compression import Indices, compress, compress_all

SCREENED = 64  # points on which kernel scales are compared; N^3 makes more of them dear
GRID = (31, 8)  # midpoints and growths of the compressions that they are compared with
EQUAL = 1e-9  # scores, which lie in [0, 1], count as equal where their deviation is smaller
# Of L-BFGS-B; a step across a jump of the likelihood fails however often it is halved.
LBFGS = {"maxiter": 50, "maxls": 8, "ftol": 1e-6}


@dataclass(frozen=True, slots=True)
class Points:
    """Curves at z (N, d + 1): `gains` (N, T), cut off after `epochs` (N,)."""

    z: Array
    gains: Array
    epochs: Indices

    def __len__(self) -> int:
        return len(self.z)

    def targets(self, theta: Array) -> tuple[Array, Array]:
        """Scores (N,) under theta, standardised, and their slopes (2, N) by midpoint and growth.

        All are zero where all scores are equal.
        """
        scores, slopes = compress(self.gains, self.epochs, theta[2], theta[3])
        centred = scores - scores.mean()
        spread = float(np.sqrt(np.mean(centred * centred)))
        if spread < EQUAL:
            return np.zeros(len(self)), np.zeros((2, len(self)))
        y = centred / spread
        slopes = slopes - slopes.mean(axis=1, keepdims=True)
        return y, (slopes - np.outer(slopes @ y / len(y), y)) / spread

    def thinned(self, most: int) -> "Points":
        """At most so many, evenly spaced in their order."""
        if len(self) <= most:
            return self
        kept = np.linspace(0, len(self) - 1, most).round().astype(np.intp)
        return Points(self.z[kept], self.gains[kept], self.epochs[kept])


def product_kernel(a: Array, b: Array, theta: Array) -> Array:
    """k between (M, d + 1) and (N, d + 1): (M, N)."""
    return _kernel(_scaled(a, theta), _scaled(b, theta))


def _scaled(z: Array, theta: Array) -> Array:
    """Coordinates in which the kernel is exp(-squared distance)."""
    scaled: Array = z / np.sqrt(theta[0])
    scaled[:, -1] = z[:, -1] / np.sqrt(theta[1])
    return scaled


def _kernel(a: Array, b: Array) -> Array:
    exponent = a @ (2.0 * b.T)
    exponent -= np.einsum("mk,mk->m", a, a)[:, None]
    exponent -= np.einsum("nk,nk->n", b, b)
    kernel: Array = np.exp(np.minimum(exponent, 0.0, out=exponent), out=exponent)
    return kernel


class Likelihood:
    """Negative log marginal likelihood of points as a function of theta, with its gradient."""

    def __init__(self, points: Points, noise: float) -> None:
        self._points = points
        self._noise = noise
        gap = points.z[:, None, :] - points.z[None, :, :]
        gap *= gap
        self._squared = np.stack((gap[:, :, :-1].sum(axis=2), gap[:, :, -1]))  # (2, N, N)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """One Cholesky factor gives value and gradient (4,)."""
        n = len(self._points)
        y, slopes = self._points.targets(theta)
        kernel = np.exp(-np.tensordot(1.0 / theta[:2], self._squared, axes=1))
        factor = _factor(kernel, self._noise)
        alpha = lapack.dpotrs(factor, y, lower=1)[0]
        # The value's derivative by the kernel is (K^-1 - alpha alpha^T) / 2. Of K^-1 LAPACK fills
        # one triangle; as distances are zero on the diagonal, that is half of the sum over it all.
        by_kernel = lapack.dpotri(factor, lower=1)[0].T
        by_kernel -= np.outer(0.5 * alpha, alpha)
        by_kernel *= kernel
        by_scale = self._squared.reshape(2, -1) @ by_kernel.ravel() / theta[:2] ** 2
        value = 0.5 * y @ alpha + np.log(np.diagonal(factor)).sum() + 0.5 * n * log(2.0 * pi)
        return float(value), np.append(by_scale, slopes @ alpha)

    def best(self, scales: Array, midpoints: Array, growths: Array) -> Array:
        """The likeliest theta out of all combinations of scales (S, 2), midpoints and growths.

        Combinations with the same scales share a Cholesky factor: one triangular solve for all.
        """
        points = self._points
        scores = compress_all(points.gains, points.epochs, midpoints, growths)
        scores -= scores.mean(axis=0)
        spread = np.sqrt(np.mean(scores * scores, axis=0))
        y = np.divide(scores, spread, out=np.zeros_like(scores), where=spread >= EQUAL)
        found, least = np.zeros(4), inf
        for scale in scales:
            kernel = np.exp(-np.tensordot(1.0 / scale, self._squared, axes=1))
            factor = _factor(kernel, self._noise)
            whitened = blas.dtrsm(1.0, factor, y, lower=1)
            fit = 0.5 * np.einsum("ng,ng->g", whitened, whitened)
            value = fit.min() + np.log(np.diagonal(factor)).sum()
            if value < least:
                row, column = divmod(int(fit.argmin()), len(growths))
                found, least = np.array([*scale, midpoints[row], growths[column]]), value
        return found


def fit(points: Points, noise: float, bounds: Array, warm: Array, scales: Array) -> Array:
    """The theta within `bounds`, (2, 4), that maximises the marginal likelihood.

    The kernel scales of `warm` (4,) and `scales` (S, 2) are compared on a thinned set of points,
    each with the best compression of a grid: the likelihood jumps wherever one epoch more is left
    out of a curve, so that no gradient leads from one compression to another. From the likeliest,
    L-BFGS-B goes on.
    """
    low, width = bounds[0], bounds[1] - bounds[0]
    midpoints = np.append(np.linspace(bounds[0, 2], bounds[1, 2], GRID[0]), warm[2])
    growths = np.append(np.linspace(bounds[0, 3], bounds[1, 3], GRID[1]), warm[3])
    thinned = points.thinned(SCREENED)
    likelihood = Likelihood(thinned, noise)
    theta = likelihood.best(np.vstack((warm[:2], scales)), midpoints, growths)
    if thinned is not points:
        likelihood = Likelihood(points, noise)
        theta = likelihood.best(theta[None, :2], midpoints, growths)

    def scaled(u: Array) -> tuple[float, Array]:
        value, gradient = likelihood(low + u * width)
        return value, gradient * width

    start = np.divide(theta - low, width, out=np.zeros(4), where=width > 0.0)
    found = descend(scaled, start, np.zeros(4), np.ones(4), LBFGS)
    fitted: Array = np.clip(low + found * width, bounds[0], bounds[1])
    return fitted


def descend(
    function: Callable[[Array], tuple[float, Array]],
    start: Array,
    low: Array,
    high: Array,
    options: Mapping[str, float],
) -> Array:
    """Where L-BFGS-B gets to from `start`, (n,), given values and gradients, within the bounds."""
    from scipy.optimize import minimize  # loading it takes longer than loading all schedulers

    found = minimize(
        function,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=np.column_stack((low, high)),
        options=dict(options),
    )
    end: Array = found.x
    return end


class Posterior:
    """The process given targets y (N,) at z (N, d + 1), at fixed theta.

    `pending`, (P, d + 1), are being trained: their targets are taken to be the posterior mean
    there, which leaves every mean as it is and takes the variance away.
    """

    def __init__(
        self, z: Array, y: Array, theta: Array, noise: float, pending: Array | None = None
    ) -> None:
        n = len(y)
        self.theta, self.noise = theta, noise
        self.z = z if pending is None else np.vstack((z, pending))
        self._at = _scaled(self.z, theta)
        kernel = _kernel(self._at, self._at)
        self._factor = _factor(kernel, noise)
        self._alpha = np.zeros(len(self.z))
        known = np.asfortranarray(self._factor[:n, :n])
        self._alpha[:n] = lapack.dpotrs(known, y, lower=1)[0]
        self.means: Array = kernel @ self._alpha  # at the points themselves

    def mean(self, z: Array) -> Array:
        """(M,) at (M, d + 1)."""
        mean: Array = _kernel(_scaled(z, self.theta), self._at) @ self._alpha
        return mean

    def predict(self, z: Array) -> tuple[Array, Array]:
        """Mean and variance (M,) of an observation, noise included, at (M, d + 1)."""
        kernel = _kernel(_scaled(z, self.theta), self._at)
        half = blas.dtrsm(1.0, self._factor, kernel.T, lower=1)
        variance = 1.0 - np.einsum("nm,nm->m", half, half)
        return kernel @ self._alpha, np.maximum(variance, 0.0) + self.noise

    def mean_slopes(self, z: Array) -> tuple[Array, Array]:
        """Mean (M,) and its slopes (M, d + 1)."""
        at = _scaled(z, self.theta)
        terms = _kernel(at, self._at) * self._alpha
        return terms.sum(axis=1), self._slopes(terms, at)

    def predict_slopes(self, z: Array) -> tuple[Array, Array, Array, Array]:
        """As `predict`, then the slopes (M, d + 1) of mean and variance."""
        at = _scaled(z, self.theta)
        kernel = _kernel(at, self._at)
        solved = kernel * lapack.dpotrs(self._factor, kernel.T, lower=1)[0].T
        variance = 1.0 - solved.sum(axis=1)
        terms = kernel * self._alpha
        return (
            terms.sum(axis=1),
            np.maximum(variance, 0.0) + self.noise,
            self._slopes(terms, at),
            -2.0 * self._slopes(solved, at),
        )

    def covariance(self, z: Array) -> Array:
        """Posterior covariance (M, M) between (M, d + 1), noise excluded."""
        at = _scaled(z, self.theta)
        half = blas.dtrsm(1.0, self._factor, _kernel(at, self._at).T, lower=1)
        covariance: Array = _kernel(at, at) - half.T @ half
        return covariance

    def _slopes(self, terms: Array, at: Array) -> Array:
        """Of the row sums of `terms`, (M, N), each a constant times the kernel."""
        by_scaled: Array = 2.0 * (terms @ self._at - terms.sum(axis=1)[:, None] * at)
        return _scaled(by_scaled, self.theta)  # the chain rule divides once more


def informative_epochs(
    posterior: Posterior, z: Array, most: int, log_condition: float
) -> list[int]:
    """Which rows of z (C, d + 1), epochs of one configuration, to add as points: at most `most`.

    Algorithm 2 of the paper: the epoch where the process is least certain, given those picked
    before, as long as the covariance matrix's condition number stays below exp(log_condition), and
    the process is less certain there than an observation would be. A pick is a rank-one update of
    the (C, C) covariance of what remains.
    """
    covariance = posterior.covariance(z)
    picked: list[int] = []
    while len(picked) < min(most, len(z)):
        variance = np.diagonal(covariance).copy()
        variance[picked] = 0.0
        best = int(np.argmax(variance))
        if variance[best] < posterior.noise or not _conditioned(
            posterior, z[[*picked, best]], log_condition
        ):
            break
        picked.append(best)
        column = covariance[:, best]
        covariance = covariance - np.outer(column, column) / (variance[best] + posterior.noise)
    return picked


def _conditioned(posterior: Posterior, more: Array, log_condition: float) -> bool:
    """True where the condition number stays within bounds with points (M, d + 1) added."""
    n, noise = len(posterior.z) + len(more), posterior.noise
    if np.log(n / noise + 1.0) <= log_condition:
        return True  # eigenvalues lie between the noise and n + noise, so nothing is to be computed
    z = np.vstack((posterior.z, more))
    eigenvalues = np.linalg.eigvalsh(product_kernel(z, z, posterior.theta) + noise * np.eye(n))
    return bool(np.log(eigenvalues[-1] / eigenvalues[0]) <= log_condition)


def _factor(kernel: Array, noise: float) -> Array:
    """Lower Cholesky factor of the kernel plus noise."""
    covariance = kernel.copy(order="F")
    np.fill_diagonal(covariance, 1.0 + noise)
    factor, failed = lapack.dpotrf(covariance, lower=1, clean=1, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError(f"The noise {noise!r} does not keep the kernel definite.")
    result: Array = factor
    return result
