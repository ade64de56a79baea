"""Rungs: the resources at which successive halving compares trials, and who may leave them."""

import math
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush, heappushpop
from itertools import pairwise
from typing import Any


def rung_levels(min_resource: int, max_resource: int, eta: int) -> tuple[int, ...]:
    """min_resource * eta^k below `max_resource`, and `max_resource` itself."""
    levels = []
    level = min_resource
    while level < max_resource:
        levels.append(level)
        level *= eta
    return (*levels, max_resource)


def expected_resource(levels: Sequence[int], eta: int) -> float:
    """Sum over rungs k of (level_k - level_{k-1}) / eta^k: one in eta goes on from each."""
    legs = pairwise((0, *levels))
    return float(sum((level - below) / eta**k for k, (below, level) in enumerate(legs)))


class Rung:
    """Entries (loss, trial) of one rung, cut into the best floor(n / eta) and the rest.

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


class Ladder:
    """The rungs of asynchronous halving, one above the other: who is promoted next, and where to.

    Nothing is compared at the last level, since none leaves it.
    """

    def __init__(self, levels: Sequence[int], eta: int) -> None:
        self._levels = tuple(levels)
        self._eta = eta
        self._rungs = [Rung(eta) for _ in self._levels[:-1]]

    def promote(self) -> tuple[int, int, int] | None:
        """(trial, start, resource) from the highest rung that has an entry to promote, or None.

        It counts as promoted from now on.
        """
        for k in reversed(range(len(self._rungs))):
            trial = self._rungs[k].promote()
            if trial is not None:
                return trial, self._levels[k], self._levels[k + 1]
        return None

    def add(self, trial: int, level: int, loss: float) -> None:
        """The trial reached a level; an infinite loss is never promoted."""
        if level < self._levels[-1]:
            self._rungs[self._levels.index(level)].add(trial, loss)

    def to_list(self) -> list[list[Any]]:
        return [rung.to_list() for rung in self._rungs]

    def load(self, rungs: Iterable[Iterable[tuple[int, float | None, bool]]]) -> None:
        """Take over what `to_list` gave."""
        self._rungs = [Rung(self._eta, entries) for entries in rungs]
