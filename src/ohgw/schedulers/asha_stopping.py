"""Asynchronous successive halving, stopping type.

The variant of Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, that
Ray Tune and syne-tune run by default: a trial trains on without pausing until a rung finds it
wanting, and what was stopped never comes back. It needs no checkpoints of paused trials, and pays
for that by training early trials far that were only the best so far.

At a rung that n trials have reached, this one counted, it goes on where at most
ceil(n / eta) - 1 of them are strictly better. That is syne-tune's rule: whatever the scores, its
cut, the interpolated 1/eta quantile of the n, separates these ranks. A tie with the cut goes on,
since stopping is for good. Ray interpolates between the n - 1 earlier scores alone, so that its
decisions change when scores are rescaled without changing their order; that is not followed.

Differences from syne-tune 0.14.2 (`LegacyHyperbandScheduler`, type "stopping"):
- Only the order of scores counts. When maximising, their quantile may be rounded to beyond the
  trial at the cut, which then stops.
- eta is the same at every rung. Theirs is the ratio of a level to the next, another number below a
  `max_resource` that is not min_resource * eta^k.
- Failed trials count as entries that stop; theirs never enter.
"""

import math
from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush, heapreplace
from typing import Any

import numpy as np

from ohgw.core.protocols import Mode
from ohgw.core.space import Space
from ohgw.core.trial import Configuration, Suggestion
from ohgw.schedulers._rungs import expected_resource, rung_levels
from ohgw.schedulers._trials import Trials, resources, whole


class _Rung:
    """Losses seen at a rung, cut into the best ceil(n / eta) and the rest.

    The best are a heap with the worst of them on top (negated), the rest a heap with its best on
    top, so the cut moves by one loss at a time.
    """

    def __init__(self, eta: int, losses: Iterable[float | None] = ()) -> None:
        self._eta = eta
        self._losses: list[float] = []  # in order of arrival
        self._best: list[float] = []
        self._rest: list[float] = []
        for loss in losses:
            self.passes(math.inf if loss is None else loss)

    def passes(self, loss: float) -> bool:
        """Enter a loss; True where it is finite and as good as the worst of the best."""
        if len(self._losses) % self._eta == 0:  # the best take in one more
            heappush(self._rest, loss)
            heappush(self._best, -heappop(self._rest))
        elif loss < -self._best[0]:
            heappush(self._rest, -heapreplace(self._best, -loss))
        else:
            heappush(self._rest, loss)
        self._losses.append(loss)
        return math.isfinite(loss) and loss <= -self._best[0]

    def to_list(self) -> list[float | None]:
        return [loss if math.isfinite(loss) else None for loss in self._losses]


class StoppingASHA:
    """Asks for a trial that goes on before anything else, in order of their reports; else starts.

    Rungs lie at min_resource * eta^k below `max_resource`, and at `max_resource` itself. Failed
    trials count towards n and stop. `eta` is a whole number, at least 2; 3 is the paper's choice
    in most of its experiments. ask takes O(1), tell O(log n).
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
    ) -> None:
        low, self.max_resource = resources(min_resource, max_resource)
        self.space = space
        self.mode = mode
        self._eta = whole("eta", eta, 2)
        self._levels = rung_levels(low, self.max_resource, self._eta)
        self._rungs = [_Rung(self._eta) for _ in self._levels[:-1]]  # none is compared at the top
        self._going: deque[tuple[int, int]] = deque()  # (trial, rung that let it pass)
        settings = {"scheduler": "asha-stopping", "levels": list(self._levels), "eta": self._eta}
        self._trials = Trials(space, rng, mode, self.max_resource, settings)

    def ask(self) -> Suggestion:
        if not self._going:
            return self._trials.start(self._levels[0])
        trial, k = self._going.popleft()
        return self._trials.resume(trial, self._levels[k], self._levels[k + 1])

    def draw(self, rng: np.random.Generator) -> Configuration:
        return self.space.sample(rng)

    def amend(self, trial: int, configuration: Configuration) -> None:
        self._trials.amend(trial, configuration)

    def tell(self, trial: int, resource: int, score: float) -> None:
        loss = self._trials.finish(trial, resource, score)
        k = self._levels.index(resource)
        if k == len(self._rungs):
            return
        if self._rungs[k].passes(loss):
            self._going.append((trial, k))
        elif math.isfinite(loss):
            self._trials.end(trial)

    def ended(self) -> list[int]:
        return self._trials.ended()

    @property
    def expected_resource(self) -> float:
        return expected_resource(self._levels, self._eta)

    def state_dict(self) -> dict[str, Any]:
        return {
            **self._trials.state_dict(),
            "rungs": [rung.to_list() for rung in self._rungs],
            "going": [[trial, k] for trial, k in self._going],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trials.load_state_dict(state)
        self._rungs = [_Rung(self._eta, losses) for losses in state["rungs"]]
        self._going = deque((trial, k) for trial, k in state["going"])
