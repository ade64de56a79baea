"""Asynchronous Hyperband: asynchronous halving whose trials start at different rungs.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020; brackets are drawn
as in Klein, Tiao, Lienart, Archambeau and Seeger, "Model-based Asynchronous Hyperparameter and
Neural Architecture Search", 2020. Bracket k leaves out the k lowest rungs, which hedges against
scores that say little so early. All brackets share their rungs: whatever reached a resource is
compared there.

Differences from syne-tune 0.14.2 (`LegacyHyperbandScheduler`, type "promotion", more than one
bracket), besides those of `asha`:
- The draw comes from the search's own generator, and only new trials cost one; theirs draws before
  it knows whether it promotes, and the promotion does not depend on it.
- A bracket is as likely as the number of trials that synchronous Hyperband starts in it; theirs
  takes that number before it is rounded up, with min_resource * eta^s for the last level.
"""

from bisect import bisect_right
from itertools import accumulate
from typing import Any

import numpy as np

from ohgw.core.protocols import Mode
from ohgw.core.space import Space
from ohgw.core.trial import Configuration, Suggestion
from ohgw.schedulers._brackets import bracket_systems
from ohgw.schedulers._rungs import Ladder, expected_resource, rung_levels
from ohgw.schedulers._trials import Trials, resources, whole


class AsyncHyperband:
    """Promotes as `ASHA` does; where nothing is to promote, starts a trial in a bracket drawn.

    `brackets` is how many there are, counted from the one with all rungs; all for None. `eta` is a
    whole number, at least 2; 3 is the paper's choice. ask and tell take O(log n).
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
    ) -> None:
        low, self.max_resource = resources(min_resource, max_resource)
        self.space = space
        self.mode = mode
        self._rng = rng
        self._eta = whole("eta", eta, 2)
        self._levels = rung_levels(low, self.max_resource, self._eta)
        systems = bracket_systems(self._levels, self._eta, brackets)
        self._shares = list(accumulate(system[0][0] for system in systems))
        self._ladder = Ladder(self._levels, self._eta)
        settings = {
            "scheduler": "hyperband-async",
            "levels": list(self._levels),
            "eta": self._eta,
            "brackets": len(systems),
        }
        self._trials = Trials(space, rng, mode, self.max_resource, settings)

    def ask(self) -> Suggestion:
        promoted = self._ladder.promote()
        if promoted is not None:
            return self._trials.resume(*promoted)
        return self._trials.start(self._levels[self._draw_bracket()])

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
        below = [0, *self._shares]
        return sum(
            (share - below[k]) / self._shares[-1] * expected_resource(self._levels[k:], self._eta)
            for k, share in enumerate(self._shares)
        )

    def state_dict(self) -> dict[str, Any]:
        return {**self._trials.state_dict(), "rungs": self._ladder.to_list()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trials.load_state_dict(state)
        self._ladder.load(state["rungs"])

    def _draw_bracket(self) -> int:
        """As likely as the slots of its first rung: `_shares` are their running sums."""
        return bisect_right(self._shares, int(self._rng.integers(self._shares[-1])))
