"""Training towards a target in legs, for schedulers that look at a trial on its way."""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from ohgw.core.trial import Configuration, Suggestion
from ohgw.schedulers._trials import Trials


class Legs:
    """Asks for trials in legs of `unit` resource units, so that every one of them is reported.

    A trial on its way is asked for again before anything else, first told first, so a worker that
    reports goes on with the trial that it has.
    """

    def __init__(self, trials: Trials, unit: int) -> None:
        self._trials = trials
        self._unit = unit
        self._targets: dict[int, int] = {}  # of every trial that is on its way or being trained
        self._waiting: deque[tuple[int, int]] = deque()  # (trial, resource reached), on their way

    @property
    def targets(self) -> Mapping[int, int]:
        """The resource that each trial is trained to which is on its way, oldest first."""
        return self._targets

    def ask(self) -> Suggestion | None:
        """The next leg of the trial that has waited longest; None where none is on its way."""
        if not self._waiting:
            return None
        trial, reached = self._waiting.popleft()
        return self._trials.resume(trial, reached, self._next(trial, reached))

    def start(self, target: int, configuration: Configuration | None = None) -> Suggestion:
        """The first leg of a new trial."""
        suggestion = self._trials.start(min(self._unit, target), configuration)
        self._targets[suggestion.trial] = target
        return suggestion

    def resume(self, trial: int, reached: int, target: int) -> Suggestion:
        """The first leg of a paused trial's way to another target."""
        self._targets[trial] = target
        return self._trials.resume(trial, reached, self._next(trial, reached))

    def tell(self, trial: int, resource: int, loss: float) -> int | None:
        """The target, where the way ends with this report; None where the trial goes on.

        The way of a failed trial (an infinite loss) ends at once.
        """
        target = self._targets[trial]
        if resource < target and math.isfinite(loss):
            self._waiting.append((trial, resource))
            return None
        del self._targets[trial]
        return target

    def state_dict(self) -> dict[str, Any]:
        return {
            "targets": [[trial, target] for trial, target in self._targets.items()],
            "waiting": [[trial, reached] for trial, reached in self._waiting],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._targets = {trial: target for trial, target in state["targets"]}
        self._waiting = deque((trial, reached) for trial, reached in state["waiting"])

    def _next(self, trial: int, reached: int) -> int:
        return min(reached + self._unit, self._targets[trial])
