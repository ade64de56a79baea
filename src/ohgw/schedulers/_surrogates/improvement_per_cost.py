"""The acquisition of BOIL, and its best decision: a new configuration, or more of a paused one.

Nguyen, Schulze and Osborne, "Bayesian Optimization for Iterative Learning", NeurIPS 2020, section
3.3: log expected improvement of the compressed score - log cost. The incumbent is the maximum of
the posterior mean over all configurations and epochs.

`cost` (T + 1,) is what it takes to get from 0 to each epoch.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ohgw.core.space import Array
from ohgw.schedulers._surrogates.curve_compression import Epochs, Indices
from ohgw.schedulers._surrogates.expected_improvement import log_expected_improvement
from ohgw.schedulers._surrogates.product_gp import Posterior, descend

ANCHORS = 4  # points around which half of the candidates lie
SPREAD = 0.1  # standard deviation of those candidates in each coordinate
MOST_PAUSED = 16  # paused trials that are looked at, those with the best prospects
MOST_EPOCHS = 32  # epochs that are looked at of each of them
LBFGS = {"maxiter": 30}


class ImprovementPerCost:
    """Log expected improvement - log cost under a posterior."""

    def __init__(self, posterior: Posterior, epochs: Epochs, cost: Array, incumbent: float) -> None:
        self.posterior, self.epochs, self.cost, self.incumbent = posterior, epochs, cost, incumbent

    def values(self, x: Array, epochs: Indices, start: Indices | int = 0) -> Array:
        """(M,) of training (M, d) on from epoch `start` to `epochs`."""
        mean, variance = self.posterior.predict(np.column_stack((x, self.epochs.to_unit(epochs))))
        gain = log_expected_improvement(mean, np.sqrt(variance), self.incumbent)[0]
        result: Array = gain - np.log(self.cost[epochs] - self.cost[start])
        return result

    def of_new(self, z: Array) -> tuple[Array, Array]:
        """(M,) and slopes (M, d + 1) of new trials at z = [x, t], with t continuous in [0, 1].

        Between epochs the cost lies on the straight line from the first to the last.
        """
        t = z[:, -1]
        mean, variance, mean_slopes, variance_slopes = self.posterior.predict_slopes(z)
        deviation = np.sqrt(variance)
        gain, by_mean, by_deviation = log_expected_improvement(mean, deviation, self.incumbent)
        slopes = by_mean[:, None] * mean_slopes
        slopes += (by_deviation / (2.0 * deviation))[:, None] * variance_slopes
        least = self.cost[self.epochs.first]
        rise = self.cost[self.epochs.last] - least
        slopes[:, -1] -= rise / (least + t * rise)
        return gain - np.log(least + t * rise), slopes


class Candidates:
    """Random new trials z = [x, t], (M, d + 1), and what is best among and near them.

    Half of them are uniform, half lie around the points of largest posterior mean. `snap` moves
    rows (M, d) onto values that exist; coordinates that are not `free` (d,) are not polished.
    """

    def __init__(
        self,
        posterior: Posterior,
        epochs: Epochs,
        rng: np.random.Generator,
        snap: Callable[[Array], Array],
        free: npt.NDArray[np.bool_],
        size: int,
    ) -> None:
        x = rng.random((size, len(free)))
        near = rng.standard_normal((size // 2, len(free)))
        anchors = posterior.z[np.argsort(-posterior.means, kind="stable")[:ANCHORS], :-1]
        x[: len(near)] = anchors[np.arange(len(near)) % len(anchors)] + SPREAD * near
        self._epoch = rng.integers(epochs.first, epochs.last + 1, size)
        self._z = np.column_stack((snap(np.clip(x, 0.0, 1.0)), epochs.to_unit(self._epoch)))
        self._posterior, self._epochs, self._snap = posterior, epochs, snap
        self._free = np.append(free, True)

    def incumbent(self, polished: int) -> float:
        """The maximum of the posterior mean."""
        posterior = self._posterior
        z = np.vstack((posterior.z, self._z))
        means = np.append(posterior.means, posterior.mean(self._z))
        start = z[np.argsort(-means, kind="stable")[:polished]]
        found = self._polish(posterior.mean_slopes, start)
        return float(max(posterior.mean(found).max(), means.max()))

    def best(self, acquisition: ImprovementPerCost, polished: int) -> tuple[Array, int, float]:
        """The best new configuration (d,), the epoch to train it to, and the value of that."""
        epochs, d = self._epochs, len(self._free) - 1
        values = acquisition.values(self._z[:, :d], self._epoch)
        top = np.argsort(-values, kind="stable")[:polished]
        found = self._polish(acquisition.of_new, self._z[top])
        below = epochs.below(found[:, d])
        above = np.minimum(below + 1, epochs.last)
        polished_x = self._snap(found[:, :d])
        x = np.vstack((polished_x, polished_x, self._z[top, :d]))
        epoch = np.concatenate((below, above, self._epoch[top]))
        values = acquisition.values(x, epoch)
        first = int(np.argmax(values))
        return x[first], int(epoch[first]), float(values[first])

    def _polish(self, function: Callable[[Array], tuple[Array, Array]], start: Array) -> Array:
        """Climb from every row at once: one run of L-BFGS-B on the sum of their values."""

        def negative(flat: Array) -> tuple[float, Array]:
            value, slopes = function(flat.reshape(start.shape))
            return -float(value.sum()), -slopes.ravel()

        low = np.where(self._free, 0.0, start).ravel()
        high = np.where(self._free, 1.0, start).ravel()
        return descend(negative, start.ravel(), low, high, LBFGS).reshape(start.shape)


def best_resumed(
    acquisition: ImprovementPerCost, x: Array, reached: Indices
) -> tuple[int, int, float]:
    """Which of the paused trials, (P, d) and (P,), to train on, to which epoch, and the value."""
    last = acquisition.epochs.last
    mean = acquisition.posterior.mean(np.column_stack((x, np.ones(len(x)))))
    rows, epochs = [], []
    for row in np.argsort(-mean, kind="stable")[:MOST_PAUSED]:
        ahead = np.unique(np.rint(np.linspace(reached[row] + 1, last, MOST_EPOCHS)).astype(np.intp))
        rows.append(np.full(len(ahead), row))
        epochs.append(ahead)
    row, epoch = np.concatenate(rows), np.concatenate(epochs)
    values = acquisition.values(x[row], epoch, reached[row])
    first = int(np.argmax(values))
    return int(row[first]), int(epoch[first]), float(values[first])
