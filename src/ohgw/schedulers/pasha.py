"""PASHA: asynchronous successive halving that raises its maximum resource only when it must.

Bohdal, Balles, Wistuba, Ermis, Archambeau and Zappella, "PASHA: Efficient HPO and NAS with
Progressive Resource Allocation", ICLR 2023, Algorithm 1. Trials are promoted up to a cap, at first
the second rung. Whenever the two topmost rungs in use rank the trials that are in both differently,
by more than the noise in their learning curves (`_ranking.SoftRanking`), the cap goes up a rung.

Differences from the public code (syne-tune 0.14.2, `LegacyHyperbandScheduler`, type "pasha"):

- An entry is promoted while it is among the best ceil(n / eta) of n >= 2, ties in its favour. This
  is what the public cut at the interpolated 1/eta quantile says, but for its rounding, by which
  the entry at the cut passes or not: in maximisation at some n even where no two losses are equal.
- Pairs of trials come in the order of a set of strings there, another in every process. Where
  losses are equal, or the order of two epochs differs, epsilon depends on it. Here each pair counts
  once, and of equal losses that of the lower trial number counts as the better one.
- Two rungs below `max_resource` are enough to start with the cap at the second. The public code
  then compares the first with itself or the last, and fails with a single one. Here, with fewer,
  nothing is left to be progressive about, and the cap is `max_resource` from the start.
- eta is the same at every rung. Theirs is the ratio of a rung's level to the next, another number
  below a `max_resource` that is not min_resource * eta^k.
- An epoch is a unit of min_resource. The public code fails unless every single one is reported.
- A trial that fails counts towards the rung it was on its way to, is never promoted, and takes no
  further part in the ranking or in epsilon, which is always a number.
- Epsilon is computed where a decision hangs on it, not after every report.
"""

import math
from collections.abc import Iterable
from heapq import heappop, heappush, heappushpop
from numbers import Real
from typing import Any

import numpy as np

from ohgw.core.errors import SettingError
from ohgw.core.protocols import Mode
from ohgw.core.space import Space
from ohgw.core.trial import Configuration, Suggestion
from ohgw.schedulers._legs import Legs
from ohgw.schedulers._ranking import SoftRanking
from ohgw.schedulers._rungs import expected_resource, rung_levels
from ohgw.schedulers._trials import Trials, resources, whole


class _Rung:
    """Entries (loss, trial), of which the best ceil(n / eta) and their ties may be promoted.

    The best are a heap with the worst of them on top (negated), the rest a heap with its best on
    top, so the cut moves by one loss at a time. Equal losses are promoted in order of arrival.
    """

    def __init__(self, eta: int, entries: Iterable[tuple[int, float | None, bool]] = ()) -> None:
        self._eta = eta
        self._losses: dict[int, float] = {}
        self._promoted: set[int] = set()
        self._best: list[float] = []
        self._rest: list[float] = []
        self._waiting: list[tuple[float, int, int]] = []  # (loss, arrival, trial)
        for trial, loss, promoted in entries:
            if promoted:
                self._promoted.add(trial)
            self.add(trial, math.inf if loss is None else loss)

    def add(self, trial: int, loss: float) -> None:
        if len(self._losses) % self._eta == 0:  # the best take in one more
            heappush(self._best, -heappushpop(self._rest, loss))
        else:
            heappush(self._rest, -heappushpop(self._best, -loss))
        if trial not in self._promoted and math.isfinite(loss):
            heappush(self._waiting, (loss, len(self._losses), trial))
        self._losses[trial] = loss

    def promote(self) -> int | None:
        """The best entry that may be promoted, counted as promoted from now on; else None."""
        if len(self._losses) < 2 or not self._waiting or self._waiting[0][0] > -self._best[0]:
            return None
        trial = heappop(self._waiting)[2]
        self._promoted.add(trial)
        return trial

    def to_list(self) -> list[list[Any]]:
        """[trial, loss or None, promoted] in order of arrival."""
        return [
            [trial, loss if math.isfinite(loss) else None, trial in self._promoted]
            for trial, loss in self._losses.items()
        ]


