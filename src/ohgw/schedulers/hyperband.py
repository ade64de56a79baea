"""Synchronous Hyperband with pause and resume.

Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: A Novel Bandit-Based Approach to
Hyperparameter Optimization", JMLR 2018, Algorithm 1. A trial is trained on from rung to rung, not
from scratch, and a worker that would wait for a rung to fill begins the next bracket, as in
syne-tune's `SynchronousHyperbandScheduler`.

Differences from syne-tune 0.14.2, which decides the same when given the same rung sizes:
- A rung keeps floor(n / eta^i) of the n trials its bracket started, as in the paper; theirs rounds
  the exact quotient up.
- A failed trial is never trained on, so that a rung may have fewer slots than planned; theirs fills
  it up with failed ones.

The paper lays rungs downwards from `max_resource`; these are laid upwards from `min_resource`, as
those of every other scheduler here. Both are the same where max_resource is min_resource * eta^k.
"""

from typing import Any

import numpy as np

from ohgw.core.protocols import Mode
from ohgw.core.space import Space
from ohgw.core.trial import Configuration, Suggestion
from ohgw.schedulers._brackets import Brackets, bracket_systems
from ohgw.schedulers._rungs import rung_levels
from ohgw.schedulers._trials import Trials, resources, whole


class Hyperband:
    """Runs brackets of successive halving in turn, from the one that starts most trials lowest.

    Rungs lie at min_resource * eta^k below `max_resource`, and at `max_resource` itself; bracket k
    leaves out the k lowest. `brackets` is how many of them take turns, counted from the first; all
    for None. `eta` is a whole number, at least 2; 3 is the paper's choice.
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
        eta = whole("eta", eta, 2)
        systems = bracket_systems(rung_levels(low, self.max_resource, eta), eta, brackets)
        settings = {
            "scheduler": "hyperband",
            "brackets": [[list(rung) for rung in system] for system in systems],
        }
        self._trials = Trials(space, rng, mode, self.max_resource, settings)
        self._brackets = Brackets(self._trials, systems)

    def ask(self) -> Suggestion:
        return self._brackets.ask()

    def draw(self, rng: np.random.Generator) -> Configuration:
        return self.space.sample(rng)

    def amend(self, trial: int, configuration: Configuration) -> None:
        self._trials.amend(trial, configuration)

    def tell(self, trial: int, resource: int, score: float) -> None:
        self._brackets.tell(trial, self._trials.finish(trial, resource, score))

    def ended(self) -> list[int]:
        return self._trials.ended()

    @property
    def expected_resource(self) -> float:
        return self._brackets.expected_resource

    def state_dict(self) -> dict[str, Any]:
        return {**self._trials.state_dict(), **self._brackets.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trials.load_state_dict(state)
        self._brackets.load_state_dict(state)
