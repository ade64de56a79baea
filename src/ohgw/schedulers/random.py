"""Random search: every trial is a fresh uniform draw, trained to the end (Bergstra and Bengio,
"Random Search for Hyper-Parameter Optimization", JMLR 2012).
"""

from typing import Any

import numpy as np

from ohgw.core.protocols import Mode
from ohgw.core.space import Space
from ohgw.core.trial import Configuration, Suggestion
from ohgw.schedulers._trials import Trials, resources


class RandomSearch:
    """Trains every new trial to `max_resource` in one go. `min_resource` changes nothing."""

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        *,
        mode: Mode,
        max_resource: int,
        min_resource: int = 1,
    ) -> None:
        _, self.max_resource = resources(min_resource, max_resource)
        self.space = space
        self.mode = mode
        self._trials = Trials(
            space,
            rng,
            mode,
            self.max_resource,
            {"scheduler": "random", "max_resource": self.max_resource},
        )

    def ask(self) -> Suggestion:
        return self._trials.start(self.max_resource)

    def draw(self, rng: np.random.Generator) -> Configuration:
        return self.space.sample(rng)

    def amend(self, trial: int, configuration: Configuration) -> None:
        self._trials.amend(trial, configuration)

    def tell(self, trial: int, resource: int, score: float) -> None:
        self._trials.finish(trial, resource, score)

    def ended(self) -> list[int]:
        return self._trials.ended()

    @property
    def expected_resource(self) -> float:
        return float(self.max_resource)

    def state_dict(self) -> dict[str, Any]:
        return self._trials.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trials.load_state_dict(state)
