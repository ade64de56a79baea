"""Asynchronous successive halving, promotion type.

Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A System for Massively
Parallel Hyperparameter Tuning", MLSys 2020, Algorithm 2. A trial pauses at every rung and is
trained on only when it is promoted, so nothing is spent on speculation.

Differences from syne-tune 0.14.2 (`LegacyHyperbandScheduler`, type "promotion"), which promotes
what is not worse than the interpolated 1/eta quantile of its rung:
- The best floor(n / eta) of n entries may leave, as in the paper; theirs are ceil(n / eta) from the
  second entry on.
- Equal scores are ordered by trial number, and the cut may lie between them: a plateau, where all
  score the same, promotes one in eta. Theirs promotes all that tie with the cut.
- eta is the same at every rung. Theirs is the ratio of a level to the next, another number below a
  `max_resource` that is not min_resource * eta^k.
- To minimise and to maximise is the same search. When maximising, their quantile may be rounded to
  beyond the entry at the cut.
- Failed trials count as entries that stay; theirs never enter.
"""

from typing import Any

import numpy as np

from ohgw.core.protocols import Mode
from ohgw.core.space import Space
from ohgw.core.trial import Configuration, Suggestion
from ohgw.schedulers._rungs import Ladder, expected_resource, rung_levels
from ohgw.schedulers._trials import Trials, resources, whole


class ASHA:
    """Promotes the best entry of the highest rung that has one to promote, else starts a trial.

    Rungs lie at min_resource * eta^k below `max_resource`, and at `max_resource` itself. An entry
    of a rung with n entries may be promoted while it is among the best floor(n / eta); equal
    scores are ordered by trial number. Failed trials count towards n and are never promoted.
    `eta` is a whole number, at least 2; 3 is the paper's choice in most of its experiments.
    ask and tell take O(log n).
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
        self._ladder = Ladder(self._levels, self._eta)
        settings = {"scheduler": "asha", "levels": list(self._levels), "eta": self._eta}
        self._trials = Trials(space, rng, mode, self.max_resource, settings)

    def ask(self) -> Suggestion:
        promoted = self._ladder.promote()
        if promoted is not None:
            return self._trials.resume(*promoted)
        return self._trials.start(self._levels[0])

    def draw(self, rng: np.random.Generator) -> Configuration:
        return self.space.sample(rng)

    def amend(self, trial: int, configuration: Configuration) -> None:
        self._trials.amend(trial, configuration)

    def tell(self, trial: int, resource: int, score: float) -> None:
        loss = self._trials.finish(trial, resource, score)
        self._ladder.add(trial, resource, loss)

    def ended(self) -> list[int]:
        return self._trials.ended()

    @property
    def expected_resource(self) -> float:
        return expected_resource(self._levels, self._eta)

    def state_dict(self) -> dict[str, Any]:
        return {**self._trials.state_dict(), "rungs": self._ladder.to_list()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trials.load_state_dict(state)
        self._ladder.load(state["rungs"])
