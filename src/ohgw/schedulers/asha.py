"""Asynchronous successive halving, promotion type.

Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A System for Massively
Parallel Hyperparameter Tuning", MLSys 2020, Algorithm 2. A trial pauses at every rung and is
trained on only when it is promoted, so nothing is spent on speculation.
"""

import math
from collections.abc import Iterable
from heapq import heappop, heappush, heappushpop
from itertools import pairwise
from typing import Any

import numpy as np

from ohgw.core.protocols import Mode
from ohgw.core.space import Space
from ohgw.core.trial import Configuration, Suggestion
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
        level, self.max_resource = resources(min_resource, max_resource)
        self.space = space
        self.mode = mode
        self._eta = whole("eta", eta, 2)
        levels = []
        while level < self.max_resource:
            levels.append(level)
            level *= self._eta
        self._levels = (*levels, self.max_resource)
        self._rungs = [_Rung(self._eta) for _ in levels]  # nothing is promoted from the top
        settings = {"scheduler": "asha", "levels": list(self._levels), "eta": self._eta}
        self._trials = Trials(space, rng, mode, settings)

    def ask(self) -> Suggestion:
        for k in reversed(range(len(self._rungs))):
            trial = self._rungs[k].promote()
            if trial is not None:
                return self._trials.resume(trial, self._levels[k], self._levels[k + 1])
        return self._trials.start(self._levels[0])

    def draw(self, rng: np.random.Generator) -> Configuration:
        return self.space.sample(rng)

    def amend(self, trial: int, configuration: Configuration) -> None:
        self._trials.amend(trial, configuration)

    def tell(self, trial: int, resource: int, score: float) -> None:
        loss = self._trials.finish(trial, resource, score)
        if resource < self.max_resource:
            self._rungs[self._levels.index(resource)].add(trial, loss)

    @property
    def expected_resource(self) -> float:
        """Sum over rungs k of (level_k - level_{k-1}) / eta^k: one in eta goes on from each."""
        legs = pairwise((0, *self._levels))
        return float(sum((level - below) / self._eta**k for k, (below, level) in enumerate(legs)))

    def state_dict(self) -> dict[str, Any]:
        return {**self._trials.state_dict(), "rungs": [rung.to_list() for rung in self._rungs]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trials.load_state_dict(state)
        self._rungs = [_Rung(self._eta, entries) for entries in state["rungs"]]


class _Rung:
    """Entries (loss, trial), cut into the best floor(n / eta) and the rest.

    The best are a heap with its worst member on top, the rest a heap with its best on top, so the
    cut moves by one entry at a time. `_waiting` holds all that has crossed into the best; what was
    promoted, or has been pushed out again since, is dropped when it is met.
    """

    def __init__(self, eta: int, entries: Iterable[tuple[int, float | None, bool]] = ()) -> None:
        self._eta = eta
        self._losses: dict[int, float] = {}
        self._promoted: set[int] = set()
        self._best: list[tuple[float, int]] = []  # negated, for the worst to be on top
        self._rest: list[tuple[float, int]] = []
        self._waiting: list[tuple[float, int]] = []
        for trial, loss, promoted in entries:
            if promoted:
                self._promoted.add(trial)
            self.add(trial, math.inf if loss is None else loss)

    def add(self, trial: int, loss: float) -> None:
        self._losses[trial] = loss
        entry = (loss, trial)
        if len(self._losses) // self._eta > len(self._best):
            self._enter(heappushpop(self._rest, entry))
        elif self._best and entry < self._worst():
            heappush(self._rest, self._worst())
            heappop(self._best)
            self._enter(entry)
        else:
            heappush(self._rest, entry)

    def promote(self) -> int | None:
        """The best entry that may be promoted, counted as promoted from now on; else None."""
        while self._waiting:
            entry = heappop(self._waiting)
            trial = entry[1]
            if trial not in self._promoted and entry <= self._worst():
                self._promoted.add(trial)
                return trial
        return None

    def to_list(self) -> list[list[Any]]:
        """[trial, loss or None, promoted] in order of arrival; all that decisions depend on."""
        return [
            [trial, loss if math.isfinite(loss) else None, trial in self._promoted]
            for trial, loss in self._losses.items()
        ]

    def _enter(self, entry: tuple[float, int]) -> None:
        loss, trial = entry
        heappush(self._best, (-loss, -trial))
        if math.isfinite(loss):
            heappush(self._waiting, entry)

    def _worst(self) -> tuple[float, int]:
        loss, trial = self._best[0]
        return (-loss, -trial)
