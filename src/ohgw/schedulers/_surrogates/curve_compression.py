"""Learning curves as numbers: the logistic compression of BOIL, and the curves it is applied to.

Nguyen, Schulze and Osborne, "Bayesian Optimization for Iterative Learning", NeurIPS 2020, section
3.1. The curve of gains r_1 .. r_t, out of at most T epochs, is worth

    mean over s < k <= t of r_k * w_k,    w_k = 1 / (1 + exp(-growth * (u_k - midpoint))),

with u_1 .. u_T evenly spaced over [-6, 6]: late epochs count, and a stable curve beats one that
touches the same end. Midpoint and growth are learnt. The paper sums from the first epoch; its
authors' code leaves out the first s = floor(t * (midpoint + 4) / 12), and so does this.

Gains must not be negative for a longer curve to be worth more, but losses have no natural zero. So
a gain is (worst - loss) / (worst - best), clipped to [0, 1], where best is the smallest loss seen
and worst the largest, or the upper fence of a box plot (third quartile + 1.5 times the
interquartile range) where that is smaller: a few exploding losses shall not squeeze all others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ohgw.core.space import Array

Indices: TypeAlias = npt.NDArray[np.intp]

REACH = 6.0  # the grid of epochs spans [-REACH, REACH]
LEAD = 2.0  # on that grid, stretched over a curve, its average begins so long before the midpoint


@dataclass(frozen=True, slots=True)
class Epochs:
    """The epochs that may be decided for, `first` to `last`, as t in [0, 1]."""

    first: int
    last: int

    def to_unit(self, epochs: Indices) -> Array:
        return (epochs - float(self.first)) / max(self.last - self.first, 1)

    def below(self, t: Array) -> Indices:
        """The epochs at or below t."""
        return (self.first + np.floor(t * (self.last - self.first))).astype(np.intp)


def compress(gains: Array, epochs: Indices, midpoint: float, growth: float) -> tuple[Array, Array]:
    """Scores (N,) of curves `gains`, (N, T), cut off after `epochs` >= 1, (N,), and their slopes.

    Slopes, (2, N), are those by midpoint and growth with s held; s is a step function of midpoint.
    """
    offset = np.linspace(-REACH, REACH, gains.shape[1]) - midpoint
    weight = 1.0 / (1.0 + np.exp(-growth * offset))
    slope = weight * (1.0 - weight)
    weights = np.stack((weight, -growth * slope, offset * slope), axis=1)
    scores = _averages(gains, epochs, np.array([midpoint]), weights[None])[0]
    return scores[:, 0], scores[:, 1:].T


def compress_all(gains: Array, epochs: Indices, midpoints: Array, growths: Array) -> Array:
    """Scores (N, A * G) for all combinations of midpoints (A,) and growths (G,)."""
    offset = np.linspace(-REACH, REACH, gains.shape[1]) - midpoints[:, None]
    weights = 1.0 / (1.0 + np.exp(-growths * offset[:, :, None]))
    return np.concatenate(list(_averages(gains, epochs, midpoints, weights)), axis=1)


def _averages(gains: Array, epochs: Indices, midpoints: Array, weights: Array) -> Array:
    """(A, N, W) for weights (A, T, W) that go with midpoints (A,)."""
    share = (midpoints[:, None] + REACH - LEAD) * epochs / (2.0 * REACH)  # (A, N)
    skipped = np.minimum(np.maximum(np.floor(share), 0.0), epochs - 1.0)
    epoch = np.arange(1, gains.shape[1] + 1)
    counted = (epoch > skipped[:, :, None]) & (epoch <= epochs[:, None])
    sums = np.where(counted, gains, 0.0) @ weights
    averages: Array = sums / (epochs - skipped)[:, :, None]
    return averages


class Curves:
    """Losses of every trial after every epoch, and the epochs at which its curve is scored.

    Epochs are counted from 1 to T. A trial that failed at an epoch has the worst loss from there
    to the end, where it is scored: it will never be trained on.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self._losses = np.full((16, epochs), np.nan)
        self._scored: dict[int, list[int]] = {}  # trial -> epochs

    def __len__(self) -> int:
        """The number of trials with a score."""
        return len(self._scored)

    def report(self, trial: int, epoch: int, loss: float) -> None:
        while trial >= len(self._losses):
            self._losses = np.vstack((self._losses, np.full_like(self._losses, np.nan)))
        if np.isfinite(loss):
            self._losses[trial, epoch - 1] = loss
        else:
            self._losses[trial, epoch - 1 :] = np.inf

    def score(self, trial: int, epochs: list[int]) -> None:
        """Score the trial's curve at these epochs too."""
        self._scored.setdefault(trial, []).extend(epochs)

    def scored(self, trial: int) -> list[int]:
        return self._scored[trial]

    def gains(self) -> Array:
        """(trials, T), NaN where a trial has not been."""
        losses = self._losses
        finite = losses[np.isfinite(losses)]
        if not finite.size:
            return np.where(np.isnan(losses), np.nan, 0.0)
        best, low, high, worst = np.percentile(finite, (0, 25, 75, 100))
        worst = min(worst, high + 1.5 * (high - low))
        width = worst - best if worst > best else 1.0  # all losses equal: every gain is 0
        gains: Array = np.clip((worst - losses) / width, 0.0, 1.0)
        return gains

    def select(
        self, gains: Array, midpoint: float, growth: float, most: int
    ) -> tuple[Indices, Indices]:
        """Trials and epochs, (N,) each, of all scores, or of `most` where there are more.

        Half of those are all scores of the best trials, for what is near them decides. The others
        are last scores of the remaining trials, evenly spaced from the best to the worst of them,
        to tell where not to go.
        """
        scored = self._scored
        if sum(map(len, scored.values())) <= most:
            pairs = [(trial, epoch) for trial, epochs in scored.items() for epoch in epochs]
        else:
            trials = np.array(list(scored), dtype=np.intp)
            last = np.array([max(epochs) for epochs in scored.values()], dtype=np.intp)
            values, _ = compress(gains[trials], last, midpoint, growth)
            order = np.argsort(-values, kind="stable").tolist()
            pairs = []
            while len(pairs) + len(scored[int(trials[order[0]])]) <= most // 2:
                trial = int(trials[order.pop(0)])
                pairs += [(trial, epoch) for epoch in scored[trial]]
            room = min(most - len(pairs), len(order))
            spaced = np.linspace(0, len(order) - 1, room).round().astype(np.intp)
            pairs += [(int(trials[order[k]]), int(last[order[k]])) for k in spaced]
        rows, epochs = np.array(pairs, dtype=np.intp).T
        return rows, epochs

    def state_dict(self) -> dict[str, Any]:
        known = self._losses[: 1 + max(self._reported(), default=-1)]
        return {
            "losses": [
                [None if loss == np.inf else loss for loss in row[~np.isnan(row)].tolist()]
                for row in known
            ],
            "scored": [[trial, list(epochs)] for trial, epochs in self._scored.items()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._losses = np.full((16, self.epochs), np.nan)
        for trial, losses in enumerate(state["losses"]):
            for epoch, loss in enumerate(losses, 1):
                self.report(trial, epoch, np.inf if loss is None else loss)
        self._scored = {trial: list(epochs) for trial, epochs in state["scored"]}

    def _reported(self) -> list[int]:
        reported: list[int] = np.flatnonzero(~np.isnan(self._losses[:, 0])).tolist()
        return reported
