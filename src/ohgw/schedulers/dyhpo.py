"""DyHPO: a race of configurations, one step of training at a time, supervised by a model.

Wistuba, Kadra and Grabocka, "Supervising the Multi-Fidelity Race of Hyperparameter
Configurations", NeurIPS 2022.

The authors' code is followed in the deep kernel, how it is trained and on what, the acquisition
and the restarts, but for the following.

- The kernel is fitted again once the reports have grown by `refit_growth`, to `fit_rows` of them
  drawn at random; between fits the exact posterior takes every report. There, after every report,
  to all of them: `refit_growth=0` and a large `fit_rows` do that. The decisions are as good.
- Scores are stretched between the median loss after one step, 0, and the best loss told, 1, at
  every fit, and none is below 0: their unit does not matter, nor how badly a trial goes. There,
  they are taken as they come, and always maximised.
- A curve is padded with zeros to the same length whatever the others are, so that its features
  stay. There, to the longest, separately among reports and candidates.
- A failed trial leaves the pool. There it stays a candidate, the model learns nothing from it, and
  it is asked for again.
- The pool is drawn from the space, and drawn on where nobody is left in it. There, it is given.
- Several trials may be trained at a time.
- The acquisition is on the log scale, where it does not underflow; the order is the same.
- The process is exact beyond 800 reports too, from where GPyTorch solves iteratively.
- A fit that fails numerically ends there. There, the weights before it come back, and the next fit
  starts from fresh ones.
- There is no bias before batch normalisation, which takes it out again, and none of the
  `fraction_random_configs` that is set there and never read.
"""

import math
from dataclasses import asdict
from numbers import Real
from typing import Any

import numpy as np

from ohgw.core.errors import SettingError
from ohgw.core.protocols import Mode
from ohgw.core.space import Space
from ohgw.core.streams import Streams
from ohgw.core.threads import one_thread
from ohgw.core.trial import Configuration, Suggestion
from ohgw.schedulers._rungs import expected_resource, rung_levels
from ohgw.schedulers._surrogates.race import Pool, Race, Schedule
from ohgw.schedulers._trials import Trials, resources, whole

DRAWN = 64  # fresh points of which `draw` gives the best, as many as BOHB looks at


