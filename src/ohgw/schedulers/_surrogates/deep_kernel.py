"""The deep kernel of DyHPO: a Gaussian process on learned features, in numpy and LAPACK.

Wistuba, Kadra and Grabocka, "Supervising the Multi-Fidelity Race of Hyperparameter
Configurations", NeurIPS 2022, sections 4.1 and 4.2. A row is a configuration, a step of its
training and the scores before that step; what is modelled is the score at that step.

    h = leaky(batch_norm(x and step -> 64))
    c = the largest over all places of (three neighbouring scores -> 4)
    features = leaky(h and c -> 128)

An exact Gaussian process with a constant mean, a scaled RBF kernel and Gaussian noise lies on the
features; Adam fits it and the network jointly by the marginal likelihood of all rows.

At some hundred rows an automatic derivative costs mostly its bookkeeping, so forward and backward
pass are written out here, in place, over one flat vector of parameters. A curve is padded with
zeros until every convolution that touches it fits, and one that sees nothing but zeros.

Shapes: n rows, d hyperparameters, S steps of a full training.
"""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg.blas import get_blas_funcs
from scipy.linalg.lapack import get_lapack_funcs

from ohgw.core.space import Array

HIDDEN, CHANNELS, WIDTH, FEATURES = 64, 4, 3, 128
SLOPE = 0.01  # of leaky ReLU below zero
MOMENTUM, EPSILON = 0.1, 1e-5  # of batch normalisation
NOISE_FLOOR = 1e-4  # of the noise variance
BETA_1, BETA_2, TINY = 0.9, 0.999, 1e-8  # of Adam


@dataclass(frozen=True)
class Rows:
    """What the network is given: `inputs` (n, d + 1), `windows` (3, n * places)."""

    inputs: Array
    windows: Array

    @classmethod
    def of(cls, x: Array, step: Array, curves: Array) -> "Rows":
        """From points (n, d), steps as shares of S (n,) and padded curves (n, >= 3)."""
        places = np.lib.stride_tricks.sliding_window_view(curves, WIDTH, axis=1)
        windows = np.ascontiguousarray(places.reshape(-1, WIDTH).T)
        return cls(np.column_stack((x, step)), windows)

    def __len__(self) -> int:
        return len(self.inputs)


def padded(curves: Array, lengths: Any, steps: int) -> Array:
    """The first `lengths` (n,) scores of curves (n, S), then zeros; (n, S + 2)."""
    wide = np.zeros((len(curves), steps + WIDTH - 1))
    np.copyto(wide[:, :steps], curves, where=np.arange(steps) < np.asarray(lengths)[:, None])
    return wide


def softplus(value: float) -> float:
    return float(np.logaddexp(0.0, value))


def _sigmoid(value: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * value))


class DeepKernel:
    """Network and Gaussian process: all parameters, and how they are fitted.

    `theta` holds the parameters, `p` the same by name. A bias before batch normalisation would
    change nothing; there is none. The four of the process, `p["gp"]`, are its mean, and output
    scale, length scale and noise through softplus.
    """

    def __init__(self, d: int, rng: np.random.Generator) -> None:
        """Fresh weights: uniform within 1 / sqrt(inputs of the layer); the process at zero."""
        self.d = d
        self.theta = np.zeros(sum(math.prod(shape) for shape in self._shapes().values()))
        self.p = self._views(self.theta)
        for names, inputs in (
            (("w1",), d + 1),
            (("wc", "bc"), WIDTH),
            (("w2", "b2"), HIDDEN + CHANNELS),
        ):
            for name in names:
                bound = 1.0 / math.sqrt(inputs)
                self.p[name][...] = rng.uniform(-bound, bound, self.p[name].shape)
        self.p["scale"][...] = 1.0
        self.running = np.stack((np.zeros(HIDDEN), np.ones(HIDDEN)))  # mean, variance
        self._to_single()

    @property
    def mean(self) -> float:
        return float(self.p["gp"][0])

    @property
    def output_scale(self) -> float:
        return softplus(float(self.p["gp"][1]))

    @property
    def length_scale(self) -> float:
        return softplus(float(self.p["gp"][2]))

    @property
    def noise(self) -> float:
        return softplus(float(self.p["gp"][3])) + NOISE_FLOOR

    def features(self, rows: Rows) -> Array:
        """(n, 128), with the running statistics of batch normalisation."""
        p, n = self.p, len(rows)
        mean, variance = self.running
        factor = p["scale"] / np.sqrt(variance + EPSILON)
        h = np.empty((n, HIDDEN + CHANNELS))
        hidden = h[:, :HIDDEN]
        np.matmul(rows.inputs, p["w1"] * factor, out=hidden)
        hidden += p["shift"] - mean * factor
        np.maximum(hidden, SLOPE * hidden, out=hidden)
        h[:, HIDDEN:] = (p["wc"] @ rows.windows).reshape(CHANNELS, n, -1).max(axis=2).T + p["bc"]
        out: Array = h @ p["w2"]
        out += p["b2"]
        return np.maximum(out, SLOPE * out, out=out)

    def fit(
        self,
        rows: Rows,
        y: Array,
        *,
        epochs: int,
        learning_rate: float,
        precision: type[np.floating[Any]] = np.float32,
    ) -> list[float]:
        """Adam from rest on the negative log marginal likelihood of y (n,), n >= 2.

        Returns the loss per row before each epoch. Where the covariance matrix is not positive
        definite in that precision, it ends at the last parameters for which it was.
        """
        training = _Training(self, rows, y, precision)
        losses = []
        worked = self.theta, self.running
        with np.errstate(over="ignore", invalid="ignore"):
            for epoch in range(1, epochs + 1):
                loss = training.gradient()
                if not math.isfinite(loss):
                    break
                losses.append(loss)
                worked = training.theta.copy(), training.running.copy()
                training.step(epoch, learning_rate)
            else:
                worked = training.theta, training.running
        self.theta[:], self.running[:] = worked
        return losses

    def state_dict(self) -> dict[str, Any]:
        """Parameters and statistics in single precision, as base64 text."""
        flat = np.concatenate((self.theta, self.running.ravel())).astype("<f4")
        return {"d": self.d, "float32": base64.b64encode(flat.tobytes()).decode("ascii")}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "DeepKernel":
        kernel = cls(state["d"], np.random.default_rng(0))
        flat = np.frombuffer(base64.b64decode(state["float32"]), "<f4")
        kernel.theta[:] = flat[: len(kernel.theta)]
        kernel.running[:] = flat[len(kernel.theta) :].reshape(kernel.running.shape)
        return kernel

    def _to_single(self) -> None:
        self.theta[:] = self.theta.astype(np.float32)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            "w1": (self.d + 1, HIDDEN),
            "scale": (HIDDEN,),
            "shift": (HIDDEN,),
            "wc": (CHANNELS, WIDTH),
            "bc": (CHANNELS,),
            "w2": (HIDDEN + CHANNELS, FEATURES),
            "b2": (FEATURES,),
            "gp": (4,),
        }

    def _views(self, flat: Any) -> dict[str, Any]:
        views, begin = {}, 0
        for name, shape in self._shapes().items():
            end = begin + math.prod(shape)
            views[name] = flat[begin:end].reshape(shape)
            begin = end
        return views


