"""BOHB: Hyperband's brackets, with new trials proposed by kernel densities of what was seen.

Falkner, Klein and Hutter, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", ICML
2018, Algorithms 1 and 2.

HpBandSter 0.7.4, the authors' code, is followed in how points are split, in bandwidths, densities
and candidates, but for the following.

- A level has a model from `min_points` + 2 points on, as in the paper, not from 2 * `min_points`;
  until then some points count as good and as bad.
- A failed trial is a bad point and never a good one: a level has no model before `min_points`
  trials succeeded on it. There, it counts as good where it is among the best points, and a model
  of failures proposes more of them.
- The kernel of a categorical knows how many choices there are. There, it counts those among the
  points, so that a choice not seen is infinitely good; and a bandwidth beyond (c - 1) / c gives
  the same choice less weight than the others, beyond 1 a negative one.
- Equal losses are ordered by arrival. There, by an unstable sort.
- `min_points` may lie below d + 1, and the bins of whole numbers reach 1/2 past the bounds, not
  0.49999.
- Brackets and levels are those of Hyperband's paper, counted up from `min_resource`; there, down
  from the maximum, with n rounded down.
"""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from ohgw.core.errors import SettingError
from ohgw.core.protocols import Mode
from ohgw.core.space import Categorical, Int, Space
from ohgw.core.trial import Configuration, Suggestion
from ohgw.schedulers._brackets import Brackets, bracket_systems
from ohgw.schedulers._rungs import rung_levels
from ohgw.schedulers._surrogates.kde import Array, GoodBad, split
from ohgw.schedulers._trials import Trials, resources, whole