class PASHA:
    """Promotes the best entry of the highest rung below the cap that has one, else starts a trial.

    Rungs lie at min_resource * eta^k below `max_resource`, and at `max_resource` itself. Trials
    are trained in legs of min_resource, so that every one of these units is reported; a trial on
    its way to a rung is asked for before anything else.

    `eta` is a whole number, at least 2. `noise_quantile` in [0, 1] says which quantile of the
    distances between trials that change places back and forth counts as noise; a smaller one
    raises the cap sooner. Both defaults are the paper's. With fewer than two rungs below
    `max_resource` this is ASHA.

    ask takes O(log n). So does tell, but for reports from between the two topmost rungs in use:
    these take O(m) for m trials there, vectorised, and now and then O(m^2).
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
        noise_quantile: float = 0.9,
    ) -> None:
        self._unit, self.max_resource = resources(min_resource, max_resource)
        self.space = space
        self.mode = mode
        self._eta = whole("eta", eta, 2)
        self._quantile = _fraction("noise_quantile", noise_quantile)
        self._levels = rung_levels(self._unit, self.max_resource, self._eta)
        settings = {
            "scheduler": "pasha",
            "levels": list(self._levels),
            "eta": self._eta,
            "noise_quantile": self._quantile,
        }
        self._trials = Trials(space, rng, mode, self.max_resource, settings)
        self._legs = Legs(self._trials, self._unit)
        self._curves: list[list[float]] = []  # by trial: the loss of each unit below max_resource
        self._rungs = [_Rung(self._eta) for _ in self._levels[:-1]]  # none leaves the top
        self._cap = 1 if len(self._rungs) > 1 else len(self._rungs)  # as an index of levels
        self._ranking = self._rank_below_cap(epsilon=0.0)

    @property
    def cap(self) -> int:
        """The resource that no trial is promoted beyond at the moment."""
        return self._levels[self._cap]

    @property
    def epsilon(self) -> float:
        """Losses of the rung below the cap that differ by no more than this rank equal.

        Computed when asked for, in O(m^2) for the m trials beyond that rung.
        """
        return self._ranking.epsilon

    def ask(self) -> Suggestion:
        suggestion = self._legs.ask()
        if suggestion is not None:
            return suggestion
        for k in reversed(range(self._cap)):
            trial = self._rungs[k].promote()
            if trial is not None:
                return self._legs.resume(trial, self._levels[k], self._levels[k + 1])
        self._curves.append([])
        return self._legs.start(self._levels[0])

    def draw(self, rng: np.random.Generator) -> Configuration:
        return self.space.sample(rng)

    def amend(self, trial: int, configuration: Configuration) -> None:
        self._trials.amend(trial, configuration)

    def tell(self, trial: int, resource: int, score: float) -> None:
        loss = self._trials.finish(trial, resource, score)
        target = self._legs.tell(trial, resource, loss)
        if target is not None and target < self.max_resource:
            self._rungs[self._levels.index(target)].add(trial, loss)
        if math.isfinite(loss) and resource < self.max_resource:
            self._curves[trial].append(loss)
            changed = self._ranking.add(trial, self._curves[trial])
            if changed and self._cap < len(self._rungs) and not self._ranking.is_stable():
                self._cap += 1
                if self._cap < len(self._rungs):
                    self._ranking = self._rank_below_cap(self._ranking.epsilon)

    def ended(self) -> list[int]:
        return self._trials.ended()

    @property
    def expected_resource(self) -> float:
        """That of the rungs up to the first cap, which every search uses and many never leave."""
        return expected_resource(self._levels[:2] if self._rungs[1:] else self._levels, self._eta)

    def state_dict(self) -> dict[str, Any]:
        return {
            **self._trials.state_dict(),
            "legs": self._legs.state_dict(),
            "curves": [list(curve) for curve in self._curves],
            "rungs": [rung.to_list() for rung in self._rungs],
            "cap": self._cap,
            "epsilon": self._ranking.inherited,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trials.load_state_dict(state)
        self._legs.load_state_dict(state["legs"])
        self._curves = [list(curve) for curve in state["curves"]]
        self._rungs = [_Rung(self._eta, entries) for entries in state["rungs"]]
        self._cap = state["cap"]
        self._ranking = self._rank_below_cap(state["epsilon"])

    def _rank_below_cap(self, epsilon: float) -> SoftRanking:
        """The ranking of the rung at the cap, or of the last below `max_resource`."""
        k = min(self._cap, len(self._rungs) - 1)
        if k < 1:  # no two rungs to compare: no unit lies in between
            return SoftRanking(0, 0, self._quantile)
        lower, upper = (level // self._unit for level in self._levels[k - 1 : k + 1])
        ranking = SoftRanking(lower, upper, self._quantile, epsilon)
        arrived = [trial for trial, loss, _ in self._rungs[k].to_list() if loss is not None]
        coming = [t for t, curve in enumerate(self._curves) if lower < len(curve) < upper]
        for trial in (*arrived, *coming):  # those who arrived in their order, which settles ties
            ranking.add(trial, self._curves[trial][:upper])
        return ranking


def _fraction(name: str, value: Any) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) <= 1:
        raise SettingError(f"{name} {value!r} must be a number from 0 to 1.")
    return float(value)
