"""A pool of configurations in a race, and what a deep kernel expects of each one's next step.

Wistuba, Kadra and Grabocka, "Supervising the Multi-Fidelity Race of Hyperparameter
Configurations", NeurIPS 2022, Algorithm 1.

Shapes: N configurations in the pool, d hyperparameters, S steps of a full training, n reports.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ohgw.core.space import Array, Space
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration
from ohgw.schedulers._surrogates.deep_kernel import DeepKernel, Rows, padded
from ohgw.schedulers._surrogates.expected_improvement import log_expected_improvement
from ohgw.schedulers._surrogates.growing_posterior import Posterior

Indices = npt.NDArray[np.intp]


class Pool:
    """Points (N, d), their losses (N, S) and how many steps of each were told (N,).

    Coordinates are those of the unit cube, stretched so that the first `extend` fills it. What
    comes later, fresh draws and x', is stretched alike and may lie outside.
    """

    def __init__(self, space: Space, steps: int) -> None:
        self.space, self.steps = space, steps
        self.x = np.empty((0, space.d))
        self.losses = np.empty((0, steps))
        self.reached = np.empty(0, np.intp)
        self.told: list[tuple[int, int]] = []
        """(row, step) of every report, in order of arrival."""
        self.best_at = np.full(steps, math.inf)
        """(S,) The smallest loss told at each step."""
        self._low, self._width = np.zeros(space.d), np.ones(space.d)
        self.anchors = (0.0, 0.0)
        """Losses that count as 0 and as 1; see `rescale`."""

    def __len__(self) -> int:
        return len(self.x)

    def extend(self, configurations: Sequence[Configuration]) -> None:
        units = np.stack([self.space.to_unit(configuration) for configuration in configurations])
        if not len(self):
            width = np.ptp(units, axis=0)
            self._low, self._width = units.min(axis=0), np.where(width > 0.0, width, 1.0)
        n = len(units)
        self.x = np.concatenate((self.x, self.stretched(units)))
        self.losses = np.concatenate((self.losses, np.zeros((n, self.steps))))
        self.reached = np.concatenate((self.reached, np.zeros(n, np.intp)))

    def replace(self, row: int, configuration: Configuration) -> None:
        """The row is at another configuration from now on (x')."""
        self.x[row] = self.stretched(self.space.to_unit(configuration))

    def tell(self, row: int, loss: float) -> bool:
        """The row took another step, with this finite loss. True where none was as small."""
        step = int(self.reached[row]) + 1
        self.losses[row, step - 1] = loss
        self.reached[row] = step
        self.told.append((row, step))
        improved = loss < self.best
        self.best_at[step - 1] = min(self.best_at[step - 1], loss)
        return improved

    @property
    def best(self) -> float:
        return float(self.best_at.min())

    def rescale(self) -> None:
        """From now on the median loss after one step scores 0, and the best loss told 1."""
        self.anchors = float(np.median(self.losses[self.reached > 0, 0])), self.best

    def scores(self, losses: Array) -> Array:
        """Larger is better. Losses above the first anchor are all the same: 0."""
        bad, best = self.anchors
        width = bad - best if 0.0 < bad - best < math.inf else 1.0
        result: Array = np.maximum((bad - losses) / width, 0.0)
        return result

    def inputs(self, rows: Indices, steps: Indices) -> Rows:
        """What a model is given to predict the scores of `rows` at `steps`, both (n,)."""
        curves = padded(self.scores(self.losses[rows]), steps - 1, self.steps)
        return Rows.of(self.x[rows], steps / self.steps, curves)

    def incumbents(self) -> Array:
        """(N,) The best score told at each one's next step; of all scores where there is none."""
        known = np.where(np.isfinite(self.best_at), self.best_at, self.best)
        result: Array = self.scores(known)[self.ahead() - 1]
        return result

    def stretched(self, units: Array) -> Array:
        """Coordinates of the model (m, d) of points of the unit cube (m, d)."""
        result: Array = (units - self._low) / self._width
        return result

    def ahead(self) -> Indices:
        """(N,) The next step of each; the last of those that have no more."""
        return np.minimum(self.reached + 1, self.steps)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the deep kernel is fitted, and for how long; see `DyHPO`."""

    initial_epochs: int
    refit_epochs: int
    fresh_fits: int
    refit_growth: float
    fit_rows: int
    learning_rate: float
    patience: float


class Race:
    """The kernel of a pool, fitted when due, and the posterior that follows every report.

    Between fits rows are appended to an exact posterior, so a decision costs a fit only where
    one is due. What is appended is a pure function of the reports, in their order: a race that
    is loaded appends them again, and comes to the same bits.
    """

    def __init__(self, pool: Pool, schedule: Schedule, streams: Streams) -> None:
        self._pool, self._schedule, self._streams = pool, schedule, streams
        self._kernel: DeepKernel | None = None
        self._posterior: Posterior | None = None
        self._base = 0  # reports that the posterior took at once
        self._seen = 0  # reports that it has taken
        self._fits = 0
        self._fitted = 0  # reports that there were at the last fit
        self._stale = 0  # reports without improvement
        self._restart = False

    @property
    def ready(self) -> bool:
        """Whether there is a model, which takes a report and a `fit_if_due`."""
        return self._kernel is not None

    def count(self, improved: bool) -> None:
        """Counts reports without improvement, each told to the pool before."""
        self._stale = 0 if improved else self._stale + 1
        if self._stale == max(1, int(self._schedule.patience * self._pool.steps)):
            self._restart = True

    def forget_posterior(self) -> None:
        """After rows that it knows have changed, or the pool has."""
        self._posterior, self._base = None, len(self._pool.told)

    def fit_if_due(self) -> None:
        pool, schedule, n = self._pool, self._schedule, len(self._pool.told)
        if self._kernel is None:
            self._kernel = self._fresh()
            self.forget_posterior()
        grown = n > self._fitted and n >= self._fitted * (1.0 + schedule.refit_growth)
        if n < 2 or not (grown or self._restart):  # batch normalisation takes two rows
            return
        self._fits += 1
        fresh = self._restart or self._fits == 1 or n <= schedule.fresh_fits
        if fresh:
            self._kernel = self._fresh()
        self._restart, self._fitted = False, n
        pool.rescale()
        rows, steps = self._told(n)
        if n > schedule.fit_rows:
            order = self._streams.generator("batches", self._fits).permutation(n)
            kept = np.sort(order[: schedule.fit_rows])
            rows, steps = rows[kept], steps[kept]
        self._kernel.fit(
            pool.inputs(rows, steps),
            pool.scores(pool.losses[rows, steps - 1]),
            epochs=schedule.initial_epochs if fresh else schedule.refit_epochs,
            learning_rate=schedule.learning_rate,
        )
        self.forget_posterior()

    def gains(self) -> Array:
        """(N,) Log expected improvement of each at its next step."""
        posterior = self._follow()
        return _gains(posterior.mean, posterior.variance, self._pool.incumbents())

    def gains_at_start(self, units: Array) -> Array:
        """(m,) The same of points of the unit cube (m, d) that are not in the pool, at step 1."""
        pool, m = self._pool, len(units)
        curves = padded(np.zeros((m, pool.steps)), np.zeros(m), pool.steps)
        rows = Rows.of(pool.stretched(units), np.full(m, 1.0 / pool.steps), curves)
        mean, variance = self._follow().at(rows)
        return _gains(mean, variance, float(pool.scores(pool.best_at)[0]))

    def _fresh(self) -> DeepKernel:
        return DeepKernel(self._pool.space.d, self._streams.generator("initialisation", self._fits))

    def _told(self, n: int) -> tuple[Indices, Indices]:
        told = np.array(self._pool.told[:n], np.intp).reshape(-1, 2)
        return told[:, 0], told[:, 1]

    def _follow(self) -> Posterior:
        """The posterior with every report."""
        pool = self._pool
        if self._posterior is None:
            assert self._kernel is not None
            rows, steps = self._told(self._base)
            every = np.arange(len(pool))
            ahead = np.minimum(np.bincount(rows, minlength=len(pool)) + 1, pool.steps)
            self._posterior = Posterior(
                self._kernel,
                pool.inputs(rows, steps),
                pool.scores(pool.losses[rows, steps - 1]),
                pool.inputs(every, ahead),
            )
            self._seen = self._base
        for row, step in pool.told[self._seen :]:
            rows, steps = np.array([row]), np.array([step])
            score = float(pool.scores(pool.losses[row, step - 1 : step])[0])
            self._posterior.append(pool.inputs(rows, steps), score)
            if step < pool.steps:
                self._posterior.move(row, pool.inputs(rows, steps + 1))
            self._seen += 1
        return self._posterior

    def state_dict(self) -> dict[str, Any]:
        return {
            "kernel": None if self._kernel is None else self._kernel.state_dict(),
            "base": self._base,
            "fits": self._fits,
            "fitted": self._fitted,
            "stale": self._stale,
            "restart": self._restart,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        kernel = state["kernel"]
        self._kernel = None if kernel is None else DeepKernel.from_state(kernel)
        self._posterior = None
        self._base, self._fits, self._fitted = state["base"], state["fits"], state["fitted"]
        self._stale, self._restart = state["stale"], state["restart"]


def _gains(mean: Array, variance: Array, incumbent: Array | float) -> Array:
    return log_expected_improvement(mean, np.sqrt(variance), incumbent)[0]