class BOHB:
    """Hyperband whose new trials are proposed by a `Proposer`.

    It learns from every report, at the configuration that the trial had then (x'). `eta` and
    `brackets` are as in `Hyperband`, the other options as in `Proposer`.
    """

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        *,
        mode: Mode,
        min_resource: int,
        max_resource: int,
        eta: int = 3,
        brackets: int | None = None,
        min_points: int | None = None,
        top_n_percent: int = 15,
        candidates: int = 64,
        random_fraction: float = 1 / 3,
        bandwidth_factor: float = 3.0,
        min_bandwidth: float = 1e-3,
    ) -> None:
        low, self.max_resource = resources(min_resource, max_resource)
        self.space = space
        self.mode = mode
        eta = whole("eta", eta, 2)
        systems = bracket_systems(rung_levels(low, self.max_resource, eta), eta, brackets)
        self._proposer = Proposer(
            space,
            min_points=min_points,
            top_n_percent=top_n_percent,
            candidates=candidates,
            random_fraction=random_fraction,
            bandwidth_factor=bandwidth_factor,
            min_bandwidth=min_bandwidth,
        )
        settings = {
            "scheduler": "bohb",
            "brackets": [[list(rung) for rung in system] for system in systems],
            **self._proposer.settings,
        }
        self._rng = rng
        self._trials = Trials(space, rng, mode, self.max_resource, settings)
        self._brackets = Brackets(self._trials, systems)

    def ask(self) -> Suggestion:
        return self._brackets.ask(lambda: self._proposer.propose(self._rng))

    def draw(self, rng: np.random.Generator) -> Configuration:
        return self._proposer.propose(rng)

    def amend(self, trial: int, configuration: Configuration) -> None:
        self._trials.amend(trial, configuration)

    def tell(self, trial: int, resource: int, score: float) -> None:
        loss = self._trials.finish(trial, resource, score)
        self._brackets.tell(trial, loss)
        self._proposer.tell(resource, self._trials.configuration(trial), loss)

    def ended(self) -> list[int]:
        return self._trials.ended()

    @property
    def expected_resource(self) -> float:
        return self._brackets.expected_resource

    def state_dict(self) -> dict[str, Any]:
        return {
            **self._trials.state_dict(),
            **self._brackets.state_dict(),
            "observed": self._proposer.to_list(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trials.load_state_dict(state)
        self._brackets.load_state_dict(state)
        self._proposer.load(state["observed"])


class Proposer:
    """Proposes from a model of the highest level that has enough points.

    A proposal is a uniform draw with probability `random_fraction`, and while there is no model.
    Else it is the best of `candidates` points drawn around good ones, with `bandwidth_factor`
    times their bandwidths, by the ratio of the density of good points to that of bad ones. The
    best `top_n_percent` of a hundred points are good and the others bad, at least `min_points`
    each (d + 1 for None). No bandwidth is below `min_bandwidth`, in units of the unit cube.

    propose takes O(n) of the n points on the modelled level and fits the model anew only where
    one was added. Lower levels are forgotten. Settings that cannot work raise `SettingError`.
    """

    def __init__(
        self,
        space: Space,
        *,
        min_points: int | None,
        top_n_percent: int,
        candidates: int,
        random_fraction: float,
        bandwidth_factor: float,
        min_bandwidth: float,
    ) -> None:
        self._space = space
        self._least = space.d + 1 if min_points is None else whole("min_points", min_points, 2)
        self._percent = whole("top_n_percent", top_n_percent, 1)
        if self._percent > 99:
            raise SettingError(
                f"top_n_percent {top_n_percent!r} must be at most 99, or no point is bad."
            )
        self._candidates = whole("candidates", candidates, 1)
        self._random_fraction = _real("random_fraction", random_fraction, 0.0, 1.0)
        self._factor = _real("bandwidth_factor", bandwidth_factor, 0.01, 100.0)
        self._min_bandwidth = _real("min_bandwidth", min_bandwidth, 1e-6, 0.5)
        self._coordinates = _Coordinates(space)
        self._observed: dict[int, _Observed] = {}  # by level, none below the modelled one
        self._model: GoodBad | None = None
        self.level = 0
        """The highest level that has enough points for a model; 0 for none."""

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "min_points": self._least,
            "top_n_percent": self._percent,
            "candidates": self._candidates,
            "random_fraction": self._random_fraction,
            "bandwidth_factor": self._factor,
            "min_bandwidth": self._min_bandwidth,
        }

    def tell(self, level: int, configuration: Configuration, loss: float) -> None:
        """A trial at `configuration` reached `level` with `loss`; infinity where it failed."""
        if level < self.level:
            return
        observed = self._observed.setdefault(level, _Observed(self._space.d))
        observed.add(loss, self._coordinates.of(configuration))
        self._choose_level()
        if level == self.level:
            self._model = None

    def propose(self, rng: np.random.Generator) -> Configuration:
        """A configuration for a new trial; draws from `rng` and from nothing else."""
        if self.level == 0 or rng.random() < self._random_fraction:
            return self._space.sample(rng)
        return self._coordinates.configuration(
            self.model().propose(rng, self._candidates, self._factor)
        )

    def model(self) -> GoodBad:
        """Of all points of `level`, which must not be 0."""
        if self._model is None:
            observed = self._observed[self.level]
            points = observed.points()
            good, bad = split(observed.count, observed.finite, self._least, self._percent)
            levels = self._coordinates.levels
            self._model = GoodBad(points[:good], points[bad], levels, self._min_bandwidth)
        return self._model

    def to_list(self) -> list[list[Any]]:
        """[level, losses, points one after the other], all that proposals depend on."""
        return [[level, *observed.to_list()] for level, observed in self._observed.items()]

    def load(self, observed: Iterable[Sequence[Any]]) -> None:
        """Take over what `to_list` of a proposer with the same settings gave."""
        self._observed = {level: _Observed(self._space.d, *rest) for level, *rest in observed}
        self._choose_level()
        self._model = None

    def _choose_level(self) -> None:
        enough = [
            level
            for level, observed in self._observed.items()
            if observed.count >= self._least + 2 and observed.finite >= self._least
        ]
        self.level = max(enough, default=0)
        for level in [level for level in self._observed if level < self.level]:
            del self._observed[level]


class _Coordinates:
    """Configurations as points of the model: the unit cube, but for discrete hyperparameters.

    A whole number lies at the centre of its bin also where it is the lowest or the highest, which
    the unit cube puts on its faces: only so are numbers in a row equally far apart. A choice is
    its index.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        domains = list(space.values())
        self.levels = np.array(
            [len(d.choices) if isinstance(d, Categorical) else 0 for d in domains]
        )
        ends = [_outer_centres(d) if isinstance(d, Int) else (0.0, 1.0) for d in domains]
        self._low, self._high = np.array(ends).T

    def of(self, configuration: Configuration) -> Array:
        u = np.clip(self._space.to_unit(configuration), self._low, self._high)
        return np.where(self.levels, np.minimum(np.floor(u * self.levels), self.levels - 1), u)

    def configuration(self, x: Array) -> Configuration:
        return self._space.from_unit(
            np.where(self.levels, (x + 0.5) / np.maximum(self.levels, 1), x)
        )


class _Observed:
    """The points told at one level, best first; equal losses keep their order of arrival."""

    def __init__(
        self, d: int, losses: Iterable[float | None] = (), flat: Iterable[float] = ()
    ) -> None:
        self._d = d
        self._losses = [math.inf if loss is None else loss for loss in losses]
        self._flat = array("d", flat)  # one point after the other: to insert one is a memmove

    def add(self, loss: float, point: Array) -> None:
        k = bisect_right(self._losses, loss)
        self._losses.insert(k, loss)
        self._flat[k * self._d : k * self._d] = array("d", point)

    @property
    def count(self) -> int:
        return len(self._losses)

    @property
    def finite(self) -> int:
        return bisect_left(self._losses, math.inf)

    def points(self) -> Array:
        """(count, d)."""
        return np.array(self._flat).reshape(-1, self._d)

    def to_list(self) -> list[Any]:
        losses = [loss if math.isfinite(loss) else None for loss in self._losses]
        return [losses, self._flat.tolist()]


def _outer_centres(domain: Int) -> tuple[float, float]:
    """Where the bins of the lowest and of the highest number have their centres."""
    scale = math.log10 if domain.log else float
    low, high = scale(domain.low - 0.5), scale(domain.high + 0.5)
    return (scale(domain.low) - low) / (high - low), (scale(domain.high) - low) / (high - low)


def _real(name: str, value: Any, low: float, high: float) -> float:
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not low <= number <= high:  # NaN fails both
        raise SettingError(f"{name} {value!r} must be a number from {low:g} to {high:g}.")
    return number