class DyHPO:
    """Trains whichever configuration of a pool promises most, for one step of `min_resource`.

    The pool holds `candidates` draws from the space. What a configuration promises is the
    expected improvement of its score after its next step, over the best score after as many
    steps, under a Gaussian process with a deep kernel on the configuration, the step and the
    curve so far. The first configuration is random, and so are those that further workers are
    given before the first report. What is being trained is no candidate, and the model does not
    know of it until it reports. A choice is modelled by its place in the unit cube.

    A fit takes `initial_epochs` from fresh weights while there are at most `fresh_fits` reports,
    and after `patience` times the steps of a full training without improvement; else
    `refit_epochs` from where the last one ended. Adam's `learning_rate`. `refit_growth` and
    `fit_rows` say how often, and to how many reports. Settings that cannot work raise
    `SettingError`.

    A decision takes O(n N) for n reports and N candidates, where no fit is due.
    """

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        *,
        mode: Mode,
        min_resource: int,
        max_resource: int,
        candidates: int = 1000,
        initial_epochs: int = 1000,
        refit_epochs: int = 50,
        fresh_fits: int = 10,
        refit_growth: float = 0.2,
        fit_rows: int = 128,
        learning_rate: float = 1e-3,
        patience: float = 1.2,
    ) -> None:
        self._unit, self.max_resource = resources(min_resource, max_resource)
        self.space = space
        self.mode = mode
        self._candidates = whole("candidates", candidates, 1)
        self._schedule = Schedule(
            initial_epochs=whole("initial_epochs", initial_epochs, 1),
            refit_epochs=whole("refit_epochs", refit_epochs, 1),
            fresh_fits=whole("fresh_fits", fresh_fits, 0),
            refit_growth=_real("refit_growth", refit_growth, 0.0, 10.0),
            fit_rows=whole("fit_rows", fit_rows, 2),
            learning_rate=_real("learning_rate", learning_rate, 1e-6, 1.0),
            patience=_real("patience", patience, 0.0, 1e6),
        )
        settings = {
            "scheduler": "dyhpo",
            "resources": [self._unit, self.max_resource],
            "candidates": self._candidates,
            "schedule": asdict(self._schedule),
        }
        self._trials = Trials(space, rng, mode, self.max_resource, settings)
        self._begin(int(rng.integers(2**63)))

    def _begin(self, seed: int) -> None:
        """An empty race. Its streams are keyed by one draw from the scheduler's own."""
        self._seed = seed
        self._streams = Streams(seed)
        self._configurations: list[Configuration] = []  # of every row
        self._rows: list[int] = []  # of every trial
        self._trial_of: dict[int, int] = {}
        self._open: list[bool] = []  # rows that may be asked for
        self._pool = Pool(self.space, -(-self.max_resource // self._unit))
        self._race = Race(self._pool, self._schedule, self._streams)
        self._extend()

    def ask(self) -> Suggestion:
        if not any(self._open):
            self._extend()
        row = self._choose()
        self._open[row] = False
        reached = int(self._pool.reached[row])
        resource = min((reached + 1) * self._unit, self.max_resource)
        if reached:
            return self._trials.resume(self._trial_of[row], reached * self._unit, resource)
        suggestion = self._trials.start(resource, self._configurations[row])
        self._enter(row)
        return suggestion

    def draw(self, rng: np.random.Generator) -> Configuration:
        """The most promising of `DRAWN` fresh points; a uniform draw before there is a model."""
        if not self._race.ready:
            return self.space.sample(rng)
        fresh = [self.space.sample(rng) for _ in range(DRAWN)]
        units = np.stack([self.space.to_unit(configuration) for configuration in fresh])
        with one_thread():
            return fresh[int(self._race.gains_at_start(units).argmax())]

    def amend(self, trial: int, configuration: Configuration) -> None:
        self._trials.amend(trial, configuration)
        row = self._rows[trial]
        self._pool.replace(row, self._trials.configuration(trial))
        if self._pool.reached[row]:
            self._race.forget_posterior()

    def tell(self, trial: int, resource: int, score: float) -> None:
        loss = self._trials.finish(trial, resource, score)
        if not math.isfinite(loss):
            return  # the row stays closed
        row = self._rows[trial]
        self._race.count(improved=self._pool.tell(row, loss))
        self._open[row] = bool(self._pool.reached[row] < self._pool.steps)

    def ended(self) -> list[int]:
        return self._trials.ended()

    @property
    def expected_resource(self) -> float:
        """As under asynchronous halving: on recorded curves the race leaves trials as early."""
        return expected_resource(rung_levels(self._unit, self.max_resource, 3), 3)

    def state_dict(self) -> dict[str, Any]:
        pool = self._pool
        return {
            **self._trials.state_dict(),
            "seed": self._seed,
            "pool": len(pool),
            "rows": list(self._rows),
            "closed": [row for row in self._rows if not self._open[row]],
            "told": [[row, float(pool.losses[row, step - 1])] for row, step in pool.told],
            "anchors": list(pool.anchors),
            "race": self._race.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trials.load_state_dict(state)
        self._begin(state["seed"])
        while len(self._pool) < state["pool"]:
            self._extend()
        for trial, row in enumerate(state["rows"]):
            self._enter(row)
            self._pool.replace(row, self._trials.configuration(trial))
        for row, loss in state["told"]:
            self._pool.tell(row, loss)
        for row in state["closed"]:
            self._open[row] = False
        low, high = state["anchors"]
        self._pool.anchors = low, high
        self._race.load_state_dict(state["race"])

    def _extend(self) -> None:
        """Fresh draws, keyed by how many there were: a state need not carry them."""
        rng = self._streams.generator("configurations", len(self._pool))
        fresh = [self.space.sample(rng) for _ in range(self._candidates)]
        self._configurations += fresh
        self._open += [True] * len(fresh)
        self._pool.extend(fresh)
        self._race.forget_posterior()

    def _choose(self) -> int:
        """The open row of largest promise; before the first report, the next of the pool."""
        if not self._pool.told:
            return self._open.index(True)
        with one_thread():
            self._race.fit_if_due()
            return int(np.where(self._open, self._race.gains(), -math.inf).argmax())

    def _enter(self, row: int) -> None:
        """The row becomes the next trial."""
        self._trial_of[row] = len(self._rows)
        self._rows.append(row)


def _real(name: str, value: Any, low: float, high: float) -> float:
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not low <= number <= high:  # NaN fails both
        raise SettingError(f"{name} {value!r} must be a number from {low:g} to {high:g}.")
    return number