class _Training:
    """The loss and its gradient by hand, with every large array allocated once.

    Symmetric n x n matrices are used in place; of those that LAPACK writes only the triangle is
    meant that is the upper one here and, transposed, its lower one.
    """

    def __init__(
        self, kernel: DeepKernel, rows: Rows, y: Array, precision: type[np.floating[Any]]
    ) -> None:
        n, self.n = len(rows), len(rows)
        self.theta, self.running = kernel.theta.astype(precision), kernel.running.astype(precision)
        self.grad = np.zeros_like(self.theta)
        self.p, self.g = kernel._views(self.theta), kernel._views(self.grad)
        self.first, self.second = np.zeros_like(self.theta), np.zeros_like(self.theta)
        self.scratch = np.empty_like(self.theta)
        self.inputs = rows.inputs.astype(precision)
        self.windows = rows.windows.astype(precision)
        self.y = y.astype(precision)
        self.one, self.slope = precision(1.0), precision(SLOPE)
        places = self.windows.shape[1] // n
        self.row_at = np.arange(n) * places  # where a row's windows begin
        self.channel_at = self.row_at + (np.arange(CHANNELS) * n * places)[:, None]
        self.h = np.empty((n, HIDDEN + CHANNELS), precision)
        # Features with a column of ones, whose product with a matrix is the sum of its rows.
        self.f = np.ones((n, FEATURES + 1), precision)
        # [f, -|f|^2 / 2, 1] @ [f, 1, -|f|^2 / 2].T = -|f_i - f_j|^2 / 2, f in length scales.
        self.left = np.ones((n, FEATURES + 2), precision)
        self.right = np.ones((n, FEATURES + 2), precision)
        self.rbf, self.k = np.empty((n, n), precision), np.empty((n, n), precision)
        self.diagonal = self.k.reshape(-1)[:: n + 1]
        self.potrf, self.potri, self.potrs = get_lapack_funcs(
            ("potrf", "potri", "potrs"), dtype=precision
        )
        self.syr, self.symm = get_blas_funcs(("syr", "symm"), dtype=precision)

    def gradient(self) -> float:
        """The loss, and `grad` at it; NaN where the covariance matrix has no Cholesky factor."""
        p, g, n, f = self.p, self.g, self.n, self.f[:, :FEATURES]
        normal, deviation = self._batch_norm()
        slope_1 = self._activate(normal * p["scale"] + p["shift"], self.h[:, :HIDDEN])
        best = self._convolve()
        slope_2 = self._activate(self.h @ p["w2"] + p["b2"], f)
        loss, by_f = self._marginal_likelihood(f)
        if not math.isfinite(loss):
            return loss
        by_f *= slope_2
        np.matmul(self.h.T, by_f, out=g["w2"])
        by_f.sum(axis=0, out=g["b2"])
        by_h = by_f @ p["w2"].T
        by_c = by_h[:, HIDDEN:].T
        by_c.sum(axis=1, out=g["bc"])
        np.einsum("wcn,cn->cw", self.windows[:, best], by_c, out=g["wc"])
        by_a = by_h[:, :HIDDEN] * slope_1
        by_a.sum(axis=0, out=g["shift"])
        np.einsum("ij,ij->j", by_a, normal, out=g["scale"])
        by_a -= g["shift"] / n  # through the batch's mean
        normal *= g["scale"] / n  # and its variance
        by_a -= normal
        by_a *= p["scale"] / deviation
        np.matmul(self.inputs.T, by_a, out=g["w1"])
        return loss

    def step(self, epoch: int, learning_rate: float) -> None:
        """Adam's step number `epoch`, from 1; moments are kept as plain decaying sums."""
        first, second, scratch = self.first, self.second, self.scratch
        first *= self.one * BETA_1
        first += self.grad
        second *= self.one * BETA_2
        np.multiply(self.grad, self.grad, out=scratch)
        second += scratch
        np.sqrt(second, out=scratch)
        scratch *= self.one * math.sqrt((1.0 - BETA_2) / (1.0 - BETA_2**epoch))
        scratch += self.one * TINY
        np.divide(first, scratch, out=scratch)
        scratch *= self.one * (learning_rate * (1.0 - BETA_1) / (1.0 - BETA_1**epoch))
        self.theta -= scratch

    def _batch_norm(self) -> tuple[Any, Any]:
        """The normalised first layer (n, 64) and its deviations; updates the running statistics."""
        a = self.inputs @ self.p["w1"]
        mean = a.sum(axis=0) / self.n
        a -= mean
        variance = np.einsum("ij,ij->j", a, a) / self.n
        running_mean, running_variance = self.running
        running_mean += MOMENTUM * (mean - running_mean)
        running_variance += MOMENTUM * (variance * (self.n / (self.n - 1)) - running_variance)
        deviation = np.sqrt(variance + EPSILON)
        a /= deviation
        return a, deviation

    def _activate(self, z: Any, out: Any) -> Any:
        """Leaky ReLU of z into `out`; returns its slopes."""
        slopes = np.where(z > 0.0, self.one, self.slope)
        np.multiply(z, slopes, out=out)
        return slopes

    def _convolve(self) -> Any:
        """Into h; returns which window (4, n) was the largest."""
        c = self.p["wc"] @ self.windows
        best = c.reshape(CHANNELS, self.n, -1).argmax(axis=2)
        self.h[:, HIDDEN:] = (c.take(best + self.channel_at) + self.p["bc"][:, None]).T
        return best + self.row_at

    def _marginal_likelihood(self, f: Any) -> tuple[float, Any]:
        """The negative log marginal likelihood per row, and its derivative by f (n, 128)."""
        n, gp = self.n, self.g["gp"]
        mean, raw_scale, raw_length, raw_noise = self.p["gp"].tolist()
        scale, length = softplus(raw_scale), softplus(raw_length)
        if min(scale, length) == 0.0:  # underflow
            return math.nan, f
        unit = np.divide(f, length, out=self.left[:, :FEATURES])
        square = np.einsum("ij,ij->i", unit, unit)
        square *= -0.5
        self.right[:, :FEATURES] = unit
        self.left[:, FEATURES] = self.right[:, FEATURES + 1] = square
        np.matmul(self.left, self.right.T, out=self.rbf)
        np.exp(self.rbf, out=self.rbf)
        np.multiply(self.rbf, scale, out=self.k)
        self.diagonal += softplus(raw_noise) + NOISE_FLOOR
        factor, failed = self.potrf(self.k.T, lower=1, overwrite_a=1, clean=0)
        if failed:
            return math.nan, f
        residual = self.y - self.one * mean
        alpha, _ = self.potrs(factor, residual, lower=1)
        quadratic = float(residual @ alpha)
        loss = quadratic / 2 + float(np.log(self.diagonal).sum()) + n / 2 * math.log(2 * math.pi)
        # m = K^-1 - alpha alpha^T: dloss/dK = m / 2n
        self.potri(factor, lower=1, overwrite_c=1)
        self.syr(-1.0, alpha, lower=1, a=self.k.T, overwrite_a=1)
        trace = float(self.diagonal.sum())
        np.multiply(self.k, self.rbf, out=self.k)
        weighted = self.symm(scale / (2 * n), self.k.T, self.f.T, side=1, lower=1).T
        sums = weighted[:, FEATURES:]
        by_f = sums * f
        by_f -= weighted[:, :FEATURES]
        by_f *= -2.0 / length**2
        gp[0] = -alpha.sum() / n
        gp[1] = float(sums.sum()) / scale * _sigmoid(raw_scale)
        # Only f / length counts, so a longer scale acts as shorter features.
        gp[2] = -float(np.vdot(f, by_f)) / length * _sigmoid(raw_length)
        gp[3] = trace / (2 * n) * _sigmoid(raw_noise)
        return loss / n, by_f
