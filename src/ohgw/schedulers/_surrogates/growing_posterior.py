"""The posterior of a deep kernel at many candidates, kept up to date while rows are told.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, Algorithm 2.1, with the
Cholesky factor extended by a row for every new one.

Shapes: n rows, N candidates.
"""

import math

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.blas import dtpsv

from ohgw.core.space import Array
from ohgw.schedulers._surrogates.deep_kernel import DeepKernel, Rows


class Posterior:
    """The exact posterior at N candidates, kept up to date while rows are told.

    `mean` and `variance` (N,), noise included. A new row costs O(n N), a candidate that moves on
    O(n^2); the Cholesky factor lies packed, row after row, so that it grows at its end.
    """

    def __init__(self, kernel: DeepKernel, told: Rows, y: Array, candidates: Rows) -> None:
        self._kernel = kernel
        self._scale, self._length = kernel.output_scale, kernel.length_scale
        self._rows, self._candidates = self._features(told), self._features(candidates)
        n = self._n = len(told)
        k = self._covariance(self._rows, self._rows)
        k.reshape(-1)[:: n + 1] += kernel.noise
        factor = cholesky(k, lower=True, overwrite_a=True, check_finite=False)
        self._factor = factor[np.tril_indices(n)]
        self._white = solve_triangular(
            factor,
            np.column_stack((y - kernel.mean, self._covariance(self._rows, self._candidates))),
            lower=True,
            check_finite=False,
        )
        self._white = np.ascontiguousarray(self._white)  # (n, 1 + N): L^-1 [y - mean, k(rows, .)]
        self.mean = kernel.mean + self._white[:, 0] @ self._white[:, 1:]
        self._explained = np.einsum("ij,ij->j", self._white[:, 1:], self._white[:, 1:])

    @property
    def variance(self) -> Array:
        return self._variance(self._explained)

    def append(self, row: Rows, y: float) -> None:
        """One more row has been told."""
        n = self._n
        f = self._features(row)
        new = self._solve(self._covariance(self._rows[:n], f)[:, 0])
        pivot = math.sqrt(self._scale + self._kernel.noise - float(new @ new))
        self._rows, self._white = _room(self._rows, n), _room(self._white, n)
        white = self._white[n]
        np.matmul(new, self._white[:n], out=white)
        np.subtract(y - self._kernel.mean, white[:1], out=white[:1])
        np.subtract(self._covariance(f, self._candidates)[0], white[1:], out=white[1:])
        white /= pivot
        self._rows[n] = f[0]
        begin = n * (n + 1) // 2
        self._factor = _room(self._factor, begin + n)
        self._factor[begin : begin + n], self._factor[begin + n] = new, pivot
        self._n = n + 1
        self.mean += white[0] * white[1:]
        self._explained += white[1:] ** 2

    def move(self, candidate: int, row: Rows) -> None:
        """The candidate is another point from now on."""
        n = self._n
        f = self._candidates[candidate] = self._features(row)[0]
        new = self._solve(self._covariance(self._rows[:n], f[None])[:, 0])
        self._white[:n, 1 + candidate] = new
        self.mean[candidate] = self._kernel.mean + float(new @ self._white[:n, 0])
        self._explained[candidate] = float(new @ new)

    def at(self, rows: Rows) -> tuple[Array, Array]:
        """Mean and variance (m,) at rows that are not candidates."""
        n = self._n
        factor = np.zeros((n, n))
        factor[np.tril_indices(n)] = self._factor[: n * (n + 1) // 2]
        k = self._covariance(self._rows[:n], self._features(rows))
        white = solve_triangular(factor, k, lower=True, check_finite=False)
        mean = self._kernel.mean + self._white[:n, 0] @ white
        return mean, self._variance(np.einsum("ij,ij->j", white, white))

    def _features(self, rows: Rows) -> Array:
        return self._kernel.features(rows) / self._length

    def _variance(self, explained: Array) -> Array:
        """Rounding may take the variance that is left a little below zero."""
        result: Array = np.maximum(self._scale - explained, 0.0) + self._kernel.noise
        return result

    def _covariance(self, a: Array, b: Array) -> Array:
        k: Array = a @ b.T
        k -= 0.5 * np.einsum("ij,ij->i", a, a)[:, None]
        k -= 0.5 * np.einsum("ij,ij->i", b, b)
        np.minimum(k, 0.0, out=k)
        np.exp(k, out=k)
        k *= self._scale
        return k

    def _solve(self, k: Array) -> Array:
        result: Array = dtpsv(self._n, self._factor, k, lower=0, trans=1)
        return result


def _room(array: Array, used: int) -> Array:
    """The array, or one twice as long where it is full beyond `used`."""
    if used < len(array):
        return array
    return np.concatenate((array, np.empty_like(array)))
