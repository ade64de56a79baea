"""Bayesian optimisation for iterative learning: what to train next, and for how long.

Nguyen, Schulze and Osborne, "Bayesian Optimization for Iterative Learning", NeurIPS 2020. A whole
learning curve is compressed into one score, a Gaussian process over configurations and epochs
predicts scores, and a decision maximises log expected improvement - log cost.

The authors' code is followed in compression, kernel, noise, standardisation, likelihood, bounds,
expected improvement and virtual points, but for the following.

- Trials pause and may be trained on, at the cost of what is left; there, every decision trains a
  new configuration from the start.
- Scores may be losses; they are mapped to gains in [0, 1] (`_surrogates.curve_compression`).
  There, they are rewards as they are, plus 500 where none is positive.
- A failed trial has no gain from where it failed to the end, and counts as trained to there; there
  is nothing for it there.
- What is being trained counts as observed at the posterior mean, so that workers spread; there,
  one trial runs at a time.
- The cost of a decision is the resource that it takes, which is known; no clock is read here.
  There, a linear regression on configuration and epochs predicts it, scaled to 0.1 .. 1.1.
- The process is fitted for every decision, and all curves are scored by the compression in use.
  There, it is fitted now and then, and a curve keeps the score that it had when it was told.
- Virtual points are epochs that exist, at which the trial is not scored yet, and more uncertain
  than an observation. There, they are any t; none is added to a trial from where its most
  uncertain t is also one of another trial's points; and one may repeat the trial's own end.
- The first trials are d + 1, trained for random times, because points at many epochs teach the
  scale of time; there, 3, trained to the end. Discrete hyperparameters take values that exist.
- At most `points` points are used, so that the cost of a decision does not grow on.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ohgw.core.domains import Float
from ohgw.core.errors import SettingError
from ohgw.core.protocols import Mode
from ohgw.core.space import Array, Space
from ohgw.core.threads import one_thread
from ohgw.core.trial import Configuration, Suggestion
from ohgw.schedulers._legs import Legs
from ohgw.schedulers._surrogates.curve_compression import Curves, Epochs, Indices
from ohgw.schedulers._surrogates.improvement_per_cost import (
    Candidates,
    ImprovementPerCost,
    best_resumed,
)
from ohgw.schedulers._surrogates.product_gp import Points, Posterior, fit, informative_epochs
from ohgw.schedulers._trials import Trials, real, resources, whole

_START = (0.1, 0.4, 0.0, 1.0)  # theta before the first fit; the compression's is the authors'


class BOIL:
    """Trains a new configuration or a paused trial to the epoch that promises most per cost.

    An epoch is a unit of `min_resource`. The `initial` first trials (d + 1 for None) are random
    draws, trained to random epochs; new trials are trained for at least `shortest` of all epochs.

    A trial paused at t, 0 for the shortest and 1 for all epochs, has up to `virtual` * t points
    beside that one, as long as ln of the covariance's condition number is at most `log_condition`.
    The scales of the kernel in x and t and the midpoint and growth of the compression are learnt
    within their bounds, from the last ones and `starts` random scales; `noise` is the variance of
    standardised scores. The acquisition is maximised over `candidates` random new trials, of
    which the best `polished` are improved by gradient, and over the paused trials.

    Of more than `points` points, those of the best trials and a sample of the others are used. A
    decision takes O(points^3), the next leg of a trial on its way O(1).
    """

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        *,
        mode: Mode,
        min_resource: int,
        max_resource: int,
        initial: int | None = None,
        shortest: float = 1 / 3,
        virtual: int = 10,
        log_condition: float = 15.0,
        x_scale_low: float = 0.03,
        x_scale_high: float = 0.3,
        t_scale_low: float = 0.3,
        t_scale_high: float = 0.6,
        midpoint_low: float = -2.0,
        midpoint_high: float = 3.0,
        growth_low: float = 0.5,
        growth_high: float = 2.0,
        noise: float = 5e-4,
        starts: int = 20,
        points: int = 256,
        candidates: int = 512,
        polished: int = 4,
    ) -> None:
        unit, self.max_resource = resources(min_resource, max_resource)
        self.space = space
        self.mode = mode
        self._rng = rng
        self._initial = space.d + 1 if initial is None else whole("initial", initial, 1)
        self._virtual = whole("virtual", virtual, 0)
        self._log_condition = real("log_condition", log_condition, 0.0, 1e3)
        self._noise = real("noise", noise, 1e-8, 1.0)
        self._starts = whole("starts", starts, 0)
        self._points = whole("points", points, 2)
        self._candidates = whole("candidates", candidates, 2)
        self._polished = whole("polished", polished, 1)
        scales = (1e-3, 1e3)
        bounds = (
            _interval("x_scale", x_scale_low, x_scale_high, *scales),
            _interval("t_scale", t_scale_low, t_scale_high, *scales),
            _interval("midpoint", midpoint_low, midpoint_high, -6.0, 6.0),
            _interval("growth", growth_low, growth_high, 1e-3, 50.0),  # exp(12 * 50) is finite
        )
        self._bounds = np.array(bounds).T  # (2, 4)
        self._theta = np.clip(_START, *self._bounds)
        last = math.ceil(self.max_resource / unit)
        first = math.ceil(real("shortest", shortest, 0.0, 1.0) * last)
        self._epochs = Epochs(max(first, 1), last)
        self._resources = np.minimum(unit * np.arange(last + 1), self.max_resource)
        self._free = np.array([isinstance(domain, Float) for domain in space.values()])
        settings = {
            "scheduler": "boil",
            "resources": [unit, self.max_resource],
            "initial": self._initial,
            "shortest": self._epochs.first,
            "virtual": self._virtual,
            "log_condition": self._log_condition,
            "bounds": self._bounds.tolist(),
            "noise": self._noise,
            "starts": self._starts,
            "points": self._points,
            "candidates": self._candidates,
            "polished": self._polished,
        }
        self._trials = Trials(space, rng, mode, self.max_resource, settings)
        self._legs = Legs(self._trials, unit)
        self._curves = Curves(last)
        self._x: list[Array] = []  # of every trial, (d,), in the unit cube
        self._paused: dict[int, int] = {}  # trial -> epoch; those that may be trained on
        self._ended: list[int] = []  # since the last decision; no virtual points yet

    @one_thread()
    def ask(self) -> Suggestion:
        leg = self._legs.ask()
        if leg is not None:
            return leg
        if self._is_blind():
            configuration = self.space.sample(self._rng)
            first, last = self._epochs.first, self._epochs.last
            return self._start(configuration, int(self._rng.integers(first, last + 1)))
        self._add_virtual_points()
        known, trials = self._known()
        self._theta = self._fit(known)
        candidates, acquisition = self._look(known, self._rng)
        x, epoch, value = candidates.best(acquisition, self._polished)
        # A trial without a point in the process looks unexplored, and is not.
        paused = [trial for trial in self._paused if trial in trials]
        if paused:
            reached = np.array([self._paused[trial] for trial in paused])
            row, target, other = best_resumed(acquisition, self._at(paused), reached)
            if other > value:
                return self._resume(paused[row], target)
        return self._start(self.space.from_unit(x), epoch)

    @one_thread()
    def draw(self, rng: np.random.Generator) -> Configuration:
        if self._is_blind():
            return self.space.sample(rng)
        candidates, acquisition = self._look(self._known()[0], rng)
        return self.space.from_unit(candidates.best(acquisition, self._polished)[0])

    def amend(self, trial: int, configuration: Configuration) -> None:
        self._trials.amend(trial, configuration)
        self._x[trial] = self.space.to_unit(self._trials.configuration(trial))

    def tell(self, trial: int, resource: int, score: float) -> None:
        loss = self._trials.finish(trial, resource, score)
        epoch = int(self._epoch(resource))
        self._curves.report(trial, epoch, loss)
        if self._legs.tell(trial, resource, loss) is None:
            return
        self._ended.append(trial)
        self._curves.score(trial, [epoch if math.isfinite(loss) else self._epochs.last])
        if math.isfinite(loss) and epoch < self._epochs.last:
            self._paused[trial] = epoch

    def ended(self) -> list[int]:
        return self._trials.ended()

    @property
    def expected_resource(self) -> float:
        """That of the first trials on average."""
        return float(self._resources[self._epochs.first :].mean())

    def state_dict(self) -> dict[str, Any]:
        return {
            **self._trials.state_dict(),
            "legs": self._legs.state_dict(),
            "curves": self._curves.state_dict(),
            "paused": [[trial, epoch] for trial, epoch in self._paused.items()],
            "ended": list(self._ended),
            "theta": self._theta.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trials.load_state_dict(state)
        self._legs.load_state_dict(state["legs"])
        self._curves.load_state_dict(state["curves"])
        self._x = [self.space.to_unit(x) for x in state["configurations"]]
        self._paused = {trial: epoch for trial, epoch in state["paused"]}
        self._ended = list(state["ended"])
        self._theta = np.array(state["theta"])

    def _is_blind(self) -> bool:
        return len(self._x) < self._initial or not len(self._curves)

    def _start(self, configuration: Configuration, epoch: int) -> Suggestion:
        self._x.append(self.space.to_unit(configuration))
        return self._legs.start(int(self._resources[epoch]), configuration)

    def _resume(self, trial: int, epoch: int) -> Suggestion:
        reached = self._resources[self._paused.pop(trial)]
        return self._legs.resume(trial, int(reached), int(self._resources[epoch]))

    def _add_virtual_points(self) -> None:
        """For the trials that ended since the last decision, under the last theta."""
        if self._ended and self._virtual:
            posterior = self._posterior(self._known()[0])
            for trial in self._ended:
                scored = self._curves.scored(trial)
                reached = max(scored)
                between = np.arange(self._epochs.first, reached)
                between = between[~np.isin(between, scored)]
                z = self._z([trial] * (len(between) + 1), np.append(between, reached))
                most = int(self._virtual * z[-1, -1]) + 1 - len(scored)
                picked = informative_epochs(posterior, z[:-1], most, self._log_condition)
                self._curves.score(trial, between[picked].tolist())
        self._ended.clear()

    def _fit(self, known: Points) -> Array:
        low, high = self._bounds
        scales = low[:2] + (high - low)[:2] * self._rng.random((self._starts, 2))
        return fit(known, self._noise, self._bounds, self._theta, scales)

    def _look(
        self, known: Points, rng: np.random.Generator
    ) -> tuple[Candidates, ImprovementPerCost]:
        """The acquisition under the last theta, and candidates for its best new trial."""
        pending, z = list(self._legs.targets.items())[-self._points :], None
        if pending:
            trials, targets = zip(*pending, strict=True)
            z = self._z(trials, self._epoch(np.array(targets)))
        posterior = self._posterior(known, z)
        candidates = Candidates(
            posterior, self._epochs, rng, self._snap, self._free, self._candidates
        )
        incumbent = candidates.incumbent(self._polished)
        cost = self._resources.astype(np.float64)
        return candidates, ImprovementPerCost(posterior, self._epochs, cost, incumbent)

    def _known(self) -> tuple[Points, set[int]]:
        """What the process is given, and of which trials.

        The last theta says which are the best where it is too much for all of them.
        """
        gains = self._curves.gains()
        trials, epochs = self._curves.select(gains, self._theta[2], self._theta[3], self._points)
        return Points(self._z(trials.tolist(), epochs), gains[trials], epochs), set(trials.tolist())

    def _posterior(self, known: Points, pending: Array | None = None) -> Posterior:
        y, _ = known.targets(self._theta)
        return Posterior(known.z, y, self._theta, self._noise, pending)

    def _z(self, trials: Iterable[int], epochs: Indices) -> Array:
        return np.column_stack((self._at(trials), self._epochs.to_unit(epochs)))

    def _at(self, trials: Iterable[int]) -> Array:
        return np.array([self._x[trial] for trial in trials]).reshape(-1, self.space.d)

    def _snap(self, x: Array) -> Array:
        """The same points (M, d), at discrete values that exist."""
        x = x.copy()
        for k, domain in enumerate(self.space.values()):
            if not isinstance(domain, Float):
                x[:, k] = [domain.to_unit(domain.from_unit(u)) for u in x[:, k].tolist()]
        return x

    def _epoch(self, resource: Indices | int) -> Indices:
        return np.searchsorted(self._resources, resource)


def _interval(name: str, low: Any, high: Any, least: float, most: float) -> tuple[float, float]:
    bounds = (real(f"{name}_low", low, least, most), real(f"{name}_high", high, least, most))
    if bounds[0] > bounds[1]:
        raise SettingError(f"{name}_low {low!r} is above {name}_high {high!r}; swap them.")
    return bounds
